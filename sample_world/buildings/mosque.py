"""Mosques."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.parts import dome_texture, finial
from sample_world.buildings.style import Style, lay, plinth
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, vary
from sample_world.drawing.doors import portal
from sample_world.drawing.materials import metal_texture, stone_texture
from sample_world.drawing.ornaments import checker, cornice
from sample_world.drawing.palettes import METALS
from sample_world.drawing.texture import Texture
from sample_world.drawing.windows import window
from sample_world.modelling.bodies import box, dome, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh

_TILES: tuple[Colour, ...] = (
    (0.2, 0.38, 0.55),
    (0.22, 0.46, 0.42),
    (0.52, 0.3, 0.2),
    (0.7, 0.6, 0.36),
)
_IVORY: Colour = (0.86, 0.82, 0.66)


def mosque(rng: np.random.Generator, style: Style) -> Mesh:
    """A domed hall with half domes, tiled walls and slender minarets."""
    b = MeshBuilder(LANDMARK)
    w, h = rng.uniform(20, 25), rng.uniform(10, 13)
    tile = vary(rng, _TILES[int(rng.integers(4))], 0.06)
    wall = _wall(rng, style, w, h, tile)
    stone = stone_texture(rng, style.trim)
    half = w / 2
    box(b, -half, -half, half, half, 0, h, wall.finish(), top=stone)
    radius = w * rng.uniform(0.3, 0.36)
    drum = _drum(rng, style, radius, tile)
    drum_t = drum.finish(repeat=True)
    frustum(b, 0, 0, (radius * 1.02,) * 2, (h, h + 4.5), 20, drum_t, wraps=2)
    skin = dome_texture(rng, tile if rng.random() < 0.5 else style.metal, 12, style)
    rise, onion = radius * rng.uniform(0.85, 1.15), float(rng.choice([0.0, 0.25, 0.4]))
    dome(b, 0, 0, h + 4.5, radius, rise, skin, 22, 8, onion=onion)
    gold = metal_texture(rng, METALS[2])
    finial(b, 0, 0, h + 4.5 + radius * 0.98, 1.2, gold)
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * half * 0.68, sy * half * 0.68
            frustum(b, x, y, (w * 0.12,) * 2, (h, h + 1.6), 12, stone, (6, 6))
            dome(b, x, y, h + 1.6, w * 0.12, w * 0.11, skin, 12, 5)
            finial(b, x, y, h + 1.4 + w * 0.11, 0.5, gold)
    _minarets(b, rng, style, half, h, tile, stone, gold)
    return b.build()


def _wall(rng: np.random.Generator, style: Style, w: float, h: float, tile: Colour) -> Canvas:
    """Draw a side of the hall: a tall tiled portal between two rows of windows."""
    wall = Canvas(rng, w, h)
    lay(wall, style)
    plinth(wall, style, 1.2)
    bays = 5
    for k in range(bays):
        cx = w * (k + 0.5) / bays
        if k == bays // 2:
            x0, x1 = cx - w * 0.1, cx + w * 0.1
            wall.rectangle(x0, 0, x1, h * 0.9, colour=tile, relief=0.2)
            checker(wall, x0, h * 0.72, x1, h * 0.9, 0.5, tile, (0.85, 0.8, 0.6))
            portal(wall, cx, 0, w * 0.1, h * 0.62, "pointed", style.trim, style.door, 3)
            continue
        opening = ("pointed", style.trim, style.frame)
        for level, tall in ((0.14, 0.26), (0.5, 0.24)):
            for side in (-1, 1):
                x = cx + side * w * 0.045
                window(wall, x, h * level, w * 0.055, h * tall, *opening, bars=(2, 3))
    for x0, x1 in ((0, w * 0.38), (w * 0.62, w)):
        checker(wall, x0, h * 0.8, x1, h * 0.88, 0.45, tile, _IVORY)
    cornice(wall, h * 0.92, h * 0.08, style.trim, 0.4)
    return wall


def _drum(rng: np.random.Generator, style: Style, radius: float, tile: Colour) -> Canvas:
    """Draw half of the ring of windows below the dome."""
    drum = Canvas(rng, radius * np.pi, 4.5)
    lay(drum, style)
    for k in range(10):
        cx, wide = drum.width * (k + 0.5) / 10, drum.width * 0.05
        window(drum, cx, 0.8, wide, 2.4, "round", style.trim, style.frame)
    checker(drum, 0, 3.7, drum.width, 4.4, 0.4, tile, _IVORY)
    return drum


def _minarets(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    half: float,
    h: float,
    tile: Colour,
    stone: Texture,
    gold: Texture,
) -> None:
    """Set two or four slender towers beside the hall, with two balconies each."""
    tall = rng.uniform(34, 42)
    around = Canvas(rng, 5, tall)
    lay(around, style)
    for level in np.linspace(0.3, 0.9, 4):
        checker(around, 0, tall * level, 5, tall * level + 1.2, 0.5, tile, _IVORY)
    slit = ("pointed", style.trim, style.frame, 0.1)
    for x in (0.6, 1.9, 3.1, 4.4):
        for level in (0.2, 0.5, 0.78):
            window(around, x, tall * level, 0.4, 1.6, *slit, bars=(1, 1), sill=False)
    minaret = around.finish()
    count = 4 if rng.random() < 0.6 else 2
    for sx, sy in ((-1, -1), (1, -1), (-1, 1), (1, 1))[:count]:
        x, y = sx * (half + 2), sy * (half + 1)
        box(b, x - 1.9, y - 1.9, x + 1.9, y + 1.9, 0, h * 0.7, stone, top=stone)
        frustum(b, x, y, (1.35, 1.1), (h * 0.7, tall), 10, minaret)
        for level in (0.55, 0.8):
            z = tall * level
            frustum(b, x, y, (1.2, 2.0), (z - 1.2, z), 10, stone, (6, 6), cap=stone)
            frustum(b, x, y, (2.0, 2.0), (z, z + 1.0), 10, stone, (6, 6))
        roof_t = gold if rng.random() < 0.3 else metal_texture(rng, style.metal)
        frustum(b, x, y, (1.35, 0), (tall, tall + 6.5), 10, roof_t, (6, 6))
