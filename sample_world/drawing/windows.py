"""Windows: shutters, surround, panes, bars, sill and what stands above them; rose windows."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, blend, shade, vary
from sample_world.drawing.outlines import arch, ring


def window(
    canvas: Canvas,
    cx: float,
    y: float,
    width: float,
    height: float,
    kind: str,
    trim: Colour,
    frame: Colour = (0.86, 0.84, 0.8),
    moulding: float = 0.16,
    bars: tuple[int, int] = (2, 3),
    head: str = "none",
    sill: bool = True,
    shutters: Colour | None = None,
) -> None:
    """Draw a window with surround, reveal, panes and bars.

    `head` is what stands above it: none, ledge, pediment, arc or keystone.
    """
    m = moulding
    if shutters is not None:
        _shutters(canvas, cx, y, width, height, m, shutters)
    if m > 0:
        canvas.polygon(
            arch(cx, y - m * 0.3, width + 2 * m, height + m * 1.3, kind),
            colour=vary(canvas.rng, trim, 0.02),
            relief=0.1,
        )
    canvas.polygon(arch(cx, y, width, height, kind), colour=shade(trim, 0.55), relief=-0.25)
    inset = min(0.09, width * 0.08)
    inner = arch(cx, y + inset, width - 2 * inset, height - 2 * inset, kind)
    _panes(canvas, inner)
    canvas.line(inner, _thickness(width), frame, -0.24, 0, closed=True)
    _bars(canvas, cx, y, width, height, kind, frame, bars)
    if kind == "pointed" and width > 0.9:
        _tracery(canvas, cx, y, width, height, frame)
    if sill:
        canvas.rectangle(
            cx - width / 2 - m - 0.08,
            y - 0.22,
            cx + width / 2 + m + 0.08,
            y - 0.02,
            colour=shade(trim, 1.04),
            relief=0.25,
        )
    _head(canvas, cx, y + height + m, width / 2 + m + 0.15, head, trim, m)


def _shutters(
    canvas: Canvas, cx: float, y: float, width: float, height: float, gap: float, colour: Colour
) -> None:
    """Draw an open shutter at either side of a window."""
    for side in (-1, 1):
        x = cx + side * (width * 0.78 + gap)
        x0, x1 = x - width * 0.24, x + width * 0.24
        canvas.rectangle(x0, y, x1, y + height, colour=colour, relief=0.06)
        for slat in np.arange(y + 0.1, y + height - 0.05, 0.16):
            ends = np.array([[x0 + 0.05, slat], [x1 - 0.05, slat]])
            canvas.line(ends, 0.05, shade(colour, 0.75))


def _panes(canvas: Canvas, outline: np.ndarray, tint: Colour = (0.16, 0.2, 0.25)) -> None:
    """Fill an outline with window glass of its own shade, some with a pale blind."""
    tone = shade(vary(canvas.rng, tint, 0.04), float(canvas.rng.uniform(0.6, 1.4)))
    if canvas.rng.random() < 0.12:
        tone = blend(tone, (0.75, 0.72, 0.64), canvas.rng.uniform(0.3, 0.7))
    canvas.polygon(outline, colour=tone, relief=-0.3, glass=int(canvas.rng.integers(40, 255)))


def _thickness(width: float) -> float:
    """Return how thick the bars of a window are that is `width` wide, in metres."""
    return max(0.05, width * 0.045)


def _bars(
    canvas: Canvas,
    cx: float,
    y: float,
    width: float,
    height: float,
    kind: str,
    colour: Colour,
    counts: tuple[int, int],
) -> None:
    """Divide a window into `counts` panes across and up."""
    thickness, inset = _thickness(width), min(0.09, width * 0.08)
    across, up = counts
    for bar in range(1, across):
        x = cx - width / 2 + width * bar / across
        top = height - inset
        if kind == "pointed":
            top = height * 0.8
        canvas.line(np.array([[x, y], [x, y + top]]), thickness, colour, -0.24, 0)
    for bar in range(1, up):
        level = y + height * bar / up
        if kind == "pointed" and bar / up > 0.7:
            continue
        ends = [[cx - width / 2 + inset, level], [cx + width / 2 - inset, level]]
        canvas.line(np.array(ends), thickness, colour, -0.24, 0)


def _head(
    canvas: Canvas, cx: float, y: float, span: float, kind: str, trim: Colour, moulding: float
) -> None:
    """Draw what stands above a window whose surround ends at y, `span` to either side."""
    if kind == "ledge":
        canvas.rectangle(
            cx - span, y + 0.1, cx + span, y + 0.32, colour=shade(trim, 1.05), relief=0.35
        )
    elif kind == "pediment":
        outer = [[cx - span, y], [cx + span, y], [cx, y + span * 0.62]]
        canvas.polygon(np.array(outer), colour=trim, relief=0.32)
        inner = [
            [cx - span * 0.6, y + 0.12],
            [cx + span * 0.6, y + 0.12],
            [cx, y + span * 0.48],
        ]
        canvas.polygon(np.array(inner), colour=shade(trim, 0.82), relief=0.1)
    elif kind == "arc":
        angles = np.linspace(0, np.pi, 13)
        arc = np.stack([cx + span * np.cos(angles), y + span * 0.5 * np.sin(angles)], 1)
        canvas.polygon(arc, colour=trim, relief=0.32)
        canvas.polygon(
            (arc - [cx, y]) * 0.68 + [cx, y + 0.06], colour=shade(trim, 0.85), relief=0.1
        )
    elif kind == "keystone":
        canvas.trapezoid(
            cx, (y - moulding - 0.1, y + 0.3), (0.12, 0.2), colour=shade(trim, 1.08), relief=0.25
        )


def _tracery(
    canvas: Canvas, cx: float, y: float, width: float, height: float, colour: Colour
) -> None:
    """Draw Gothic bar tracery into a pointed window: two lancets below a foiled circle."""
    thickness = max(0.07, width * 0.055)
    half = width / 2
    spring = y + height - width * 0.95
    for side in (-1, 1):
        outline = arch(cx + side * half / 2, y, half, spring - y + half * 0.45, "pointed")
        canvas.line(outline[1:], thickness, colour, -0.12, 0)
    radius = width * 0.2
    centre = spring + width * 0.42
    canvas.line(ring(cx, centre, radius, 24), thickness, colour, -0.12, 0)
    for turn in np.arange(4) * np.pi / 2 + np.pi / 4:
        end = [cx + radius * np.cos(turn), centre + radius * np.sin(turn)]
        canvas.line(np.array([[cx, centre], end]), thickness * 0.7, colour, -0.14, 0)


def rose(canvas: Canvas, cx: float, cy: float, radius: float, stone: Colour, petals: int) -> None:
    """Draw a rose window of coloured glass."""
    for grow, out in ((1.16, 0.3), (1.1, 0.12), (1.04, 0.25)):
        canvas.disc(cx, cy, radius * grow, colour=shade(stone, 0.85 + out), relief=out)
    canvas.disc(cx, cy, radius, colour=(0.1, 0.11, 0.16), relief=-0.3, glass=200)
    glass = [(0.16, 0.2, 0.5), (0.5, 0.13, 0.15), (0.5, 0.4, 0.14), (0.14, 0.36, 0.3)]
    for reach, share in ((0.8, 0.5), (0.45, 0.45)):
        for petal in range(petals):
            turn = 2 * np.pi * (petal + (0.5 if reach < 0.5 else 0)) / petals
            x, y = cx + radius * reach * np.cos(turn), cy + radius * reach * np.sin(turn)
            size = radius * reach * np.pi / petals * share * 1.5
            pane = glass[int(canvas.rng.integers(len(glass)))]
            canvas.disc(x, y, size * 1.35, colour=shade(stone, 0.95), relief=-0.1, glass=0)
            canvas.disc(x, y, size, colour=vary(canvas.rng, pane, 0.2), relief=-0.3, glass=210)
    centre = np.array([cx, cy])
    for petal in range(petals):
        turn = 2 * np.pi * (petal + 0.5) / petals
        ray = np.array([np.cos(turn), np.sin(turn)])
        spoke = np.stack([centre + ray * radius * 0.16, centre + ray * radius])
        canvas.line(spoke, radius * 0.06, stone, -0.05, 0)
    for reach in (0.2, 0.6, 0.98):
        canvas.line(ring(cx, cy, radius * reach, 48), radius * 0.07, stone, -0.05, 0)
    canvas.disc(cx, cy, radius * 0.14, colour=(0.5, 0.36, 0.16), relief=-0.2, glass=220)
