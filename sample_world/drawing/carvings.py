"""Carved figures: one in a niche, many along a frieze."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, shade, vary
from sample_world.drawing.outlines import arch


def niche(canvas: Canvas, cx: float, y: float, width: float, height: float, stone: Colour) -> None:
    """Draw a niche with a standing figure."""
    canvas.polygon(
        arch(cx, y, width * 1.25, height * 1.08, "round"), colour=shade(stone, 1.05), relief=0.12
    )
    canvas.polygon(arch(cx, y, width, height, "round"), colour=shade(stone, 0.45), relief=-0.35)
    figure = vary(canvas.rng, shade(stone, 0.98), 0.06)
    lean = canvas.rng.uniform(-0.08, 0.08) * width
    canvas.trapezoid(
        cx,
        (y + height * 0.06, y + height * 0.62),
        (width * 0.26, width * 0.2),
        lean,
        colour=figure,
        relief=0.05,
    )
    canvas.disc(cx + lean, y + height * 0.7, width * 0.15, colour=figure, relief=0.1)
    arm = canvas.rng.choice([-1, 1])
    hand = [cx + arm * width * 0.34, y + height * canvas.rng.uniform(0.35, 0.7)]
    canvas.line(np.array([[cx + lean, y + height * 0.56], hand]), width * 0.13, figure, 0.1)
    for fold in np.linspace(-0.15, 0.15, 3):
        low = [cx + width * fold, y + height * 0.1]
        high = [cx + width * fold * 0.5 + lean, y + height * 0.5]
        canvas.line(np.array([low, high]), width * 0.04, shade(figure, 0.7))
    canvas.rectangle(
        cx - width * 0.5,
        y - height * 0.06,
        cx + width * 0.5,
        y + height * 0.05,
        colour=stone,
        relief=0.2,
    )


def frieze(
    canvas: Canvas, y: float, height: float, stone: Colour, x0: float = 0.0, x1: float | None = None
) -> None:
    """Carve a band of figures in relief."""
    x1 = canvas.width if x1 is None else x1
    canvas.rectangle(x0, y, x1, y + height, colour=shade(stone, 0.7), relief=-0.08)
    x = x0 + height * 0.2
    while x < x1 - height * 0.2:
        lean = canvas.rng.normal(0, 0.12) * height
        tone = vary(canvas.rng, stone, 0.05)
        canvas.trapezoid(
            x,
            (y + height * 0.06, y + height * 0.62),
            (height * 0.1, height * 0.12),
            lean,
            colour=tone,
            relief=0.08,
        )
        canvas.disc(x + lean, y + height * 0.76, height * 0.1, colour=tone, relief=0.12)
        for arm in (-1, 1):
            hand = [
                x + lean + arm * height * 0.24,
                y + height * canvas.rng.uniform(0.25, 0.85),
            ]
            canvas.line(np.array([[x + lean, y + height * 0.55], hand]), height * 0.09, tone, 0.1)
        x += height * canvas.rng.uniform(0.3, 0.55)
