"""Columned porches."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.parts import column_texture
from sample_world.buildings.style import Style
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.carvings import frieze
from sample_world.drawing.colours import shade
from sample_world.drawing.materials import roof_texture, stone_texture
from sample_world.drawing.ornaments import cornice
from sample_world.drawing.surfaces import plaster
from sample_world.modelling.bodies import box, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.roofs import gable


def porch(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    cx: float,
    y_back: float,
    width: float,
    depth: float,
    height: float,
    columns: int,
) -> None:
    """Add a columned porch with a carved pediment, in front of y = y_back."""
    x0, x1, y0 = cx - width / 2, cx + width / 2, y_back - depth
    stone = stone_texture(rng, style.trim)
    for step in range(3):
        grow, z = (2 - step) * 0.5, step * 0.3
        box(b, x0 - grow, y0 - grow, x1 + grow, y_back, z, z + 0.3, stone, top=stone)
    shaft_h = height * 0.78 - 0.9
    shaft = column_texture(rng, style.trim, shaft_h)
    for x in np.linspace(x0 + 0.9, x1 - 0.9, columns):
        frustum(b, x, y0 + 0.9, (0.62, 0.52), (0.9, 0.9 + shaft_h), 10, shaft)
    beam_h = height - 0.9 - shaft_h
    beam = Canvas(rng, width, beam_h)
    plaster(beam, style.trim)
    frieze(beam, beam_h * 0.2, beam_h * 0.45, style.trim)
    cornice(beam, beam_h * 0.75, beam_h * 0.25, style.trim, 0.3)
    beam_t = beam.finish()
    box(b, x0, y0, x1, y_back, 0.9 + shaft_h, height, beam_t, top=stone, bottom=True)
    rise = width * 0.2
    pediment = _pediment(rng, style, width, rise)
    roof_t = roof_texture(rng, style.roof)
    gable(b, x0, y0, x1, y_back, height, rise, roof_t, (6, 6), pediment.finish(), "y", 0.5)


def _pediment(rng: np.random.Generator, style: Style, width: float, rise: float) -> Canvas:
    """Draw a gable with two rows of figures, the upper one shorter."""
    pediment = Canvas(rng, width, rise)
    plaster(pediment, shade(style.trim, 0.86))
    for level, share in ((0.05, 0.5), (0.42, 0.28)):
        x0, x1 = width * (0.5 - share * 0.6), width * (0.5 + share * 0.6)
        frieze(pediment, rise * level, rise * 0.38, style.trim, x0, x1)
    edge = np.array([[0, 0.1], [width / 2, rise - 0.1], [width, 0.1]])
    pediment.line(edge, 0.6, shade(style.trim, 1.05), 0.3)
    pediment.line(np.array([[0, 0.15], [width, 0.15]]), 0.4, style.trim, 0.25)
    return pediment
