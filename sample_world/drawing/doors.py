"""Doorways."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, shade
from sample_world.drawing.outlines import arch


def portal(
    canvas: Canvas,
    cx: float,
    y: float,
    width: float,
    height: float,
    kind: str,
    stone: Colour,
    door: Colour,
    orders: int = 4,
) -> None:
    """Draw a doorway set back in several orders of arches, with a two-leaved wooden door."""
    for order in range(orders):
        grow = 1 + 0.42 * (orders - order) / orders
        tone = shade(stone, 1.06 if order % 2 == 0 else 0.78)
        canvas.polygon(
            arch(cx, y, width * grow, height * (1 + (grow - 1) * 0.55), kind),
            colour=tone,
            relief=0.25 - 0.16 * order,
        )
    canvas.polygon(arch(cx, y, width, height, kind), colour=shade(door, 0.5), relief=-0.5)
    leaf = height * (0.62 if kind != "rect" else 0.97)
    _leaves(canvas, cx, y, width, leaf, door)
    if kind != "rect":
        _fanlight(canvas, cx, y + leaf, width, height - leaf, stone)


def _leaves(
    canvas: Canvas, cx: float, y: float, width: float, height: float, colour: Colour
) -> None:
    """Draw the wooden leaves, their boards and their iron bands."""
    canvas.rectangle(
        cx - width * 0.47, y, cx + width * 0.47, y + height, colour=colour, relief=-0.45
    )
    for x in np.linspace(-0.47, 0.47, 9):
        board = np.array([[cx + width * x, y], [cx + width * x, y + height]])
        canvas.line(board, 0.05, shade(colour, 0.6), -0.5)
    for level in (0.15, 0.5, 0.85):
        band = [[cx - width * 0.45, y + height * level], [cx + width * 0.45, y + height * level]]
        canvas.line(np.array(band), 0.1, shade(colour, 0.45), -0.4)


def _fanlight(
    canvas: Canvas, cx: float, y: float, width: float, height: float, stone: Colour
) -> None:
    """Draw the bars of the half circle over a door, and the beam it stands on."""
    for turn in np.linspace(0.15, 0.85, 5) * np.pi:
        end = [cx + width * 0.42 * np.cos(turn), y + height * 0.8 * np.sin(turn)]
        canvas.line(np.array([[cx, y], end]), 0.1, stone, -0.35)
    canvas.rectangle(
        cx - width * 0.5, y - 0.1, cx + width * 0.5, y + 0.15, colour=stone, relief=-0.3
    )
