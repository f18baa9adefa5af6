"""Parts many buildings share: columns, domes, battlements, spikes on roofs."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.style import Style
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, shade
from sample_world.drawing.surfaces import plaster, seams, tiles
from sample_world.drawing.texture import Texture
from sample_world.modelling.bodies import dome, frustum
from sample_world.modelling.builder import MeshBuilder


def column_texture(rng: np.random.Generator, colour: Colour, height: float) -> Texture:
    """Return a fluted shaft, once around and full height."""
    canvas = Canvas(rng, 3.2, height, 24)
    plaster(canvas, colour, 0.05)
    for x in np.linspace(0, 3.2, 13)[:-1] + 0.13:
        canvas.line(np.array([[x, 0.5], [x, height - 0.7]]), 0.1, shade(colour, 0.72), -0.08)
    for y in np.arange(1.4, height - 0.6, 2.1):
        canvas.line(np.array([[0, y], [3.2, y]]), 0.03, shade(colour, 0.6), -0.05)
    canvas.rectangle(0, 0, 3.2, 0.45, colour=shade(colour, 0.95), relief=0.15)
    canvas.rectangle(0, height - 0.6, 3.2, height, colour=shade(colour, 1.05), relief=0.15)
    for x in np.linspace(0, 3.2, 9):
        canvas.disc(x, height - 0.35, 0.16, colour=shade(colour, 0.8), relief=0.22)
    return canvas.finish(0.1)


def dome_texture(rng: np.random.Generator, colour: Colour, ribs: int, style: Style) -> Texture:
    """Return the skin of a dome, once around: ribs, courses, a row of round windows."""
    canvas = Canvas(rng, 24, 12, 26)
    if rng.random() < 0.5:
        seams(canvas, colour, 24 / ribs / 4)
    else:
        tiles(canvas, colour, 0.5, 0.45, 0.09)
    pitch = 24 / ribs
    for k in range(ribs):
        x = (k + 0.5) * pitch
        canvas.rectangle(x - 0.16, 0, x + 0.16, 12, colour=shade(style.trim, 0.95), relief=0.3)
        canvas.disc(k * pitch + pitch, 3.2, pitch * 0.24, colour=style.trim, relief=0.25)
        canvas.disc(
            k * pitch + pitch, 3.2, pitch * 0.16, colour=(0.1, 0.12, 0.14), relief=-0.2, glass=120
        )
    return canvas.finish(0.1)


def crenels(
    builder: MeshBuilder,
    start: tuple[float, float],
    end: tuple[float, float],
    z: float,
    texture: Texture,
    size: float = 1.1,
) -> None:
    """Set merlons along the edge of a wall."""
    first, last = np.array(start), np.array(end)
    length = float(np.linalg.norm(last - first))
    along = (last - first) / length
    inward = np.array([-along[1], along[0]])
    count = max(2, round(length / (2 * size)))
    pitch = length / count
    for k in range(count):
        a = first + along * pitch * (k + 0.22)
        b = first + along * pitch * (k + 0.78)
        c, d = b + inward * 0.6, a + inward * 0.6
        for p, q in ((a, b), (b, c), (c, d), (d, a)):
            points = [[*p, z], [*q, z], [*q, z + size], [*p, z + size]]
            builder.tiled(points, texture, (6, 6))
        builder.tiled([[*p, z + size] for p in (a, b, c, d)], texture, (6, 6))


def finial(builder: MeshBuilder, x: float, y: float, z: float, size: float, metal: Texture) -> None:
    """Put a ball and a spike on a roof."""
    frustum(
        builder,
        x,
        y,
        (size * 0.28, size * 0.28),
        (z - size * 0.2, z + size * 0.5),
        6,
        metal,
        (6, 6),
    )
    dome(builder, x, y, z + size * 0.5, size * 0.45, size * 0.5, metal, 8, 3)
    frustum(builder, x, y, (size * 0.12, 0), (z + size, z + size * 2.6), 4, metal, (6, 6))
