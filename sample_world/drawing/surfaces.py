"""What walls and roofs are covered with: masonry, plaster, tiles, sheet metal."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.canvas import Canvas, Region
from sample_world.drawing.colours import Colour, shade
from sample_world.drawing.noise import fractal_noise


def masonry(
    canvas: Canvas,
    colour: Colour,
    course: float,
    block: float,
    variation: float = 0.06,
    mortar: Colour | None = None,
    joint: float = 0.03,
    depth: float = 0.02,
    region: Region | None = None,
    relief: float = 0.0,
    courses_vary: bool = False,
) -> None:
    """Lay bricks or stone courses over a region (x0, y0, x1, y1), the whole wall by default.

    `course` and `block` are the height and length of a stone in metres, `depth` that of the
    joints; with `courses_vary` the lengths differ from course to course.
    """
    region = region or (0.0, 0.0, canvas.width, canvas.height)
    window = canvas.region(*region)
    rows, columns = canvas.relief[window].shape
    if rows < 2 or columns < 2:
        return
    ys = (np.arange(rows, dtype=np.float32)[::-1] + 0.5) / canvas.scale[1]
    xs = (np.arange(columns, dtype=np.float32) + 0.5) / canvas.scale[0]
    count = max(1, round((region[3] - region[1]) / course))
    course = (region[3] - region[1]) / count
    row = np.clip((ys / course).astype(int), 0, count - 1)
    lengths = np.full(count, block, np.float32)
    if courses_vary:
        lengths *= canvas.rng.uniform(0.7, 1.5, count).astype(np.float32)
    offset = (np.arange(count) % 2 * 0.5 * lengths).astype(np.float32)
    if courses_vary:
        offset = (canvas.rng.random(count) * lengths).astype(np.float32)
    along = (xs[None, :] + offset[row][:, None]) / lengths[row][:, None]
    stone = along.astype(np.int32)
    table = canvas.rng.standard_normal((count, int(stone.max()) + 1)).astype(np.float32)
    tint = table[row[:, None], stone]
    hue = canvas.rng.standard_normal(table.shape).astype(np.float32)[row[:, None], stone]
    fraction = along - stone
    edge_x = np.minimum(fraction, 1 - fraction) * lengths[row][:, None]
    fraction_y = ys / course - row
    edge_y = np.minimum(fraction_y, 1 - fraction_y) * course
    edge = np.minimum(edge_x, edge_y[:, None])
    # At low density a joint is thinner than a pixel: fade it rather than let it alias.
    softness = 0.7 / canvas.density
    inside = np.clip((edge - joint / 2) / softness + 0.5, 0, 1)
    strength = min(1.0, joint * canvas.density * 1.2 + 0.25)
    inside = 1 - (1 - inside) * strength
    base = np.array(colour, np.float32)
    stones = base * (1 + variation * tint[..., None])
    stones = stones + variation * 0.25 * hue[..., None] * np.array([1, 0.1, -0.9], np.float32)
    joints = np.array(mortar if mortar is not None else shade(colour, 0.72), np.float32)
    mixed = joints + (stones - joints) * inside[..., None]
    canvas.colour[window] = np.clip(mixed * 255, 4, 251).astype(np.uint8)
    canvas.relief[window] = relief + depth * (inside - 1) + 0.15 * depth * tint * (inside > 0.5)


def plaster(
    canvas: Canvas,
    colour: Colour,
    roughness: float = 0.03,
    region: Region | None = None,
    relief: float = 0.0,
) -> None:
    """Cover a region with rendered plaster: one colour, patchy."""
    window = canvas.region(*(region or (0.0, 0.0, canvas.width, canvas.height)))
    rows, columns = canvas.relief[window].shape
    if rows < 2 or columns < 2:
        return
    noise = fractal_noise(canvas.rng, rows, columns, cells=10, octaves=5)
    mixed = np.array(colour, np.float32) * (1 + roughness * noise[..., None])
    canvas.colour[window] = np.clip(mixed * 255, 4, 251).astype(np.uint8)
    canvas.relief[window] = relief + 0.004 * noise


def tiles(
    canvas: Canvas, colour: Colour, course: float, width: float, variation: float = 0.12
) -> None:
    """Cover the whole canvas with roof tiles or slates in overlapping courses."""
    masonry(canvas, colour, course, width, variation, shade(colour, 0.5), 0.03, 0.02)
    rows, _ = canvas.relief.shape
    ys = (np.arange(rows, dtype=np.float32)[::-1] + 0.5) / canvas.scale[1]
    slope = (1 - np.mod(ys / course, 1.0)).astype(np.float32)
    canvas.relief += 0.06 * slope[:, None]


def seams(canvas: Canvas, colour: Colour, spacing: float, variation: float = 0.06) -> None:
    """Cover the whole canvas with standing-seam metal sheet, such as copper or lead."""
    rows, columns = canvas.relief.shape
    noise = fractal_noise(canvas.rng, rows, columns, cells=6, octaves=5, stretch=3)
    mixed = np.array(colour, np.float32) * (1 + variation * noise[..., None])
    canvas.colour[:] = np.clip(mixed * 255, 4, 251).astype(np.uint8)
    for x in np.arange(spacing / 2, canvas.width, spacing):
        points = np.array([[x, 0], [x, canvas.height]])
        canvas.line(points, spacing * 0.08, shade(colour, 1.15), 0.08)
