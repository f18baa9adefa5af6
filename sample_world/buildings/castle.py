"""Castles."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.parts import crenels, finial
from sample_world.buildings.style import Style
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, shade, vary
from sample_world.drawing.doors import portal
from sample_world.drawing.materials import roof_texture
from sample_world.drawing.ornaments import cornice, quoins
from sample_world.drawing.palettes import STONES
from sample_world.drawing.surfaces import masonry
from sample_world.drawing.texture import Texture
from sample_world.drawing.windows import window
from sample_world.modelling.bodies import box, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh
from sample_world.modelling.roofs import hip

_SLIT: Colour = (0.06, 0.06, 0.06)


def castle(rng: np.random.Generator, style: Style) -> Mesh:
    """A curtain wall with round corner towers, a gatehouse and a keep."""
    b = MeshBuilder(LANDMARK)
    side, wall_h = rng.uniform(26, 34), rng.uniform(9, 12)
    stone = vary(rng, STONES[int(rng.choice([1, 2, 3, 6]))], 0.05)
    patch = _rubble(rng, stone, 6, 6).finish(0.16, repeat=True)
    wall = _curtain_wall(rng, stone, side, wall_h)
    h = side / 2
    corners = [(-h, -h), (h, -h), (h, h), (-h, h)]
    for k in range(4):
        p, q = corners[k], corners[(k + 1) % 4]
        inner_p, inner_q = (p[0] * 0.95, p[1] * 0.95), (q[0] * 0.95, q[1] * 0.95)
        b.wall(p, q, 0, wall_h, wall)
        b.wall(inner_q, inner_p, 0, wall_h, wall)
        b.tiled([[*end, wall_h] for end in (p, q, inner_q, inner_p)], patch, (6, 6))
        crenels(b, p, q, wall_h, patch)
    radius, tower_h = rng.uniform(3.2, 4.4), wall_h * rng.uniform(1.45, 1.9)
    tower = _tower(rng, stone, radius, tower_h)
    roof_t = roof_texture(rng, style.roof)
    pointed = rng.random() < 0.6
    for k, (x, y) in enumerate(corners):
        top = tower_h + (float(rng.uniform(0, 4)) if k in (1, 3) else 0.0)
        frustum(b, x, y, (radius * 1.06, radius), (0, top), 14, tower)
        _tower_top(b, x, y, top, radius, patch, roof_t if pointed else None)
    _gatehouse(b, rng, style, stone, -h, wall_h * 1.35, "pointed" if pointed else "round", patch)
    _keep(b, rng, style, stone, wall_h, patch, roof_t)
    return b.build()


def _rubble(rng: np.random.Generator, stone: Colour, width: float, height: float) -> Canvas:
    """Return a canvas of rough stones in uneven courses."""
    canvas = Canvas(rng, width, height)
    course, block = rng.uniform(0.3, 0.5), rng.uniform(0.5, 0.9)
    masonry(canvas, stone, course, block, 0.13, joint=0.05, depth=0.05, courses_vary=True)
    return canvas


def _curtain_wall(rng: np.random.Generator, stone: Colour, length: float, h: float) -> Texture:
    """Draw the wall between two towers: crossed arrow slits below a row of corbels."""
    wall = _rubble(rng, stone, length, h)
    for x in np.arange(3, length - 2, rng.uniform(3, 4.2)):
        wall.rectangle(x - 0.13, h * 0.45, x + 0.13, h * 0.7, colour=_SLIT, relief=-0.4)
        wall.rectangle(x - 0.45, h * 0.56, x + 0.45, h * 0.6, colour=_SLIT, relief=-0.4)
    for x in np.arange(0.6, length, 1.2):
        corbel = shade(stone, 1.05)
        wall.rectangle(x - 0.25, h - 1.5, x + 0.25, h - 0.8, colour=corbel, relief=0.35)
    wall.rectangle(0, h - 0.8, length, h, colour=shade(stone, 0.96), relief=0.3)
    return wall.finish(0.16)


def _tower(rng: np.random.Generator, stone: Colour, radius: float, h: float) -> Texture:
    """Draw a round tower, once around: small windows, two bands, corbels under the top."""
    tower = _rubble(rng, stone, 2 * np.pi * radius, h)
    slit = ("round", shade(stone, 1.12), (0.2, 0.16, 0.12))
    for k in range(8):
        cx, y = (k + 0.5) * tower.width / 8, h * (0.35 if k % 2 else 0.62)
        window(tower, cx, y, 0.7, 1.9, *slit, bars=(1, 1), sill=False)
    for level in (0.56, 0.84):
        low = h * level
        tower.rectangle(0, low, tower.width, low + 0.5, colour=shade(stone, 1.1), relief=0.25)
    for x in np.arange(0.4, tower.width, 0.95):
        corbel = shade(stone, 1.08)
        tower.trapezoid(x, (h - 1.4, h - 0.5), (0.2, 0.3), colour=corbel, relief=0.4)
    return tower.finish(0.16)


def _tower_top(
    b: MeshBuilder,
    x: float,
    y: float,
    z: float,
    radius: float,
    patch: Texture,
    roof_t: Texture | None,
) -> None:
    """End a tower in a parapet, and a pointed roof or (without one) battlements."""
    wide = radius * 1.16
    frustum(b, x, y, (wide, wide), (z - 0.2, z + 1.0), 14, patch, (6, 6), cap=patch)
    if roof_t is not None:
        rise = radius * 2.3
        frustum(b, x, y, (radius * 1.3, 0), (z + 1.0, z + 1.0 + rise), 14, roof_t, (6, 6))
        finial(b, x, y, z + 0.6 + rise, 0.5, roof_t)
        return
    for turn in np.arange(7) * 2 * np.pi / 7:
        px, py = x + radius * 1.02 * np.cos(turn), y + radius * 1.02 * np.sin(turn)
        frustum(b, px, py, (0.62, 0.62), (z + 1, z + 2.2), 4, patch, (6, 6), turn, cap=patch)


def _gatehouse(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    stone: Colour,
    y: float,
    h: float,
    arch: str,
    patch: Texture,
) -> None:
    """Build the gate in the front wall, which stands at y."""
    w = rng.uniform(9, 11)
    front = _rubble(rng, stone, w, h)
    trim = shade(stone, 1.15)
    portal(front, w / 2, 0, w * 0.4, h * 0.5, arch, trim, style.door, 3)
    for x in np.linspace(w * 0.34, w * 0.66, 6):
        front.line(np.array([[x, h * 0.2], [x, h * 0.42]]), 0.1, (0.1, 0.09, 0.08))
    _shield(front, style, w / 2, h * 0.66)
    for x in (w * 0.18, w * 0.82):
        window(front, x, h * 0.55, 1.0, 2.4, "round", trim, style.frame)
    cornice(front, h - 1.2, 0.7, shade(stone, 1.08), 0.4)
    x, y0, y1 = w / 2, y - 2, y + 5
    box(b, -x, y0, x, y1, 0, h, front.finish(0.14), patch, patch)
    corners = [(-x, y0), (x, y0), (x, y1), (-x, y1)]
    for k in range(4):
        crenels(b, corners[k], corners[(k + 1) % 4], h, patch)


def _shield(front: Canvas, style: Style, cx: float, y: float) -> None:
    """Draw a coat of arms in two colours."""
    left = [[cx - 1, y + 1.2], [cx - 1, y], [cx, y - 1.2]]
    right = [[cx + 1, y], [cx + 1, y + 1.2]]
    front.polygon(np.array(left + right), colour=style.accent, relief=0.2)
    front.polygon(np.array([*left, [cx, y + 1.2]]), colour=shade(style.metal, 1.1), relief=0.2)


def _keep(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    stone: Colour,
    wall_h: float,
    patch: Texture,
    roof_t: Texture,
) -> None:
    """Build the square tower in the yard."""
    w, h = rng.uniform(11, 14), wall_h * rng.uniform(2.1, 2.7)
    keep = _rubble(rng, stone, w, h)
    opening = (style.opening, shade(stone, 1.15), style.frame)
    for k in range(4):
        for column in range(3):
            cx, y = w * (column + 0.5) / 3, h * (0.2 + 0.19 * k)
            window(keep, cx, y, 0.95, 2.0, *opening, bars=(2, 2))
    cornice(keep, h - 1.4, 0.8, shade(stone, 1.08), 0.4)
    for x in (0.0, w):
        quoins(keep, x, 0, h - 1.5, 1.3, shade(stone, 1.12))
    x, y = float(rng.uniform(-4, 4)), float(rng.uniform(0, 5))
    x0, y0, x1, y1 = x - w / 2, y - w / 2, x + w / 2, y + w / 2
    box(b, x0, y0, x1, y1, 0, h, keep.finish(0.14), top=patch)
    if rng.random() < 0.5:
        hip(b, x0, y0, x1, y1, h, w * 0.6, roof_t, (6, 6), 0.5)
        return
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    for k in range(4):
        crenels(b, corners[k], corners[(k + 1) % 4], h, patch)
