"""Clock faces."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, shade
from sample_world.drawing.outlines import ring


def clock(canvas: Canvas, cx: float, cy: float, radius: float, dial: Colour, hands: Colour) -> None:
    """Draw a clock face with its hours, at a time of its own."""
    gold = (0.72, 0.56, 0.22)
    centre = np.array([cx, cy])
    canvas.disc(cx, cy, radius * 1.18, colour=shade(hands, 0.8), relief=0.25)
    canvas.disc(cx, cy, radius * 1.1, colour=gold, relief=0.3)
    canvas.disc(cx, cy, radius * 1.02, colour=dial, relief=0.12)
    for reach in (0.96, 0.68):
        canvas.line(ring(cx, cy, radius * reach, 48), radius * 0.03, hands, 0.14)
    for hour in range(12):
        turn = np.pi / 6 * hour
        ray = np.array([np.cos(turn), np.sin(turn)])
        side = np.array([-np.sin(turn), np.cos(turn)])
        for stroke in (-1, 0, 1) if hour % 3 == 0 else (-0.5, 0.5):
            foot = centre + side * radius * 0.06 * stroke
            ends = np.stack([foot + ray * radius * 0.71, foot + ray * radius * 0.92])
            canvas.line(ends, radius * 0.05, hands, 0.15)
    time = canvas.rng.uniform(0, 12)
    for length, width, turn in (
        (0.55, 0.09, np.pi / 2 - time * np.pi / 6),
        (0.88, 0.06, np.pi / 2 - (time % 1) * 2 * np.pi),
    ):
        ray = np.array([np.cos(turn), np.sin(turn)])
        ends = np.stack([centre - ray * radius * 0.15, centre + ray * radius * length])
        canvas.line(ends, radius * width, hands, 0.2)
    canvas.disc(cx, cy, radius * 0.08, colour=gold, relief=0.25)
