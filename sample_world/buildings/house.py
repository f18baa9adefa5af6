"""Ordinary houses, which stand along streets and belong to no landmark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_world.buildings.style import Style, choose_style
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, blend, shade, vary
from sample_world.drawing.doors import portal
from sample_world.drawing.materials import plain_texture
from sample_world.drawing.ornaments import cornice
from sample_world.drawing.palettes import BRICKS, CLOTHES, PLASTERS, STONES
from sample_world.drawing.surfaces import masonry, plaster
from sample_world.drawing.texture import Texture
from sample_world.drawing.windows import window
from sample_world.modelling.bodies import box
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import Mesh
from sample_world.modelling.roofs import gable, hip

_SHOPS = (
    "CAFE", "BOOKS", "HOTEL", "BAKERY", "FLORIST", "BAR", "TEA", "SHOES", "OPTIK", "MODE",
)  # fmt: skip


@dataclass(frozen=True)
class House:
    """An ordinary house and its size in metres."""

    mesh: Mesh
    width: float
    depth: float
    height: float


def house(rng: np.random.Generator, roofs: list[Texture]) -> House:
    """Build an ordinary house under one of the roofs."""
    style = choose_style(rng)
    b = MeshBuilder()
    floors = int(rng.integers(3, 6))
    width, depth = float(rng.uniform(9, 17)), float(rng.uniform(9, 13))
    height = floors * float(rng.uniform(3.1, 3.7)) + 1
    front, side_canvas = _walls(rng, style, width, depth, height, floors)
    roof = roofs[int(rng.integers(len(roofs)))]
    side = side_canvas.finish(0.12)
    x0, y0, x1, y1 = -width / 2, -depth / 2, width / 2, depth / 2
    box(b, x0, y0, x1, y1, 0, height, front, side, roof)
    kind = int(rng.integers(3))
    rise = 0.0
    if kind == 0:
        rise = depth * float(rng.uniform(0.3, 0.48))
        gable(b, x0, y0, x1, y1, height, rise, roof, (6, 6), side, "x", 0.35)
    elif kind == 1:
        rise = depth * 0.32
        hip(b, x0, y0, x1, y1, height, rise, roof, (6, 6), 0.35, 0.35)
    chimney = plain_texture(rng, (0.42, 0.25, 0.2))
    for _ in range(2):
        x = float(rng.uniform(x0 + 1, x1 - 1))
        low, high = height + rise * 0.5, height + rise + 1.5
        box(b, x - 0.4, -0.4, x + 0.4, 0.4, low, high, chimney, top=chimney)
    return House(b.build(), width, depth, height + rise)


def _walls(
    rng: np.random.Generator, style: Style, width: float, depth: float, height: float, floors: int
) -> tuple[Texture, Canvas]:
    """Return the front of a house, and the plainer side as it is drawn."""
    front = Canvas(rng, width, height, 22)
    wall = (PLASTERS + BRICKS + STONES[:4])[int(rng.integers(14))]
    wall = blend(vary(rng, wall, 0.06), (0.7, 0.68, 0.64), 0.3)
    if wall[0] - wall[2] > 0.2 and wall[0] < 0.7:
        masonry(front, wall, 0.16, 0.36, 0.09, joint=0.03, depth=0.012)
    else:
        plaster(front, wall, 0.03)
    bays, storey = max(3, round(width / 3.1)), height / floors
    shop = rng.random() < 0.55
    if shop:
        _shops(front, style, wall, storey, max(1, bays // 2))
    shutters = vary(rng, (0.3, 0.42, 0.36), 0.2) if rng.random() < 0.35 else None
    trim = blend(wall, (0.92, 0.9, 0.86), 0.6)
    for floor in range(1 if shop else 0, floors):
        y = floor * storey
        _windows(front, style, y, storey, bays, trim, shutters)
        if floor and style.ornament != "plain":
            front.rectangle(0, y - 0.1, width, y + 0.12, colour=trim, relief=0.12)
    cornice(front, height - 0.55, 0.55, trim, 0.3, rng.random() < 0.5)
    front_t = front.finish(0.1)
    side = Canvas(rng, depth, height, 16)
    plaster(side, shade(wall, 0.95), 0.05)
    for floor in range(1, floors):
        for cx in (depth * 0.3, depth * 0.7):
            if rng.random() < 0.75:
                y, opening = floor * storey + storey * 0.26, ("rect", trim, style.frame, 0.1)
                window(side, cx, y, 1.0, storey * 0.5, *opening, (2, 2))
    return front_t, side


def _shops(front: Canvas, style: Style, wall: Colour, storey: float, count: int) -> None:
    """Draw shop windows along the ground floor, each under a board with its trade."""
    rng, width = front.rng, front.width
    front.rectangle(0, 0, width, storey, colour=shade(wall, 0.72), relief=0.05)
    span = width / count
    for k in range(count):
        x0, top = k * span + 0.5, storey * 0.68
        glass = (0.13, 0.14, 0.15)
        front.rectangle(x0, 0.4, x0 + span - 1.0, top, colour=glass, relief=-0.2, glass=230)
        for x in np.linspace(x0, x0 + span - 1, 4):
            front.line(np.array([[x, 0.4], [x, top]]), 0.08, style.frame, -0.1, 0)
        board = vary(rng, CLOTHES[int(rng.integers(len(CLOTHES)))], 0.1)
        low, high = storey * 0.74, storey * 0.95
        front.rectangle(x0 - 0.2, low, x0 + span - 0.8, high, colour=board, relief=0.2)
        word, cx = str(rng.choice(_SHOPS)), x0 + (span - 1) / 2
        front.text(word, cx, storey * 0.845, storey * 0.11, (0.92, 0.9, 0.84))


def _windows(
    front: Canvas,
    style: Style,
    y: float,
    storey: float,
    bays: int,
    trim: Colour,
    shutters: Colour | None,
) -> None:
    """Draw the windows of a floor that begins at y, on the ground with a door in the middle."""
    kind = "segment" if style.opening == "segment" else "rect"
    head = "ledge" if style.head == "ledge" else "none"
    for bay in range(bays):
        cx = (bay + 0.5) * front.width / bays
        if y == 0 and bay == bays // 2:
            portal(front, cx, 0, 1.3, storey * 0.78, "rect", trim, style.door, 2)
            continue
        window(
            front,
            cx,
            y + storey * 0.26,
            1.05,
            storey * 0.54,
            kind,
            trim,
            style.frame,
            moulding=0.12,
            bars=(2, 2),
            head=head,
            shutters=shutters,
        )
