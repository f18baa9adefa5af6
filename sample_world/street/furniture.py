"""Street furniture: lamps, benches, signs, umbrellas, planters, kiosks, flags."""

from __future__ import annotations

import cv2
import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import vary
from sample_world.drawing.materials import plain_texture, stone_texture
from sample_world.drawing.palettes import CLOTHES
from sample_world.drawing.texture import Texture
from sample_world.modelling.bodies import box, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import Mesh
from sample_world.modelling.roofs import hip


def lamp(rng: np.random.Generator, arms: int) -> Mesh:
    """Build a street lamp with one lantern or two, which glow in the evening."""
    b = MeshBuilder()
    iron = plain_texture(rng, (0.13, 0.15, 0.14))
    glow = plain_texture(rng, (0.93, 0.9, 0.8))
    tall = float(rng.uniform(4.2, 5.4))
    frustum(b, 0, 0, (0.2, 0.14), (0, 0.7), 6, iron, (1, 1))
    frustum(b, 0, 0, (0.07, 0.05), (0.7, tall), 6, iron, (1, 1))
    spots = [(0.0, tall)] if arms == 1 else [(-0.55, tall - 0.3), (0.55, tall - 0.3)]
    if arms == 2:
        box(b, -0.55, -0.04, 0.55, 0.04, tall - 0.42, tall - 0.32, iron, top=iron)
    for x, z in spots:
        first = len(b.glows)
        frustum(b, x, 0, (0.14, 0.22), (z, z + 0.42), 6, glow, (1, 1))
        for k in range(first, len(b.glows)):
            b.glows[k] = 3.5
        frustum(b, x, 0, (0.28, 0.03), (z + 0.42, z + 0.62), 6, iron, (1, 1))
    return b.build()


def furniture(rng: np.random.Generator) -> list[Mesh]:
    """Build what stands about in squares, as often as it stands in the list."""
    wood, iron = plain_texture(rng, (0.4, 0.27, 0.16)), plain_texture(rng, (0.15, 0.16, 0.16))
    stone = stone_texture(rng, (0.7, 0.68, 0.63))
    bench = _bench(wood, iron)
    sign = _sign(rng, iron)
    umbrella = _umbrella(rng, wood)
    planter = MeshBuilder()
    frustum(planter, 0, 0, (0.55, 0.75), (0, 0.8), 8, stone, (2, 2), cap=wood)
    kiosk = _kiosk(rng)
    flag = _flag(rng)
    return [bench, sign, umbrella, planter.build(), kiosk, flag, bench, umbrella]


def _bench(wood: Texture, iron: Texture) -> Mesh:
    b = MeshBuilder()
    for y, z in ((-0.2, 0.42), (0.0, 0.42), (0.2, 0.42), (0.3, 0.62), (0.34, 0.8)):
        box(b, -0.9, y - 0.08, 0.9, y + 0.08, z, z + 0.06, wood, top=wood)
    for x in (-0.7, 0.7):
        box(b, x - 0.05, -0.25, x + 0.05, 0.3, 0, 0.42, iron, top=iron)
    return b.build()


def _sign(rng: np.random.Generator, iron: Texture) -> Mesh:
    """Build a round road sign on a post."""
    b = MeshBuilder()
    frustum(b, 0, 0, (0.04, 0.04), (0, 2.6), 5, iron, (1, 1))
    disc = Canvas(rng, 0.7, 0.7, 90, (0.75, 0.1, 0.1))
    alpha = np.zeros(disc.relief.shape, np.uint8)
    cv2.circle(alpha, (alpha.shape[1] // 2, alpha.shape[0] // 2), alpha.shape[0] // 2 - 1, 255, -1)
    disc.disc(0.35, 0.35, 0.25, colour=(0.93, 0.93, 0.9))
    face = disc.finish(0.02, alpha=alpha)
    b.wall((-0.35, -0.05), (0.35, -0.05), 2.1, 2.8, face, two_sided=True)
    return b.build()


def _umbrella(rng: np.random.Generator, wood: Texture) -> Mesh:
    """Build a striped umbrella over two stools."""
    b = MeshBuilder()
    cloth = Canvas(rng, 4, 2, 40, (0.85, 0.8, 0.7))
    for k in range(0, 8, 2):
        cloth.rectangle(k * 0.5, 0, k * 0.5 + 0.5, 2, colour=(0.72, 0.2, 0.16))
    frustum(b, 0, 0, (0.04, 0.04), (0, 2.5), 5, wood, (1, 1))
    frustum(b, 0, 0, (1.7, 0.0), (2.1, 2.75), 8, cloth.finish(0.04))
    for x in (-0.6, 0.7):
        frustum(b, x, 0.4, (0.4, 0.4), (0.7, 0.75), 8, wood, (1, 1), cap=wood)
    return b.build()


def _kiosk(rng: np.random.Generator) -> Mesh:
    """Build a news stand hung with magazines."""
    b = MeshBuilder()
    board = Canvas(rng, 3.6, 2.6, 50, (0.2, 0.34, 0.28))
    board.rectangle(0.2, 1.0, 3.4, 2.1, colour=(0.16, 0.14, 0.12))
    for _ in range(26):
        x, y = rng.uniform(0.3, 3.1), rng.uniform(1.05, 1.8)
        cover = vary(rng, CLOTHES[int(rng.integers(len(CLOTHES)))], 0.2)
        board.rectangle(x, y, x + 0.24, y + 0.3, colour=cover)
    board.text("NEWS  CAFE", 1.8, 2.35, 0.28, (0.9, 0.85, 0.6))
    panel = board.finish(0.05)
    box(b, -1.8, -1.2, 1.8, 1.2, 0, 2.6, panel, panel)
    hip(b, -1.8, -1.2, 1.8, 1.2, 2.6, 0.8, plain_texture(rng, (0.25, 0.3, 0.28)), (1, 1), 0.3)
    return b.build()


def _flag(rng: np.random.Generator) -> Mesh:
    """Build a flag of three stripes on a pole."""
    b = MeshBuilder()
    frustum(b, 0, 0, (0.07, 0.04), (0, 9), 6, plain_texture(rng, (0.8, 0.8, 0.8)), (1, 1))
    cloth = Canvas(rng, 2.6, 1.6, 40, (0.8, 0.78, 0.72))
    cloth.rectangle(0, 0, 2.6, 0.55, colour=vary(rng, (0.7, 0.14, 0.14), 0.2))
    cloth.rectangle(0, 1.05, 2.6, 1.6, colour=vary(rng, (0.12, 0.2, 0.45), 0.2))
    wave = np.sin(np.linspace(0, 9, cloth.relief.shape[1]))
    cloth.relief[:] = 0.12 * wave[None, :]
    b.wall((0.05, 0), (2.6, 0.5), 7.2, 8.8, cloth.finish(0.04), two_sided=True)
    return b.build()
