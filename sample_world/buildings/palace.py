"""Palaces."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.facade import facade
from sample_world.buildings.parts import column_texture, finial
from sample_world.buildings.style import Style
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.carvings import frieze
from sample_world.drawing.clock import clock
from sample_world.drawing.colours import shade
from sample_world.drawing.materials import metal_texture, roof_texture, stone_texture
from sample_world.drawing.ornaments import balustrade
from sample_world.drawing.palettes import METALS
from sample_world.drawing.surfaces import plaster
from sample_world.drawing.texture import Texture
from sample_world.modelling.bodies import box, dome, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh
from sample_world.modelling.roofs import gable, hip


def palace(rng: np.random.Generator, style: Style) -> Mesh:
    """A long front of three storeys with a raised middle, corner pavilions and tall roofs."""
    b = MeshBuilder(LANDMARK)
    mid_w, wing_w, end_w = rng.uniform(13, 16), rng.uniform(13, 18), rng.uniform(8, 10)
    h, depth = rng.uniform(14, 18), rng.uniform(14, 18)
    mid = facade(rng, style, mid_w, h * 1.15, 3, 5, True)
    wing = facade(rng, style, wing_w, h, 3, max(4, round(wing_w / 3.0)))
    end = facade(rng, style, end_w, h * 1.08, 3, 3)
    side = facade(rng, style, depth, h, 3, 5)
    roof_t = roof_texture(rng, style.roof)
    stone = stone_texture(rng, style.trim)
    rail = Canvas(rng, 12, 1.3)
    balustrade(rail, 0, 1.3, style.trim)
    rail_t = rail.finish(0.08)
    y0, y1 = -depth / 2, depth / 2
    box(b, -mid_w / 2, y0 - 2.5, mid_w / 2, y1, 0, h * 1.15, mid, side, stone)
    for sign in (-1, 1):
        x0, x1 = sorted((sign * mid_w / 2, sign * (mid_w / 2 + wing_w)))
        box(b, x0, y0, x1, y1, 0, h, wing, side, stone)
        b.wall((x0, y0 + 0.1), (x1, y0 + 0.1), h, h + 1.3, rail_t, two_sided=True)
        hip(b, x0, y0 + 1.0, x1, y1, h, 3.2, roof_t, (6, 6), 0.0, 0.4)
        e0, e1 = sorted((sign * (mid_w / 2 + wing_w), sign * (mid_w / 2 + wing_w + end_w)))
        box(b, e0, y0 - 1.8, e1, y1, 0, h * 1.08, end, side, stone)
        hip(b, e0, y0 - 1.8, e1, y1, h * 1.08, end_w * 0.62, roof_t, (6, 6), 0.3, 0.25)
    if rng.random() < 0.5:
        _tall_roof(b, rng, style, mid_w, depth, h * 1.15, roof_t)
    else:
        rise = mid_w * 0.22
        pediment = _pediment(rng, style, mid_w, rise)
        x = mid_w / 2
        gable(b, -x, y0 - 2.5, x, y1, h * 1.15, rise, roof_t, (6, 6), pediment, "y", 0.5)
    _portico(b, rng, style, mid_w, y0, h, stone, rail_t)
    return b.build()


def _tall_roof(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    width: float,
    depth: float,
    z: float,
    roof_t: Texture,
) -> None:
    """Put a steep roof with a lantern on the middle."""
    rise, half = width * 0.45, width / 2
    hip(b, -half, -depth / 2 - 2.5, half, depth / 2, z, rise, roof_t, (6, 6), 0.3, 0.3)
    top = z + rise
    bell = facade(rng, style, 4, 5, 1, 2, rusticated=False)
    box(b, -2, -2, 2, 2, top - 1, top + 4, bell)
    dome(b, 0, 0, top + 4, 2.7, 2.6, metal_texture(rng, style.metal), 12, 5)
    finial(b, 0, 0, top + 6.5, 0.8, metal_texture(rng, METALS[2]))


def _pediment(rng: np.random.Generator, style: Style, width: float, rise: float) -> Texture:
    """Draw a gable with figures around a clock."""
    pediment = Canvas(rng, width, rise)
    plaster(pediment, shade(style.wall, 0.9))
    frieze(pediment, rise * 0.06, rise * 0.4, style.trim, width * 0.2, width * 0.8)
    clock(pediment, width / 2, rise * 0.58, rise * 0.18, (0.88, 0.86, 0.8), (0.1, 0.1, 0.1))
    edge = np.array([[0, 0.1], [width / 2, rise - 0.1], [width, 0.1]])
    pediment.line(edge, 0.7, style.trim, 0.3)
    return pediment.finish()


def _portico(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    width: float,
    y: float,
    h: float,
    stone: Texture,
    rail_t: Texture,
) -> None:
    """Set columns on a balcony before the middle, whose wall stands near y."""
    half, shaft_h = width / 2, h * 0.62
    shaft = column_texture(rng, style.trim, shaft_h)
    foot, top = h * 0.36, h * 0.36 + shaft_h
    spots = np.linspace(-width / 2 + 0.8, width / 2 - 0.8, 6)
    for x in spots:
        frustum(b, x, y - 3.5, (0.55, 0.48), (foot, top), 8, shaft)
    box(b, -half, y - 4.2, half, y - 2.4, h * 0.3, foot, rail_t, stone, stone, bottom=True)
    box(b, -half, y - 4.2, half, y - 2.4, top, top + 1.0, stone, top=stone, bottom=True)
    for x in spots:
        box(b, x - 0.6, y - 4.1, x + 0.6, y - 2.9, 0, h * 0.3, stone)
