"""The style of a building: what it is made of, how its walls are laid, its windows and ornament."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, blend, shade, vary
from sample_world.drawing.palettes import BRICKS, METALS, PLASTERS, ROOFS, STONES
from sample_world.drawing.surfaces import masonry, plaster


@dataclass(frozen=True)
class Style:
    """What one landmark is made of: colours, how walls are laid, windows and ornament."""

    wall: Colour
    trim: Colour
    roof: Colour
    metal: Colour
    frame: Colour
    door: Colour
    accent: Colour
    laid: str
    course: float
    block: float
    opening: str
    head: str
    ornament: str


def choose_style(rng: np.random.Generator) -> Style:
    """Return a style drawn at random."""
    laid = str(rng.choice(["ashlar", "courses", "brick", "plaster", "stripes"]))
    wall = {"brick": BRICKS, "plaster": PLASTERS}.get(laid, STONES)
    wall_colour = vary(rng, wall[int(rng.integers(len(wall)))], 0.05)
    stone = STONES[int(rng.integers(len(STONES)))]
    trim = (
        vary(rng, blend(stone, (0.9, 0.87, 0.8), 0.45), 0.03)
        if laid in ("brick", "plaster")
        else shade(wall_colour, float(rng.uniform(1.04, 1.16)))
    )
    accent = BRICKS[int(rng.integers(len(BRICKS)))]
    return Style(
        wall=wall_colour,
        trim=trim,
        roof=vary(rng, ROOFS[int(rng.integers(len(ROOFS)))], 0.07),
        metal=vary(rng, METALS[int(rng.integers(len(METALS)))], 0.05),
        frame=vary(rng, ((0.85, 0.83, 0.78), (0.3, 0.24, 0.18))[int(rng.random() < 0.35)], 0.04),
        door=vary(
            rng,
            ((0.36, 0.22, 0.12), (0.16, 0.27, 0.24), (0.42, 0.14, 0.12))[int(rng.integers(3))],
            0.08,
        ),
        accent=vary(rng, accent, 0.06),
        laid=laid,
        course=float(rng.uniform(0.34, 0.62)),
        block=float(rng.uniform(0.7, 1.5)),
        opening=str(rng.choice(["round", "pointed", "segment", "rect"])),
        head=str(rng.choice(["none", "ledge", "pediment", "arc", "keystone"])),
        ornament=str(rng.choice(["niches", "checker", "frieze", "pilasters", "plain"])),
    )


def lay(canvas: Canvas, style: Style) -> None:
    """Cover a canvas with the wall of a style."""
    if style.laid == "brick":
        masonry(canvas, style.wall, 0.16, 0.36, 0.1, shade(style.trim, 0.85), 0.03, 0.012)
    elif style.laid == "plaster":
        plaster(canvas, style.wall, 0.035)
    elif style.laid == "stripes":
        masonry(canvas, style.wall, style.course, style.block, 0.05)
        band = style.course * 2
        for k, y in enumerate(np.arange(0, canvas.height, band)):
            if k % 3 == 2:
                region = (0.0, float(y), canvas.width, min(float(y + band / 2), canvas.height))
                masonry(canvas, style.accent, style.course, style.block, 0.06, region=region)
    else:
        masonry(
            canvas,
            style.wall,
            style.course,
            style.block,
            0.075,
            courses_vary=style.laid == "courses",
        )


def plinth(canvas: Canvas, style: Style, height: float) -> None:
    """Lay a rusticated base course along the foot of a wall."""
    masonry(
        canvas,
        shade(style.trim, 0.86),
        height / max(1, round(height / 0.6)),
        1.1,
        0.05,
        shade(style.trim, 0.5),
        0.07,
        0.07,
        region=(0.0, 0.0, canvas.width, height),
        relief=0.12,
    )
