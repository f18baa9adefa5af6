"""Temples."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.facade import facade
from sample_world.buildings.parts import column_texture
from sample_world.buildings.style import Style, lay
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.carvings import frieze
from sample_world.drawing.colours import shade
from sample_world.drawing.materials import roof_texture, stone_texture
from sample_world.drawing.ornaments import cornice
from sample_world.drawing.surfaces import plaster
from sample_world.drawing.texture import Texture
from sample_world.modelling.bodies import box, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh
from sample_world.modelling.roofs import gable


def temple(rng: np.random.Generator, style: Style) -> Mesh:
    """A hall inside a ring of columns, on steps, with carved pediments."""
    b = MeshBuilder(LANDMARK)
    across, along = int(rng.choice([6, 8])), int(rng.integers(9, 13))
    pitch, shaft_h = rng.uniform(2.9, 3.5), rng.uniform(8.5, 11)
    w, d = (across - 1) * pitch + 2.2, (along - 1) * pitch + 2.2
    x, y = w / 2, d / 2
    stone = stone_texture(rng, style.trim, 0.6)
    for step in range(4):
        grow, z = (3 - step) * 0.8, step * 0.5
        box(b, -x - grow, -y - grow, x + grow, y + grow, z, z + 0.5, stone, top=stone)
    shaft = column_texture(rng, style.trim, shaft_h)
    _columns(b, (w, d), (across, along), shaft_h, shaft, stone)
    inner = facade(rng, style, w - 7, shaft_h, 1, 3, True, rusticated=False)
    inner_side = Canvas(rng, d - 8, shaft_h)
    lay(inner_side, style)
    frieze(inner_side, shaft_h * 0.68, 1.6, style.accent)
    z = 2 + shaft_h
    box(b, -x + 3.5, -y + 4, x - 3.5, y - 4, 2, z, inner, inner_side.finish())
    beam_h = rng.uniform(2.4, 3.2)
    front, side = (_beam(rng, style, length, beam_h, pitch) for length in (w, d))
    box(b, -x, -y, x, y, z, z + beam_h, front, side, stone, bottom=True)
    rise = w * rng.uniform(0.17, 0.24)
    pediment = _pediment(rng, style, w, rise)
    roof_t = roof_texture(rng, style.roof)
    gable(b, -x, -y, x, y, z + beam_h, rise, roof_t, (6, 6), pediment.finish(), "y", 0.6)
    return b.build()


def _columns(
    b: MeshBuilder,
    size: tuple[float, float],
    counts: tuple[int, int],
    height: float,
    shaft: Texture,
    stone: Texture,
) -> None:
    """Stand columns around a rectangle, `counts` of them across and along it."""
    (w, d), (across, along) = size, counts
    xs = np.linspace(-w / 2 + 1.1, w / 2 - 1.1, across)
    ys = np.linspace(-d / 2 + 1.1, d / 2 - 1.1, along)
    spots = [(x, y) for x in xs for y in (ys[0], ys[-1])]
    spots += [(x, y) for y in ys[1:-1] for x in (xs[0], xs[-1])]
    top = 2 + height
    for x, y in spots:
        frustum(b, x, y, (0.82, 0.64), (2, top - 0.5), 9, shaft)
        box(b, x - 0.95, y - 0.95, x + 0.95, y + 0.95, top - 0.5, top, stone)


def _beam(
    rng: np.random.Generator, style: Style, length: float, height: float, pitch: float
) -> Texture:
    """Draw what lies on the columns: grooved blocks and round shields in turn."""
    beam = Canvas(rng, length, height)
    plaster(beam, style.trim)
    low, high = height * 0.4, height * 0.8
    beam.rectangle(0, low, length, high, colour=shade(style.accent, 0.9), relief=-0.05)
    for x in np.arange(pitch / 4, length, pitch / 2):
        beam.rectangle(x - 0.3, low, x + 0.3, high, colour=style.trim, relief=0.15)
        for groove in (-0.12, 0.12):
            ends = [[x + groove, height * 0.42], [x + groove, height * 0.78]]
            beam.line(np.array(ends), 0.08, shade(style.trim, 0.6), 0.05)
        beam.disc(x + pitch / 4, height * 0.6, height * 0.14, colour=style.trim, relief=0.1)
    cornice(beam, height * 0.82, height * 0.18, style.trim, 0.4)
    return beam.finish()


def _pediment(rng: np.random.Generator, style: Style, width: float, rise: float) -> Canvas:
    """Draw a gable with two rows of figures and a shield."""
    pediment = Canvas(rng, width, rise)
    plaster(pediment, shade(style.accent, 0.8))
    for level, share in ((0.04, 0.62), (0.36, 0.36)):
        x0, x1 = width * (0.5 - share * 0.5), width * (0.5 + share * 0.5)
        frieze(pediment, rise * level, rise * 0.36, style.trim, x0, x1)
    pediment.disc(width / 2, rise * 0.55, rise * 0.13, colour=style.trim, relief=0.2)
    edge = np.array([[0, 0.15], [width / 2, rise - 0.1], [width, 0.15]])
    pediment.line(edge, 0.8, style.trim, 0.35)
    pediment.line(np.array([[0, 0.2], [width, 0.2]]), 0.5, style.trim, 0.3)
    return pediment
