"""Repeating patches of what things are made of: stone, roof tiles, sheet metal, paint."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour
from sample_world.drawing.surfaces import masonry, seams, tiles
from sample_world.drawing.texture import Texture


def plain_texture(rng: np.random.Generator, colour: Colour, glass: int = 0) -> Texture:
    """Return a repeating patch of one colour, 1 m square; `glass` as in `Canvas.polygon`."""
    canvas = Canvas(rng, 1, 1, 32, colour)
    canvas.glass[:] = glass
    return canvas.finish(0.03, repeat=True)


def stone_texture(rng: np.random.Generator, colour: Colour, course: float = 0.5) -> Texture:
    """Return a repeating patch of masonry, 6 m square."""
    canvas = Canvas(rng, 6, 6, 24)
    masonry(canvas, colour, course, course * 2, 0.06)
    return canvas.finish(0.1, repeat=True)


def roof_texture(rng: np.random.Generator, colour: Colour) -> Texture:
    """Return a repeating patch of tiles, 6 m square."""
    canvas = Canvas(rng, 6, 6, 24)
    tiles(canvas, colour, float(rng.uniform(0.28, 0.45)), float(rng.uniform(0.25, 0.4)))
    return canvas.finish(0.12, repeat=True)


def metal_texture(rng: np.random.Generator, colour: Colour) -> Texture:
    """Return a repeating patch of standing-seam sheet, 6 m square."""
    canvas = Canvas(rng, 6, 6, 20)
    seams(canvas, colour, 0.6)
    return canvas.finish(0.08, repeat=True)
