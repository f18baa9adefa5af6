"""Town halls."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.facade import facade
from sample_world.buildings.style import Style, lay, plinth
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.clock import clock
from sample_world.drawing.colours import shade
from sample_world.drawing.materials import metal_texture, roof_texture, stone_texture
from sample_world.drawing.ornaments import cornice
from sample_world.drawing.texture import Texture
from sample_world.drawing.windows import window
from sample_world.modelling.bodies import box, dome, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh
from sample_world.modelling.roofs import gable

_STEPS = 6  # of a stepped gable


def townhall(rng: np.random.Generator, style: Style) -> Mesh:
    """A guildhall: stepped gables, rows of tall windows, a belfry on the ridge."""
    b = MeshBuilder(LANDMARK)
    w, d, h = rng.uniform(20, 26), rng.uniform(13, 16), rng.uniform(13, 16)
    rise = d * rng.uniform(0.62, 0.8)
    bays = int(rng.integers(6, 9))
    ground = str(rng.choice(["arcade", "windows"]))
    front = facade(rng, style, w, h, 3, bays, True, ground=ground)
    roof_t = roof_texture(rng, style.roof)
    gable_t = _gable_end(rng, style, d, h, rise)
    stone = _stepped_gables(b, rng, style, w, d, h, rise, gable_t)
    b.wall((-w / 2, -d / 2), (w / 2, -d / 2), 0, h, front)
    b.wall((w / 2, d / 2), (-w / 2, d / 2), 0, h, front)
    gable(b, -w / 2, -d / 2, w / 2, d / 2, h, rise, roof_t, (6, 6), None, "x", 0.0)
    _dormers(b, rng, style, w, d, h, rise, stone, roof_t)
    _belfry(b, rng, style, w, h + rise - 2, stone)
    return b.build()


def _gable_end(rng: np.random.Generator, style: Style, d: float, h: float, rise: float) -> Texture:
    """Draw a narrow end: rows of windows, fewer towards the top."""
    end = Canvas(rng, d, h + rise + 2)
    lay(end, style)
    plinth(end, style, 1.4)
    levels = 6
    for level in range(levels):
        y = 2.2 + level * (h + rise) / levels
        room = d * (0.84 if y < h else 0.84 * max(0.12, 1 - (y + 2 - h) / rise))
        count = max(1, int(room / 2.6))
        for k in range(count):
            cx = d / 2 + (k - (count - 1) / 2) * 2.6
            opening = (style.opening, style.trim, style.frame)
            window(end, cx, y, 1.25, 2.2, *opening, head="keystone")
        end.rectangle(0, y - 0.6, d, y - 0.4, colour=style.trim, relief=0.2)
    return end.finish()


def _stepped_gables(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    w: float,
    d: float,
    h: float,
    rise: float,
    texture: Texture,
) -> Texture:
    """Build both ends of the hall in steps, with coping stones; returns the stone of these."""
    total = h + rise + 2
    for sign in (-1, 1):
        x = sign * w / 2
        for k in range(_STEPS):
            reach = d / 2 * (1 - k / _STEPS)
            z0 = h + rise * k / _STEPS + 0.6 if k else 0.0
            z1 = h + rise * (k + 1) / _STEPS + 0.6
            for outside in (1, -1):
                xx = x + outside * sign * 0.35
                y0, y1 = (-reach, reach) if outside * sign > 0 else (reach, -reach)
                span = ((y0 + d / 2) / d, z0 / total, (y1 + d / 2) / d, z1 / total)
                b.wall((xx, y0), (xx, y1), z0, z1, texture, span)
    stone = stone_texture(rng, style.trim)
    for sign in (-1, 1):
        x = sign * w / 2
        for k in range(_STEPS):
            reach = d / 2 * (1 - k / _STEPS)
            inner = d / 2 * (1 - (k + 1) / _STEPS)
            z1 = h + rise * (k + 1) / _STEPS + 0.6
            for y0, y1 in ((-reach, -inner), (inner, reach)):
                box(b, x - 0.5, y0, x + 0.5, y1, z1 - 0.02, z1 + 0.35, stone, top=stone)
    return stone


def _dormers(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    w: float,
    d: float,
    h: float,
    rise: float,
    stone: Texture,
    roof_t: Texture,
) -> None:
    """Set four small gabled windows on either slope of the roof."""
    dormer = Canvas(rng, 2.6, 3.4)
    lay(dormer, style)
    window(dormer, 1.3, 0.7, 1.3, 1.9, style.opening, style.trim, style.frame)
    dormer_t = dormer.finish()
    up = 0.16  # the share of the slope below them
    z = h + rise * up
    for x in np.linspace(-w * 0.36, w * 0.36, 4):
        for back in (-1, 1):
            y = back * d / 2 * (1 - up)
            y0, y1 = sorted((y, y - back * 3.0))
            box(b, x - 1.3, y0, x + 1.3, y1, z - 0.8, z + 2.6, dormer_t, stone)
            gable(b, x - 1.3, y0, x + 1.3, y1, z + 2.6, 1.6, roof_t, (6, 6), dormer_t, "y", 0.2)


def _belfry(
    b: MeshBuilder, rng: np.random.Generator, style: Style, w: float, z: float, stone: Texture
) -> None:
    """Set a belfry with clocks and an onion roof on the ridge, from z up."""
    width, tall = rng.uniform(4.2, 5.4), rng.uniform(11, 15)
    bell = Canvas(rng, width, tall)
    lay(bell, style)
    clock(bell, width / 2, tall * 0.36, width * 0.32, (0.9, 0.88, 0.8), (0.1, 0.1, 0.12))
    slats = shade(style.trim, 0.7)
    for k in range(2):
        cx, y = width * (0.28 + 0.44 * k), tall * 0.62
        size = (width * 0.26, tall * 0.24)
        window(bell, cx, y, *size, style.opening, style.trim, slats, bars=(1, 5))
    cornice(bell, tall * 0.52, 0.5, style.trim, 0.3)
    cornice(bell, tall * 0.92, tall * 0.08, style.trim, 0.4)
    x = float(rng.choice([0.0, w * 0.25, -w * 0.25]))
    r, top = width / 2, z + tall
    box(b, x - r, -r, x + r, r, z, top, bell.finish(), top=stone)
    cap_t = metal_texture(rng, style.metal)
    dome(b, x, 0, top, r * 1.25, r * 1.4, cap_t, 8, 5, onion=0.25, turn=np.pi / 8)
    neck = top + r * 2.4
    frustum(b, x, 0, (r * 0.4, r * 0.4), (top + r * 1.2, neck), 8, stone, (6, 6))
    frustum(b, x, 0, (r * 0.55, 0), (neck, top + r * 4.4), 8, cap_t, (6, 6))
