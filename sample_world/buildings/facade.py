"""Storeyed fronts."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.style import Style, lay
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.carvings import frieze, niche
from sample_world.drawing.colours import shade
from sample_world.drawing.doors import portal
from sample_world.drawing.ornaments import checker, cornice, pilaster, quoins
from sample_world.drawing.outlines import arch
from sample_world.drawing.surfaces import masonry
from sample_world.drawing.texture import Texture
from sample_world.drawing.windows import window


def facade(
    rng: np.random.Generator,
    style: Style,
    width: float,
    height: float,
    floors: int,
    bays: int,
    entrance: bool = False,
    ground: str = "windows",
    rusticated: bool = True,
) -> Texture:
    """Return a storeyed front: base, rows of windows, string courses, cornice."""
    canvas = Canvas(rng, width, height, 26)
    lay(canvas, style)
    storey = height / (floors + 0.25)
    pitch = width / bays
    base = storey * 0.95
    if rusticated:
        _rusticate(canvas, style, base)
    if style.ornament == "pilasters":
        for k in range(bays + 1):
            x = float(np.clip(k * pitch, 0.5, width - 0.5))
            top = height - storey * 0.25
            pilaster(canvas, x, base + 0.3, top, min(0.9, pitch * 0.2), style.trim)
    door_bay = bays // 2 if entrance else -1
    for floor in range(floors):
        for bay in range(bays):
            cx = (bay + 0.5) * pitch
            if floor == 0 and bay == door_bay:
                wide, tall = min(pitch * 0.6, 3.0), base * 0.88
                portal(canvas, cx, 0, wide, tall, "round", style.trim, style.door, 3)
            elif floor == 0 and ground == "arcade":
                opening = arch(cx, 0.0, pitch * 0.7, base * 0.9, "round")
                canvas.polygon(opening, colour=shade(style.trim, 0.3), relief=-0.4)
            else:
                _window(canvas, style, cx, floor, floors, storey, pitch)
        if floor:
            low, high = floor * storey - 0.05, floor * storey + 0.32
            canvas.rectangle(0, low, width, high, colour=shade(style.trim, 1.02), relief=0.22)
    _ornament(canvas, style, storey, bays)
    cornice(canvas, height - storey * 0.16, storey * 0.16, style.trim, 0.5)
    for x in (0.0, width):
        quoins(canvas, x, base, height - storey * 0.2, 1.1, style.trim)
    return canvas.finish()


def _rusticate(canvas: Canvas, style: Style, height: float) -> None:
    """Lay rough stones with deep joints up to a height."""
    masonry(
        canvas,
        shade(style.trim, 0.93),
        0.62,
        1.5,
        0.04,
        shade(style.trim, 0.55),
        0.08,
        0.08,
        region=(0.0, 0.0, canvas.width, height),
        relief=0.08,
    )


def _window(
    canvas: Canvas, style: Style, cx: float, floor: int, floors: int, storey: float, pitch: float
) -> None:
    """Draw the window of a bay: the floors differ in shape and in what stands above."""
    kind = style.opening if floor != 0 else "round"
    if floor == floors - 1 and kind == "pointed":
        kind = "segment"
    heads = [style.head, "ledge", "none", "keystone"]
    window(
        canvas,
        cx,
        floor * storey + storey * 0.28,
        min(pitch * 0.44, 1.9),
        storey * (0.62 if floor else 0.52),
        kind,
        style.trim,
        style.frame,
        bars=(2, 4 if floor == 1 else 3),
        head=heads[min(floor, 3)] if floor and kind in ("rect", "segment") else "none",
    )


def _ornament(canvas: Canvas, style: Style, storey: float, bays: int) -> None:
    """Draw what the style sets on a front: a frieze, lozenges or niches between the bays."""
    width, height, pitch = canvas.width, canvas.height, canvas.width / bays
    if style.ornament == "frieze":
        frieze(canvas, height - storey * 0.3, storey * 0.18, style.trim)
    elif style.ornament == "checker":
        low, high = height - storey * 0.3, height - storey * 0.12
        checker(canvas, 0, low, width, high, 0.5, style.trim, style.accent)
    elif style.ornament == "niches" and bays > 3:
        wide, tall = min(0.8, pitch * 0.2), storey * 0.45
        for k in range(1, bays):
            niche(canvas, k * pitch, storey * 1.35, wide, tall, style.trim)
