"""Monuments."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.facade import facade
from sample_world.buildings.style import Style, lay, plinth
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.carvings import frieze, niche
from sample_world.drawing.colours import shade
from sample_world.drawing.materials import metal_texture, stone_texture
from sample_world.drawing.ornaments import cornice
from sample_world.drawing.palettes import METALS
from sample_world.drawing.surfaces import plaster
from sample_world.drawing.texture import Texture
from sample_world.modelling.bodies import box, dome, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh


def monument(rng: np.random.Generator, style: Style) -> Mesh:
    """A column or obelisk with reliefs on a tall stepped pedestal, with lesser figures around."""
    b = MeshBuilder(LANDMARK)
    w = rng.uniform(8, 10)
    stone = stone_texture(rng, style.trim, 0.6)
    for step in range(5):
        r = w * (1.25 - 0.12 * step) / 2 * 1.6
        box(b, -r, -r, r, r, step * 0.45, step * 0.45 + 0.45, stone, top=stone)
    z, height = 2.25, rng.uniform(7, 9)
    base = _pedestal(rng, style, w, height)
    box(b, -w / 2, -w / 2, w / 2, w / 2, z, z + height, base, top=stone)
    z += height
    tall = rng.uniform(22, 30)
    gold = metal_texture(rng, METALS[int(rng.choice([0, 2]))])
    if rng.random() < 0.5:
        _obelisk(b, rng, style, w, z, tall, gold)
    else:
        _column(b, rng, style, w, z, tall, stone, gold)
    figure = facade(rng, style, 2.4, 3.0, 1, 1, rusticated=False)
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * w * 0.78, sy * w * 0.78
            box(b, x - 1.2, y - 1.2, x + 1.2, y + 1.2, 0, 3.0, figure, top=stone)
            frustum(b, x, y, (0.85, 0.4), (3.0, 5.6), 7, gold, (6, 6))
            dome(b, x, y, 5.5, 0.42, 0.8, gold, 7, 3)
    return b.build()


def _pedestal(rng: np.random.Generator, style: Style, w: float, h: float) -> Texture:
    """Draw a side of the pedestal: figures below a name."""
    base = Canvas(rng, w, h)
    lay(base, style)
    plinth(base, style, 1.2)
    frieze(base, 1.6, h * 0.38, style.trim, w * 0.08, w * 0.92)
    panel = shade(style.trim, 1.05)
    base.rectangle(w * 0.15, h * 0.68, w * 0.85, h * 0.86, colour=panel, relief=0.12)
    name = str(rng.choice(["MDCCCXV", "PAX", "VICTORIA", "INVICTA", "1848"]))
    base.text(name, w / 2, h * 0.77, h * 0.11, shade(style.trim, 0.4))
    cornice(base, h * 0.9, h * 0.1, style.trim, 0.5)
    return base.finish()


def _obelisk(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    w: float,
    z: float,
    tall: float,
    gold: Texture,
) -> None:
    """Build a square needle covered with signs, from z up, with a gilt point."""
    shaft = Canvas(rng, w * 0.5, tall)
    lay(shaft, style)
    for k in range(int(tall / 3)):
        for x in np.linspace(0.5, w * 0.5 - 0.5, 3):
            _sign(shaft, style, int(rng.integers(4)), x, 1 + k * 3)
    radii, top, square = (w * 0.34, w * 0.22), z + tall, np.pi / 4
    frustum(b, 0, 0, radii, (z, top), 4, shaft.finish(), wraps=4, turn=square)
    frustum(b, 0, 0, (w * 0.22, 0), (top, top + w * 0.4), 4, gold, (6, 6), turn=square)


def _sign(shaft: Canvas, style: Style, kind: int, x: float, y: float) -> None:
    """Carve a disc, a figure, a triangle or a zigzag."""
    dark = shade(style.trim, 0.5)
    if kind == 0:
        shaft.disc(x, y, 0.4, colour=dark, relief=-0.1)
    elif kind == 1:
        niche(shaft, x, y - 0.6, 0.7, 1.5, style.trim)
    elif kind == 2:
        triangle = np.array([[x - 0.4, y], [x + 0.4, y], [x, y + 0.9]])
        shaft.polygon(triangle, colour=dark, relief=-0.1)
    else:
        zigzag = [[x - 0.4, y], [x - 0.1, y + 0.7], [x + 0.2, y], [x + 0.5, y + 0.7]]
        shaft.line(np.array(zigzag), 0.16, dark, -0.1)


def _column(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    w: float,
    z: float,
    tall: float,
    stone: Texture,
    gold: Texture,
) -> None:
    """Build a column wound with friezes, from z up, that carries a winged figure."""
    around = w * 1.1
    shaft = Canvas(rng, around, tall)
    plaster(shaft, style.trim, 0.05)
    for k in range(int(tall / 2.2)):
        frieze(shaft, 0.3 + k * 2.2, 1.7, style.trim)
        low, high, band = 2.0 + k * 2.2, 2.3 + k * 2.2, shade(style.trim, 1.08)
        shaft.rectangle(0, low, around, high, colour=band, relief=0.15)
    top = z + tall
    frustum(b, 0, 0, (w * 0.24, w * 0.2), (z, top), 14, shaft.finish())
    frustum(b, 0, 0, (w * 0.2, w * 0.32), (top, top + 1.2), 14, stone, (6, 6), cap=stone)
    frustum(b, 0, 0, (w * 0.12, w * 0.12), (top + 1.2, top + 2.4), 8, stone, (6, 6), cap=stone)
    frustum(b, 0, 0, (0.9, 0.45), (top + 2.4, top + 5.6), 7, gold, (6, 6))
    dome(b, 0, 0, top + 5.5, 0.5, 0.9, gold, 8, 4)
    for sign in (-1, 1):
        b.face(
            [[0, 0, top + 4.8], [sign * 2.0, 0.3, top + 6.4], [sign * 0.4, 0, top + 3.9]],
            gold,
            [[0, 0], [0.3, 0], [0.3, 0.3]],
            two_sided=True,
        )
