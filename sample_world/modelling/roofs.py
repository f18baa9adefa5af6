"""Pitched and hipped roofs."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.texture import Texture
from sample_world.modelling.builder import MeshBuilder


def gable(
    builder: MeshBuilder,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    z: float,
    rise: float,
    roof: Texture,
    size: tuple[float, float],
    ends: Texture | None = None,
    along: str = "y",
    over: float = 0.4,
) -> None:
    """Add a pitched roof whose ridge runs along x or y; `ends` fills the gable triangles."""
    if along == "y":
        middle = (x0 + x1) / 2
        drop = over * rise / max(1e-6, (x1 - x0) / 2)
        left = [[x0 - over, y1 + over, z - drop], [x0 - over, y0 - over, z - drop]]
        left += [[middle, y0 - over, z + rise], [middle, y1 + over, z + rise]]
        right = [[x1 + over, y0 - over, z - drop], [x1 + over, y1 + over, z - drop]]
        right += [[middle, y1 + over, z + rise], [middle, y0 - over, z + rise]]
        triangles = (
            [[x0, y0, z], [x1, y0, z], [middle, y0, z + rise]],
            [[x1, y1, z], [x0, y1, z], [middle, y1, z + rise]],
        )
    else:
        middle = (y0 + y1) / 2
        drop = over * rise / max(1e-6, (y1 - y0) / 2)
        left = [[x0 - over, y0 - over, z - drop], [x1 + over, y0 - over, z - drop]]
        left += [[x1 + over, middle, z + rise], [x0 - over, middle, z + rise]]
        right = [[x1 + over, y1 + over, z - drop], [x0 - over, y1 + over, z - drop]]
        right += [[x0 - over, middle, z + rise], [x1 + over, middle, z + rise]]
        triangles = (
            [[x1, y0, z], [x1, y1, z], [x1, middle, z + rise]],
            [[x0, y1, z], [x0, y0, z], [x0, middle, z + rise]],
        )
    for slope in (left, right):
        builder.tiled(slope, roof, size, two_sided=True)
    if ends is not None:
        for triangle in triangles:
            builder.face(np.array(triangle), ends, [[0, 0], [1, 0], [0.5, 1]])


def hip(
    builder: MeshBuilder,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    z: float,
    rise: float,
    roof: Texture,
    size: tuple[float, float],
    over: float = 0.4,
    flat: float = 0.0,
) -> None:
    """Add a hipped roof; `flat` > 0 cuts it off (mansard) at that share of the half width."""
    x0, y0, x1, y1 = x0 - over, y0 - over, x1 + over, y1 + over
    inset = min(x1 - x0, y1 - y0) / 2 * (1 - flat)
    top = z + rise
    lower = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    upper = [
        (x0 + inset, y0 + inset),
        (x1 - inset, y0 + inset),
        (x1 - inset, y1 - inset),
        (x0 + inset, y1 - inset),
    ]
    for k in range(4):
        p, q = lower[k], lower[(k + 1) % 4]
        r, s = upper[(k + 1) % 4], upper[k]
        points = [[*p, z], [*q, z], [*r, top], [*s, top]]
        if np.hypot(r[0] - s[0], r[1] - s[1]) < 1e-6:
            points = points[:3]
        builder.tiled(points, roof, size)
    if flat > 0:
        builder.tiled([[*p, top] for p in upper], roof, size)
