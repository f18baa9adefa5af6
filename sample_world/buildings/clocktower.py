"""Clock towers."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.facade import facade
from sample_world.buildings.parts import finial
from sample_world.buildings.style import Style, lay, plinth
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.carvings import frieze
from sample_world.drawing.clock import clock
from sample_world.drawing.colours import shade
from sample_world.drawing.doors import portal
from sample_world.drawing.materials import metal_texture, roof_texture, stone_texture
from sample_world.drawing.ornaments import checker, cornice, pilaster
from sample_world.drawing.palettes import METALS
from sample_world.drawing.texture import Texture
from sample_world.drawing.windows import window
from sample_world.modelling.bodies import box, dome, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh
from sample_world.modelling.roofs import hip


def clocktower(rng: np.random.Generator, style: Style) -> Mesh:
    """A tall shaft with a clock on every side, belfry and pointed roof, over low wings."""
    b = MeshBuilder(LANDMARK)
    w, h = rng.uniform(7.5, 10), rng.uniform(34, 48)
    shaft = _shaft(rng, style, w, h)
    half = w / 2
    stone = stone_texture(rng, style.trim)
    roof_t = (
        metal_texture(rng, style.metal) if rng.random() < 0.5 else roof_texture(rng, style.roof)
    )
    box(b, -half, -half, half, half, 0, h, shaft, top=stone)
    edge = half + 0.5
    box(b, -edge, -edge, edge, edge, h, h + 0.9, stone, top=stone, bottom=True)
    rise = w * rng.uniform(1.1, 2.2)
    shape = int(rng.integers(3))
    metal = metal_texture(rng, METALS[2])
    rise = _roof(b, shape, half, h, rise, stone, roof_t)
    finial(b, 0, 0, h + 0.9 + rise - 0.4, 0.9, metal)
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * half, sy * half
            frustum(b, x, y, (0.8, 0.7), (h + 0.9, h + 3.4), 4, stone, (6, 6), turn=np.pi / 4)
            frustum(b, x, y, (0.9, 0), (h + 3.4, h + 6.0), 4, roof_t, (6, 6), turn=np.pi / 4)
    _wings(b, rng, style, w, roof_t)
    return b.build()


def _shaft(rng: np.random.Generator, style: Style, w: float, h: float) -> Texture:
    """Draw a side of the tower: door, windows, dial and belfry."""
    shaft = Canvas(rng, w, h)
    lay(shaft, style)
    plinth(shaft, style, 1.6)
    portal(shaft, w / 2, 0, w * 0.34, h * 0.13, style.opening, style.trim, style.door, 3)
    opening = (style.opening, style.trim, style.frame)
    for k in range(4):
        y, tall = h * (0.2 + 0.11 * k), h * 0.075
        if k % 2 == 0:
            for side in (-1, 1):
                cx = w / 2 + side * w * 0.16
                window(shaft, cx, y, w * 0.13, tall, *opening, bars=(2, 3))
        else:
            window(shaft, w / 2, y, w * 0.2, tall, *opening, bars=(2, 3), head=style.head)
        shaft.rectangle(0, y - h * 0.022, w, y - h * 0.012, colour=style.trim, relief=0.25)
    if style.ornament in ("checker", "niches"):
        checker(shaft, 0, h * 0.62, w, h * 0.65, 0.6, style.trim, style.accent)
    else:
        frieze(shaft, h * 0.61, h * 0.04, style.trim)
    _dial(shaft, style)
    _belfry(shaft, style, h * 0.67 + w * 0.88)
    cornice(shaft, h - 0.9, 0.9, style.trim, 0.6)
    for x in (0.5, w - 0.5):
        pilaster(shaft, x, 1.6, h - 0.9, 1.0, style.trim, False)
    return shaft.finish()


def _dial(shaft: Canvas, style: Style) -> None:
    """Draw the clock on its square panel."""
    rng, w, h = shaft.rng, shaft.width, shaft.height
    radius = w * rng.uniform(0.31, 0.36)
    dial = ((0.9, 0.88, 0.8), (0.12, 0.16, 0.3), (0.88, 0.84, 0.66))[int(rng.integers(3))]
    hands = (0.1, 0.09, 0.1) if dial[0] > 0.5 else (0.8, 0.66, 0.3)
    low, panel = h * 0.67, shade(style.trim, 0.95)
    shaft.rectangle(w * 0.08, low, w * 0.92, low + w * 0.84, colour=panel, relief=0.1)
    clock(shaft, w / 2, low + w * 0.42, radius, dial, hands)


def _belfry(shaft: Canvas, style: Style, y: float) -> None:
    """Draw the louvred openings above the clock, from y up."""
    rng, w, h = shaft.rng, shaft.width, shaft.height
    cornice(shaft, y, 0.7, style.trim, 0.4)
    count = int(rng.integers(2, 4))
    kind = "round" if style.opening == "rect" else style.opening
    wide, tall = w / count * 0.55, max(1.5, h - y - 3.0)
    for k in range(count):
        cx, slats = w * (k + 0.5) / count, shade(style.trim, 0.7)
        window(shaft, cx, y + 1.3, wide, tall, kind, style.trim, slats, bars=(1, 6))


def _roof(
    b: MeshBuilder,
    shape: int,
    half: float,
    h: float,
    rise: float,
    stone: Texture,
    roof_t: Texture,
) -> float:
    """Put a pyramid, a lantern roof or an onion on the tower; returns how high it rises."""
    z, square, eight = h + 0.9, np.pi / 4, np.pi / 8
    if shape == 0:
        frustum(b, 0, 0, (half * 1.35, 0), (z, z + rise), 4, roof_t, (6, 6), turn=square)
        return rise
    if shape == 1:
        low, high, top = z + rise * 0.35, z + rise * 0.6, z + rise * 1.1
        frustum(b, 0, 0, (half * 1.3, half * 0.55), (z, low), 4, roof_t, (6, 6), turn=square)
        frustum(b, 0, 0, (half * 0.5, half * 0.5), (low, high), 8, stone, (6, 6), turn=eight)
        frustum(b, 0, 0, (half * 0.62, 0), (high, top), 8, roof_t, (6, 6), turn=eight)
        return rise * 1.1
    frustum(b, 0, 0, (half * 0.95, half * 0.95), (z, h + 2.5), 8, stone, (6, 6), turn=eight)
    dome(b, 0, 0, h + 2.5, half * 0.95, rise * 0.6, roof_t, 16, 6, onion=0.35)
    return 1.6 + rise * 0.6


def _wings(
    b: MeshBuilder, rng: np.random.Generator, style: Style, w: float, roof_t: Texture
) -> None:
    """Add a low building at either side of a tower `w` wide."""
    half = w / 2
    wing_w, wing_h, depth = rng.uniform(12, 18), rng.uniform(9, 13), w * 0.9
    wing = facade(rng, style, wing_w, wing_h, 2, max(3, round(wing_w / 3.2)))
    end = facade(rng, style, depth, wing_h, 2, 2)
    for sign in (-1, 1):
        x0, x1 = sorted((sign * half, sign * (half + wing_w)))
        box(b, x0, -depth / 2, x1, depth / 2, 0, wing_h, wing, end)
        hip(b, x0, -depth / 2, x1, depth / 2, wing_h, 3.6, roof_t, (6, 6))
