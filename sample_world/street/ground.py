"""Pavements, asphalt and grass."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, shade
from sample_world.drawing.noise import fractal_noise
from sample_world.drawing.surfaces import masonry
from sample_world.drawing.texture import Texture


def ground(rng: np.random.Generator, kind: str, colour: Colour) -> Texture:
    """Draw a repeating piece of ground, 8 m square."""
    canvas = Canvas(rng, 8, 8, 48)
    rows, columns = canvas.relief.shape
    if kind == "slabs":
        size = float(rng.choice([0.5, 0.8, 1.0]))
        masonry(canvas, colour, size, size, 0.06, joint=0.025, depth=0.012)
    elif kind == "cobbles":
        masonry(canvas, colour, 0.16, 0.2, 0.13, shade(colour, 0.5), 0.045, 0.03)
    elif kind == "asphalt":
        grain = rng.standard_normal((rows, columns), dtype=np.float32)
        wide = fractal_noise(rng, rows, columns, cells=5, octaves=4)
        value = np.array(colour) * (1 + 0.1 * grain[..., None] + 0.05 * wide[..., None])
        canvas.colour[:] = np.clip(value * 255, 5, 250)
    else:
        blades = fractal_noise(rng, rows, columns, cells=110, octaves=2, stretch=1.8)
        wide = fractal_noise(rng, rows, columns, cells=6, octaves=5)
        value = np.array(colour) * (1 + 0.17 * blades[..., None] + 0.1 * wide[..., None])
        value[..., 0] += 0.02 * wide
        canvas.colour[:] = np.clip(value * 255, 3, 250)
        canvas.relief[:] = 0.02 * blades
    return canvas.finish(0.06, repeat=True, bump=0.6)
