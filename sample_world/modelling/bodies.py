"""Bodies: boxes, prisms and pyramids, domes."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.texture import Texture
from sample_world.modelling.builder import MeshBuilder


def box(
    builder: MeshBuilder,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    z0: float,
    z1: float,
    front: Texture,
    side: Texture | None = None,
    top: Texture | None = None,
    bottom: bool = False,
) -> None:
    """Add four walls (front and back at the two ends of y) and, given `top`, a flat roof."""
    side = side or front
    builder.wall((x0, y0), (x1, y0), z0, z1, front)
    builder.wall((x1, y0), (x1, y1), z0, z1, side)
    builder.wall((x1, y1), (x0, y1), z0, z1, front)
    builder.wall((x0, y1), (x0, y0), z0, z1, side)
    if top is None:
        return
    ends = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    builder.tiled([[*end, z1] for end in ends], top, (4.0, 4.0))
    if bottom:
        builder.tiled([[*end, z0] for end in ends[::-1]], top, (4.0, 4.0))


def frustum(
    builder: MeshBuilder,
    cx: float,
    cy: float,
    radii: tuple[float, float],
    heights: tuple[float, float],
    sides: int,
    texture: Texture,
    size: tuple[float, float] | None = None,
    turn: float = 0.0,
    wraps: float = 1.0,
    cap: Texture | None = None,
) -> None:
    """Add a ring of faces between two regular polygons; radius 0 above makes a pyramid.

    `size` tiles the texture in metres; without it the texture goes `wraps` times around.
    `radii` reach to the corners.
    """
    angles = turn + np.arange(sides + 1) * 2 * np.pi / sides
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    centre = np.array([cx, cy])
    low, high = centre + ring * radii[0], centre + ring * radii[1]
    z0, z1 = heights
    for k in range(sides):
        points = [[*low[k], z0], [*low[k + 1], z0]]
        if radii[1] > 1e-6:
            points += [[*high[k + 1], z1], [*high[k], z1]]
        else:
            points += [[*centre, z1]]
        if radii[0] <= 1e-6:
            points = [[*centre, z0], [*high[k + 1], z1], [*high[k], z1]]
        if size is not None:
            builder.tiled(points, texture, size)
        else:
            _wrap(builder, points, texture, (k / sides * wraps, (k + 1) / sides * wraps), radii)
    if cap is not None and radii[1] > 1e-6:
        roof = np.concatenate([high[:-1], np.full((sides, 1), z1)], 1)
        builder.tiled(roof, cap, size or (3.0, 3.0))


def _wrap(
    builder: MeshBuilder,
    points: list[list[float]],
    texture: Texture,
    span: tuple[float, float],
    radii: tuple[float, float],
) -> None:
    """Add a face of a frustum that carries the columns `span` (u0, u1) of the texture."""
    u0, u1 = span
    middle = (u0 + u1) / 2
    if radii[1] <= 1e-6:
        builder.face(points, texture, [[u0, 0], [u1, 0], [middle, 1]])
        return
    # Symmetric about the middle of the face, so that tapering cuts both sides alike.
    corners = [np.array(point) for point in points]
    known = (corners[0], corners[1], (corners[-1] + corners[-2]) / 2)
    coordinates = [[u0, 0.0], [u1, 0.0], [middle, 1.0]]
    if radii[1] > radii[0]:
        known = (corners[3], corners[2], (corners[0] + corners[1]) / 2)
        coordinates = [[u0, 1.0], [u1, 1.0], [middle, 0.0]]
    builder.mapped(np.array(points), texture, np.array(known), coordinates)


def dome(
    builder: MeshBuilder,
    cx: float,
    cy: float,
    z: float,
    radius: float,
    rise: float,
    texture: Texture,
    sides: int = 20,
    rings: int = 6,
    onion: float = 0.0,
    top: float = 0.06,
    turn: float = 0.0,
) -> None:
    """Add a dome over a circle; `onion` bulges it out, `top` is the share left open on top."""
    t = np.linspace(0, 1, rings + 1)
    profile = np.maximum(np.cos(t * np.pi / 2), top)
    profile = profile + onion * np.sin(t * np.pi) * (1 - t)
    level = z + rise * np.sin(t * np.pi / 2)
    for ring in range(rings):
        angles = turn + np.arange(sides + 1) * 2 * np.pi / sides
        low = np.stack([np.cos(angles), np.sin(angles)], 1) * radius * profile[ring]
        high = np.stack([np.cos(angles), np.sin(angles)], 1) * radius * profile[ring + 1]
        v0, v1 = t[ring], t[ring + 1]
        for k in range(sides):
            a = np.array([cx + low[k, 0], cy + low[k, 1], level[ring]])
            b = np.array([cx + low[k + 1, 0], cy + low[k + 1, 1], level[ring]])
            c = np.array([cx + high[k + 1, 0], cy + high[k + 1, 1], level[ring + 1]])
            d = np.array([cx + high[k, 0], cy + high[k, 1], level[ring + 1]])
            u0, u1 = k / sides, (k + 1) / sides
            middle = (c + d) / 2
            builder.mapped(
                np.array([a, b, c, d]),
                texture,
                np.array([a, b, middle]),
                [[u0, v0], [u1, v0], [(u0 + u1) / 2, v1]],
            )
