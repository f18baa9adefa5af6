"""Ornaments of a wall: cornices, pilasters, balustrades, corner stones, inlays."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, shade, vary


def cornice(
    canvas: Canvas, y: float, height: float, colour: Colour, out: float = 0.35, dentils: bool = True
) -> None:
    """Draw a horizontal cornice whose lower edge lies at `y`, over the whole width."""
    steps = 4
    for step in range(steps):
        low = y + height * step / steps
        tone = shade(colour, 0.94 + 0.12 * (step % 2))
        canvas.rectangle(
            0, low, canvas.width, y + height, colour=tone, relief=out * (step + 1) / steps
        )
    if dentils:
        size = height * 0.4
        for x in np.arange(size * 0.5, canvas.width, size * 1.8):
            canvas.rectangle(
                x, y - size * 0.9, x + size, y, colour=shade(colour, 1.02), relief=out * 0.6
            )


def pilaster(
    canvas: Canvas,
    cx: float,
    y0: float,
    y1: float,
    width: float,
    colour: Colour,
    fluted: bool = True,
) -> None:
    """Draw a half column with base and capital."""
    half = width / 2
    base = min(width * 0.6, (y1 - y0) * 0.1)
    canvas.rectangle(
        cx - half, y0 + base, cx + half, y1 - base, colour=vary(canvas.rng, colour, 0.02)
    )
    window = canvas.region(cx - half, y0 + base, cx + half, y1 - base)
    columns = canvas.relief[window].shape[1]
    if columns:
        t = np.linspace(-1, 1, columns, dtype=np.float32)
        profile = 0.28 * np.sqrt(np.clip(1 - t**2, 0, 1)) + 0.12
        if fluted and columns >= 10:
            profile = profile + 0.03 * np.abs(np.cos(t * np.pi * 3))
        canvas.relief[window] = profile[None, :]
    for grow, low, high in ((1.3, y0, y0 + base * 0.5), (1.15, y0 + base * 0.5, y0 + base)):
        canvas.rectangle(
            cx - half * grow, low, cx + half * grow, high, colour=colour, relief=0.35 * grow
        )
    for grow, low, high in (
        (1.1, y1 - base, y1 - base * 0.6),
        (1.25, y1 - base * 0.6, y1 - base * 0.25),
        (1.5, y1 - base * 0.25, y1),
    ):
        canvas.rectangle(
            cx - half * grow,
            low,
            cx + half * grow,
            high,
            colour=shade(colour, 1.03),
            relief=0.35 * grow,
        )


def balustrade(canvas: Canvas, y: float, height: float, colour: Colour) -> None:
    """Draw a row of balusters before a shadowed gap, over the whole width."""
    canvas.rectangle(0, y, canvas.width, y + height, colour=shade(colour, 0.35), relief=-0.2)
    pitch = height * 0.34
    for x in np.arange(pitch / 2, canvas.width, pitch):
        for share, half in ((0.25, 0.16), (0.5, 0.28), (0.75, 0.16)):
            canvas.disc(x, y + height * share, height * half * 0.7, colour=colour, relief=0.1)
        canvas.rectangle(
            x - pitch * 0.14, y, x + pitch * 0.14, y + height, colour=colour, relief=0.08
        )
    for low in (y, y + height * 0.84):
        canvas.rectangle(0, low, canvas.width, low + height * 0.16, colour=colour, relief=0.18)


def quoins(canvas: Canvas, x: float, y0: float, y1: float, size: float, colour: Colour) -> None:
    """Draw corner stones, long and short in turn, on both sides of a vertical edge."""
    level, index = y0, 0
    while level < y1 - 0.05:
        half = size * (0.9 if index % 2 else 0.55)
        top = min(level + size * 0.55, y1)
        canvas.rectangle(
            x - half,
            level + 0.02,
            x + half,
            top - 0.02,
            colour=vary(canvas.rng, colour, 0.04),
            relief=0.06,
        )
        level += size * 0.55
        index += 1


def checker(
    canvas: Canvas,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    size: float,
    first: Colour,
    second: Colour,
) -> None:
    """Inlay a band of lozenges in two colours."""
    canvas.rectangle(x0, y0, x1, y1, colour=first, relief=0.02)
    rows = max(1, round((y1 - y0) / size))
    step = (y1 - y0) / rows
    for row in range(rows):
        for x in np.arange(x0 + step / 2, x1, step):
            cy = y0 + (row + 0.5) * step
            half = step * 0.42
            canvas.polygon(
                np.array([[x - half, cy], [x, cy - half], [x + half, cy], [x, cy + half]]),
                colour=vary(canvas.rng, second, 0.05),
                relief=0.0,
            )
