"""Rotundas."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.parts import dome_texture, finial
from sample_world.buildings.porch import porch
from sample_world.buildings.style import Style, lay, plinth
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.carvings import frieze, niche
from sample_world.drawing.materials import metal_texture, stone_texture
from sample_world.drawing.ornaments import cornice, pilaster
from sample_world.drawing.palettes import METALS
from sample_world.drawing.surfaces import plaster
from sample_world.drawing.windows import window
from sample_world.modelling.bodies import dome, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh


def rotunda(rng: np.random.Generator, style: Style) -> Mesh:
    """A round hall: drum with columns, ribbed dome, lantern, and a porch with a pediment."""
    b = MeshBuilder(LANDMARK)
    radius, base_h, drum_h = rng.uniform(10, 13), rng.uniform(8, 11), rng.uniform(7, 10)
    half_way = 2 * np.pi * radius / 2
    ground = Canvas(rng, half_way, base_h)
    lay(ground, style)
    plinth(ground, style, 1.3)
    bays = int(rng.integers(7, 11))
    _draw_ground_floor(ground, style, bays)
    ground_t, top_t = ground.finish(repeat=True), stone_texture(rng, style.trim)
    frustum(b, 0, 0, (radius * 1.25,) * 2, (0, base_h), 24, ground_t, wraps=2, cap=top_t)
    drum = Canvas(rng, half_way, drum_h)
    lay(drum, style)
    _draw_drum(drum, style, bays)
    top = base_h + drum_h
    frustum(b, 0, 0, (radius,) * 2, (base_h, top), 24, drum.finish(repeat=True), wraps=2)
    stone = stone_texture(rng, style.trim)
    z = top + 0.9
    frustum(b, 0, 0, (radius * 1.05,) * 2, (top, z), 24, stone, (6, 6), cap=stone)
    rise = radius * rng.uniform(0.75, 1.15)
    skin = dome_texture(rng, style.metal, int(rng.choice([8, 10, 12])), style)
    dome(b, 0, 0, z, radius * 0.98, rise, skin, 24, 8, top=0.16)
    _lantern(b, rng, style, radius, z + (rise - 0.2))
    width, columns = rng.uniform(12, 15), int(rng.choice([4, 6]))
    porch(b, rng, style, 0.0, -radius * 1.2, width, 6.5, base_h * 0.86, columns)
    return b.build()


def _draw_ground_floor(ground: Canvas, style: Style, bays: int) -> None:
    """Draw windows, or niches and windows in turn, between half columns."""
    pitch, height = ground.width / bays, ground.height
    for k in range(bays):
        cx = (k + 0.5) * pitch
        if style.ornament == "niches" and k % 2:
            niche(ground, cx, 2, pitch * 0.36, height * 0.5, style.trim)
        else:
            size = (pitch * 0.4, height * 0.52)
            window(ground, cx, 2, *size, "round", style.trim, style.frame)
        pilaster(ground, k * pitch + 0.01, 1.3, height - 1.0, 0.8, style.trim)
    cornice(ground, height - 1.0, 1.0, style.trim, 0.5)


def _draw_drum(drum: Canvas, style: Style, bays: int) -> None:
    """Draw the tall windows below the dome, with a half column at either side of each."""
    pitch, height = drum.width / bays, drum.height
    for k in range(bays):
        cx, size = (k + 0.5) * pitch, (pitch * 0.42, height - 3.6)
        window(drum, cx, 1.2, *size, style.opening, style.trim, style.frame, bars=(2, 4))
        for x in (k * pitch + 0.4, (k + 1) * pitch - 0.4):
            pilaster(drum, x, 0.2, height - 1.4, 0.7, style.trim)
    frieze(drum, height - 1.5, 0.8, style.trim)
    cornice(drum, height - 0.7, 0.7, style.trim, 0.45)


def _lantern(
    b: MeshBuilder, rng: np.random.Generator, style: Style, radius: float, z: float
) -> None:
    """Set a small turret of windows on the dome's open top."""
    lantern = Canvas(rng, 8, 4)
    plaster(lantern, style.trim)
    opening = ("round", style.trim, style.frame, 0.08)
    for k in range(8):
        window(lantern, k + 0.5, 0.5, 0.5, 2.6, *opening, sill=False)
    frustum(b, 0, 0, (radius * 0.17,) * 2, (z, z + 3.4), 8, lantern.finish())
    metal = metal_texture(rng, style.metal)
    dome(b, 0, 0, z + 3.4, radius * 0.2, radius * 0.2, metal, 8, 4)
    finial(b, 0, 0, z + 3.4 + radius * 0.2, 0.9, metal_texture(rng, METALS[2]))
