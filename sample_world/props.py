"""What all pictures of the sample world share: trees, people, cars, lamps, houses and pavements.

None of it belongs to any landmark, so the same clutter stands around all of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from sample_world.mesh import Mesh, MeshBuilder
from sample_world.style import (
    BRICKS,
    PLASTERS,
    ROOFS,
    STONES,
    choose_style,
    roof_texture,
    stone_texture,
)
from sample_world.textures import (
    SUBPIXEL_BITS,
    Canvas,
    Colour,
    Texture,
    blend,
    fractal_noise,
    shade,
    vary,
)


@dataclass(frozen=True)
class Sprite:
    """A flat cut-out that always faces the camera, `width` × `height` metres."""

    texture: Texture
    width: float
    height: float

    @functools.cached_property
    def upright(self) -> tuple[Mesh, Mesh]:
        """The cut-out at the origin, looking towards negative y, and its mirror image."""
        half, meshes = self.width / 2, []
        for span in ((0.0, 0.0, 1.0, 1.0), (1.0, 0.0, 0.0, 1.0)):
            b = MeshBuilder()
            b.wall((-half, 0), (half, 0), -0.03, self.height, self.texture, span, two_sided=True)
            meshes.append(b.build())
        return meshes[0], meshes[1]

    def facing(
        self,
        x: float,
        y: float,
        towards: np.ndarray,
        scale: float = 1.0,
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
        mirror: bool = False,
    ) -> Mesh:
        """Return the sprite standing at x, y, turned towards a point [2 or 3]."""
        turn = float(np.arctan2(towards[1] - y, towards[0] - x)) + np.pi / 2
        return self.upright[mirror].placed(x, y, 0.0, turn, scale, tint)


@dataclass(frozen=True)
class Props:
    """The shared stock."""

    trees: tuple[Sprite, ...]
    bushes: tuple[Sprite, ...]
    people: tuple[Sprite, ...]
    cars: tuple[Mesh, ...]
    buses: tuple[Mesh, ...]
    lamps: tuple[Mesh, ...]
    furniture: tuple[Mesh, ...]
    houses: tuple[tuple[Mesh, float, float, float], ...]
    paving: tuple[Texture, ...]
    cobbles: tuple[Texture, ...]
    asphalt: Texture
    grass: tuple[Texture, ...]
    marking: Texture
    hedge: Texture


def _foliage(
    canvas: Canvas,
    alpha: np.ndarray,
    blobs: np.ndarray,
    colour: Colour,
    leaf: float,
    count: int,
) -> None:
    """Fill round masses (x, y, radius rows) with leaves, darker below and inside."""
    rng = canvas.rng
    sx, sy = canvas.scale
    order = np.argsort(blobs[:, 1] + blobs[:, 2])
    height = canvas.height
    share = blobs[:, 2] ** 2 / (blobs[:, 2] ** 2).sum()
    for x, y, radius in blobs[order]:
        centre = (round(x * sx), round((height - y) * sy))
        cv2.circle(canvas.relief, centre, max(1, round(radius * sx * 0.8)), float(radius * 0.7), -1)
    canvas.relief[:] = cv2.GaussianBlur(canvas.relief, (0, 0), 0.4 * sx)
    layers = np.dstack([canvas.colour, alpha])
    corners = np.arange(7) * 2 * np.pi / 7
    for index in order:
        x, y, radius = blobs[index]
        leaves = max(12, round(count * share[index]))
        angle = rng.uniform(0, 2 * np.pi, leaves)
        reach = radius * np.sqrt(rng.random(leaves)) * rng.uniform(0.85, 1.12, leaves)
        px, py = x + reach * np.cos(angle), y + reach * np.sin(angle) * 0.85
        rank = np.argsort(py + rng.normal(0, radius * 0.3, leaves))
        # The upper leaves of a mass catch the light; below and inside it is dark.
        tone = 0.68 + 0.46 * (py - y) / radius + 0.18 * (y / height) + rng.normal(0, 0.13, leaves)
        size = leaf * rng.uniform(0.6, 1.3, leaves)
        turn = rng.uniform(0, np.pi, leaves)
        hue = rng.normal(0, 0.03, leaves)
        values = np.array(colour) * tone[:, None] + hue[:, None] * np.array([1, 0, -0.4])
        values = np.concatenate([np.clip(values, 0.01, 0.95), np.ones((leaves, 1))], 1) * 255
        along, aside = np.cos(corners) * size[:, None], np.sin(corners) * 0.55 * size[:, None]
        cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
        columns = (px[:, None] + along * cos - aside * sin) * sx
        rows = (height - py[:, None] - along * sin - aside * cos) * sy
        outlines = np.round(np.stack([columns, rows], 2) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        for k in rank:
            cv2.fillConvexPoly(layers, outlines[k], values[k].tolist(), cv2.LINE_AA, SUBPIXEL_BITS)
    canvas.colour[:], alpha[:] = layers[..., :3], layers[..., 3]


def _bark(
    canvas: Canvas, alpha: np.ndarray, points: np.ndarray, thick: float, colour: Colour
) -> None:
    pixels = [canvas.pixels(points)]
    width = max(1, round(thick * canvas.scale[0]))
    value = tuple(round(c * 255) for c in colour)
    cv2.polylines(canvas.colour, pixels, False, value, width, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.polylines(alpha, pixels, False, 255, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _tree(rng: np.random.Generator, form: str, colour: Colour) -> Sprite:
    sizes = {"round": (8.5, 10.5), "tall": (4.2, 13.0), "conifer": (6.0, 13.0), "wide": (12.0, 9.5)}
    width, height = sizes[form]
    canvas = Canvas(rng, width, height, 44, shade(colour, 0.5))
    alpha = np.zeros(canvas.relief.shape, np.uint8)
    bark = vary(rng, (0.27, 0.22, 0.17), 0.12)
    middle = width / 2
    trunk = height * {"round": 0.34, "tall": 0.14, "conifer": 0.1, "wide": 0.26}[form]
    bend = rng.normal(0, 0.15)
    _bark(
        canvas,
        alpha,
        np.array([[middle, 0], [middle + bend, trunk], [middle, height * 0.7]]),
        0.42,
        bark,
    )
    blobs = []
    if form in ("round", "wide"):
        for _ in range(16):
            angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
            x = middle + reach * np.cos(angle) * width * 0.33
            y = trunk + (height - trunk) * (0.5 + 0.34 * reach * np.sin(angle))
            blobs.append((x, y, rng.uniform(0.13, 0.2) * min(width, height)))
            _bark(canvas, alpha, np.array([[middle, trunk * 0.9], [x, y]]), 0.16, bark)
    elif form == "tall":
        for t in np.linspace(0.08, 0.94, 13):
            half = width * 0.36 * np.sin(np.pi * min(1.0, 0.12 + t)) ** 0.6
            for _ in range(2):
                blobs.append(
                    (
                        middle + rng.normal(0, half * 0.4),
                        trunk + (height - trunk) * t,
                        max(0.3, half * 0.62),
                    )
                )
    else:
        for t in np.linspace(0.0, 0.97, 15):
            half = width * 0.44 * (1 - t) + 0.12
            for side in (-1, -0.3, 0.4, 1):
                blobs.append(
                    (
                        middle + side * half * 0.62,
                        trunk + (height - trunk) * t - abs(side) * 0.4,
                        max(0.16, half * 0.4),
                    )
                )
    rounds = np.array(blobs)
    rounds[:, 0] = np.clip(rounds[:, 0], rounds[:, 2], width - rounds[:, 2])
    rounds[:, 1] = np.minimum(rounds[:, 1], height - rounds[:, 2])
    leaf = {"round": 0.16, "tall": 0.12, "conifer": 0.13, "wide": 0.17}[form]
    _foliage(canvas, alpha, rounds, colour, leaf, 2600)
    return Sprite(canvas.finish(0.0, alpha=alpha, bump=0.55), width, height)


def _bush(rng: np.random.Generator, colour: Colour, flowers: Colour | None) -> Sprite:
    canvas = Canvas(rng, 3.2, 1.7, 70, shade(colour, 0.5))
    alpha = np.zeros(canvas.relief.shape, np.uint8)
    blobs = np.array(
        [[x, rng.uniform(0.4, 1.0), rng.uniform(0.35, 0.55)] for x in np.linspace(0.55, 2.65, 8)]
    )
    _foliage(canvas, alpha, blobs, colour, 0.075, 1100)
    if flowers is not None:
        for _ in range(60):
            x, y = rng.uniform(0.4, 2.8), rng.uniform(0.2, 1.3)
            canvas.disc(x, y, 0.045, colour=vary(rng, flowers, 0.1))
    return Sprite(canvas.finish(0.0, alpha=alpha, bump=0.5), 3.2, 1.7)


_CLOTHES: tuple[Colour, ...] = (
    (0.72, 0.16, 0.16), (0.14, 0.22, 0.45), (0.88, 0.86, 0.82), (0.14, 0.14, 0.16),
    (0.25, 0.42, 0.3), (0.86, 0.7, 0.24), (0.5, 0.34, 0.22), (0.45, 0.55, 0.68), (0.8, 0.5, 0.56),
    (0.42, 0.42, 0.44),
)  # fmt: skip
_SKIN: tuple[Colour, ...] = ((0.87, 0.68, 0.56), (0.72, 0.52, 0.4), (0.46, 0.31, 0.23))


def _person(rng: np.random.Generator) -> Sprite:
    """Draw somebody standing or walking, seen from the front, the back or the side."""
    width, height = 0.95, 1.85
    canvas = Canvas(rng, width, height, 120, (0.3, 0.3, 0.3))
    alpha = np.zeros(canvas.relief.shape, np.uint8)
    skin = vary(rng, _SKIN[int(rng.integers(3))], 0.06)
    top, bottom = (vary(rng, _CLOTHES[int(rng.integers(len(_CLOTHES)))], 0.1) for _ in range(2))
    bottom = shade(bottom, 0.75)
    hair = vary(
        rng,
        ((0.12, 0.09, 0.07), (0.42, 0.28, 0.14), (0.7, 0.58, 0.34), (0.6, 0.6, 0.6))[
            int(rng.integers(4))
        ],
        0.1,
    )
    middle = width / 2

    def limb(points: list[list[float]], thick: float, colour: Colour) -> None:
        _bark(canvas, alpha, np.array(points), thick, colour)

    def mass(points: list[list[float]], colour: Colour) -> None:
        array = np.array(points)
        canvas.polygon(array, colour=colour)
        cv2.fillPoly(alpha, [canvas.pixels(array)], 255, cv2.LINE_AA, SUBPIXEL_BITS)

    stride = rng.uniform(0.02, 0.2)
    skirt = rng.random() < 0.3
    for side in (-1, 1):
        foot = middle + side * stride
        limb(
            [
                [middle + side * 0.08, 0.9],
                [middle + side * (0.08 + stride * 0.4), 0.48],
                [foot, 0.08],
            ],
            0.14,
            skin if skirt else shade(bottom, 1 + 0.12 * side),
        )
        limb([[foot - 0.03, 0.04], [foot + 0.07, 0.04]], 0.09, (0.13, 0.11, 0.1))
    if skirt:
        mass(
            [
                [middle - 0.26, 0.5],
                [middle + 0.26, 0.5],
                [middle + 0.15, 0.98],
                [middle - 0.15, 0.98],
            ],
            bottom,
        )
    swing = rng.uniform(-0.15, 0.2)
    for side in (-1, 1):
        limb(
            [
                [middle + side * 0.22, 1.42],
                [middle + side * 0.29, 1.15],
                [middle + side * (0.24 + swing * side), 0.9],
            ],
            0.1,
            shade(top, 0.9),
        )
        limb(
            [
                [middle + side * (0.24 + swing * side), 0.9],
                [middle + side * (0.23 + swing * side), 0.85],
            ],
            0.08,
            skin,
        )
    mass(
        [
            [middle - 0.17, 0.85],
            [middle + 0.17, 0.85],
            [middle + 0.24, 1.42],
            [middle + 0.12, 1.5],
            [middle - 0.12, 1.5],
            [middle - 0.24, 1.42],
        ],
        top,
    )
    limb([[middle, 1.48], [middle, 1.58]], 0.09, shade(skin, 0.85))
    back = rng.random() < 0.5
    ring = np.linspace(0, 2 * np.pi, 20)
    for radius, level, tone in ((0.115, 1.66, hair), (0.095, 1.635, hair if back else skin)):
        mass(
            np.stack(
                [middle + radius * np.cos(ring), level + radius * 1.12 * np.sin(ring)], 1
            ).tolist(),
            tone,
        )
    if rng.random() < 0.4:
        mass(
            [
                [middle - 0.15, 1.0],
                [middle + 0.15, 1.0],
                [middle + 0.14, 1.4],
                [middle - 0.14, 1.4],
            ],
            shade(_CLOTHES[int(rng.integers(len(_CLOTHES)))], 0.8),
        )
    canvas.relief[:] = cv2.GaussianBlur((alpha > 0).astype(np.float32), (0, 0), 5) * 0.25
    return Sprite(canvas.finish(0.04, alpha=alpha), width, height)


def _plain(rng: np.random.Generator, colour: Colour, glass: int = 0) -> Texture:
    canvas = Canvas(rng, 1, 1, 32, colour)
    canvas.glass[:] = glass
    return canvas.finish(0.03, repeat=True)


def _car(rng: np.random.Generator, paint: Colour) -> Mesh:
    """Build a car along x: lower body, cabin, wheels."""
    b = MeshBuilder()
    length, wide, sill, waist, top = 4.3, 1.75, 0.25, 0.88, 1.45
    side = Canvas(rng, length, top, 60, paint)
    side.plaster(paint, 0.01)
    window = [[1.0, waist + 0.04], [3.55, waist + 0.04], [3.0, top - 0.1], [1.55, top - 0.1]]
    side.polygon(np.array(window), colour=(0.09, 0.11, 0.13), glass=90)
    side.line(np.array([[2.3, waist], [2.3, top]]), 0.09, shade(paint, 0.9), glass=0)
    for x in (1.15, 2.3, 3.4):
        side.line(np.array([[x, sill + 0.1], [x, waist]]), 0.03, shade(paint, 0.5))
    side.line(np.array([[0, 0.55], [length, 0.58]]), 0.05, shade(paint, 0.7))
    side.rectangle(0, sill, length, sill + 0.12, colour=(0.08, 0.08, 0.09))
    for x in (0.85, 3.45):
        side.disc(x, 0.34, 0.42, colour=(0.05, 0.05, 0.05))
    side.rectangle(4.1, 0.6, length, 0.76, colour=(0.75, 0.12, 0.1))
    side.rectangle(0, 0.6, 0.2, 0.76, colour=(0.95, 0.93, 0.85))
    skin, body = side.finish(0.03), _plain(rng, paint)
    pane = _plain(rng, (0.09, 0.11, 0.14), 90)
    wheel = Canvas(rng, 0.66, 0.66, 60, (0.07, 0.07, 0.07))
    wheel.disc(0.33, 0.33, 0.2, colour=(0.6, 0.61, 0.63), relief=0.03)
    wheel.disc(0.33, 0.33, 0.07, colour=(0.2, 0.2, 0.2))
    tyre = wheel.finish(0.0)
    h = wide / 2
    lower = [(0, sill), (length, sill), (length, 0.8), (3.9, waist), (0.25, 0.82), (0, 0.7)]
    cabin = [(0.95, waist - 0.06), (3.85, waist - 0.02), (3.1, top), (1.5, top)]
    ring = np.linspace(0, 2 * np.pi, 13)[:-1]
    for outline, inset in ((lower, 0.0), (cabin, 0.12)):
        for sign in (-1, 1):
            order = outline if sign < 0 else outline[::-1]
            points = [[x, sign * (h - inset), z] for x, z in order]
            b.face(np.array(points), skin, [[x / length, z / top] for x, z in order][:3])
        count = len(outline)
        for k in range(count):
            (xa, za), (xb, zb) = outline[k], outline[(k + 1) % count]
            y = h - inset
            texture = pane if outline is cabin and k in (1, 3) else body
            b.tiled(
                [[xa, y, za], [xa, -y, za], [xb, -y, zb], [xb, y, zb]][::-1],
                texture,
                (1, 1),
                two_sided=True,
            )
    for x in (0.85, 3.45):
        for sign in (-1, 1):
            turn = ring if sign < 0 else ring[::-1]
            points = np.stack(
                [
                    x + 0.33 * np.cos(turn),
                    np.full(12, sign * (h + 0.01)),
                    0.33 + 0.33 * np.sin(turn),
                ],
                1,
            )
            around = np.stack([0.5 + 0.5 * np.cos(turn), 0.5 + 0.5 * np.sin(turn)], 1)
            b.face(points, tyre, around)
    return b.build().placed(-length / 2, 0, 0)


def _bus(rng: np.random.Generator, paint: Colour) -> Mesh:
    b = MeshBuilder()
    length, wide, tall = 9.5, 2.5, 3.1
    side = Canvas(rng, length, tall, 40, paint)
    side.plaster(paint, 0.01)
    side.rectangle(0, 1.35, length, 2.45, colour=(0.1, 0.12, 0.14), glass=90)
    for x in np.linspace(0, length, 8):
        side.rectangle(x - 0.06, 1.35, x + 0.06, 2.45, colour=shade(paint, 0.4), glass=0)
    side.rectangle(0, 0.95, length, 1.15, colour=blend(paint, (1, 1, 1), 0.6))
    side.rectangle(1.2, 0.3, 2.3, 2.45, colour=(0.13, 0.15, 0.17), glass=80)
    side.text(
        str(rng.choice(["CITY TOURS", "EXPRESS", "SIGHTSEEING", "METROLINE"])),
        length * 0.6,
        0.65,
        0.4,
        blend(paint, (1, 1, 1), 0.8),
    )
    side.rectangle(0, 0, length, 0.25, colour=(0.06, 0.06, 0.06))
    for x in (1.9, 7.4):
        side.disc(x, 0.35, 0.5, colour=(0.05, 0.05, 0.05))
        side.disc(x, 0.35, 0.22, colour=(0.5, 0.5, 0.5))
    end = Canvas(rng, wide, tall, 40, paint)
    end.rectangle(0.15, 1.2, wide - 0.15, 2.6, colour=(0.1, 0.12, 0.14), glass=90)
    end.rectangle(0.3, 2.65, wide - 0.3, 2.95, colour=(0.9, 0.6, 0.1))
    for x in (0.3, wide - 0.3):
        end.disc(x, 0.7, 0.16, colour=(0.9, 0.9, 0.85))
    b.box(
        -length / 2,
        -wide / 2,
        length / 2,
        wide / 2,
        0.15,
        tall,
        side.finish(0.04),
        end.finish(0.04),
        _plain(rng, shade(paint, 0.9)),
    )
    return b.build()


def _lamp(rng: np.random.Generator, arms: int) -> Mesh:
    b = MeshBuilder()
    iron = _plain(rng, (0.13, 0.15, 0.14))
    glow = _plain(rng, (0.93, 0.9, 0.8))
    tall = float(rng.uniform(4.2, 5.4))
    b.frustum(0, 0, (0.2, 0.14), (0, 0.7), 6, iron, (1, 1))
    b.frustum(0, 0, (0.07, 0.05), (0.7, tall), 6, iron, (1, 1))
    spots = [(0.0, tall)] if arms == 1 else [(-0.55, tall - 0.3), (0.55, tall - 0.3)]
    if arms == 2:
        b.box(-0.55, -0.04, 0.55, 0.04, tall - 0.42, tall - 0.32, iron, top=iron)
    for x, z in spots:
        first = len(b.glows)
        b.frustum(x, 0, (0.14, 0.22), (z, z + 0.42), 6, glow, (1, 1))
        for k in range(first, len(b.glows)):
            b.glows[k] = 3.5
        b.frustum(x, 0, (0.28, 0.03), (z + 0.42, z + 0.62), 6, iron, (1, 1))
    return b.build()


def _furniture(rng: np.random.Generator) -> list[Mesh]:
    wood, iron = _plain(rng, (0.4, 0.27, 0.16)), _plain(rng, (0.15, 0.16, 0.16))
    stone = stone_texture(rng, (0.7, 0.68, 0.63))
    bench = MeshBuilder()
    for y, z in ((-0.2, 0.42), (0.0, 0.42), (0.2, 0.42), (0.3, 0.62), (0.34, 0.8)):
        bench.box(-0.9, y - 0.08, 0.9, y + 0.08, z, z + 0.06, wood, top=wood)
    for x in (-0.7, 0.7):
        bench.box(x - 0.05, -0.25, x + 0.05, 0.3, 0, 0.42, iron, top=iron)
    sign = MeshBuilder()
    sign.frustum(0, 0, (0.04, 0.04), (0, 2.6), 5, iron, (1, 1))
    disc = Canvas(rng, 0.7, 0.7, 90, (0.75, 0.1, 0.1))
    alpha = np.zeros(disc.relief.shape, np.uint8)
    cv2.circle(alpha, (alpha.shape[1] // 2, alpha.shape[0] // 2), alpha.shape[0] // 2 - 1, 255, -1)
    disc.disc(0.35, 0.35, 0.25, colour=(0.93, 0.93, 0.9))
    sign.wall(
        (-0.35, -0.05), (0.35, -0.05), 2.1, 2.8, disc.finish(0.02, alpha=alpha), two_sided=True
    )
    umbrella = MeshBuilder()
    cloth = Canvas(rng, 4, 2, 40, (0.85, 0.8, 0.7))
    for k in range(0, 8, 2):
        cloth.rectangle(k * 0.5, 0, k * 0.5 + 0.5, 2, colour=(0.72, 0.2, 0.16))
    umbrella.frustum(0, 0, (0.04, 0.04), (0, 2.5), 5, wood, (1, 1))
    umbrella.frustum(0, 0, (1.7, 0.0), (2.1, 2.75), 8, cloth.finish(0.04))
    for x in (-0.6, 0.7):
        umbrella.frustum(x, 0.4, (0.4, 0.4), (0.7, 0.75), 8, wood, (1, 1), cap=wood)
    planter = MeshBuilder()
    planter.frustum(0, 0, (0.55, 0.75), (0, 0.8), 8, stone, (2, 2), cap=wood)
    kiosk = MeshBuilder()
    board = Canvas(rng, 3.6, 2.6, 50, (0.2, 0.34, 0.28))
    board.rectangle(0.2, 1.0, 3.4, 2.1, colour=(0.16, 0.14, 0.12))
    for _ in range(26):
        x, y = rng.uniform(0.3, 3.1), rng.uniform(1.05, 1.8)
        board.rectangle(
            x,
            y,
            x + 0.24,
            y + 0.3,
            colour=vary(rng, _CLOTHES[int(rng.integers(len(_CLOTHES)))], 0.2),
        )
    board.text("NEWS  CAFE", 1.8, 2.35, 0.28, (0.9, 0.85, 0.6))
    panel = board.finish(0.05)
    kiosk.box(-1.8, -1.2, 1.8, 1.2, 0, 2.6, panel, panel)
    kiosk.hip(-1.8, -1.2, 1.8, 1.2, 2.6, 0.8, _plain(rng, (0.25, 0.3, 0.28)), (1, 1), 0.3)
    flag = MeshBuilder()
    flag.frustum(0, 0, (0.07, 0.04), (0, 9), 6, _plain(rng, (0.8, 0.8, 0.8)), (1, 1))
    cloth = Canvas(rng, 2.6, 1.6, 40, (0.8, 0.78, 0.72))
    cloth.rectangle(0, 0, 2.6, 0.55, colour=vary(rng, (0.7, 0.14, 0.14), 0.2))
    cloth.rectangle(0, 1.05, 2.6, 1.6, colour=vary(rng, (0.12, 0.2, 0.45), 0.2))
    wave = np.sin(np.linspace(0, 9, cloth.relief.shape[1]))
    cloth.relief[:] = 0.12 * wave[None, :]
    flag.wall((0.05, 0), (2.6, 0.5), 7.2, 8.8, cloth.finish(0.04), two_sided=True)
    return [m.build() for m in (bench, sign, umbrella, planter, kiosk, flag, bench, umbrella)]


def _house(rng: np.random.Generator, roofs: list[Texture]) -> tuple[Mesh, float, float, float]:
    """Build an ordinary house; returns it with its width, depth and height."""
    style = choose_style(rng)
    b = MeshBuilder()
    floors = int(rng.integers(3, 6))
    width, depth = float(rng.uniform(9, 17)), float(rng.uniform(9, 13))
    height = floors * float(rng.uniform(3.1, 3.7)) + 1
    bays = max(3, round(width / 3.1))
    canvas = Canvas(rng, width, height, 22)
    wall = (PLASTERS + BRICKS + STONES[:4])[int(rng.integers(14))]
    wall = blend(vary(rng, wall, 0.06), (0.7, 0.68, 0.64), 0.3)
    if wall[0] - wall[2] > 0.2 and wall[0] < 0.7:
        canvas.masonry(wall, 0.16, 0.36, 0.09, joint=0.03, depth=0.012)
    else:
        canvas.plaster(wall, 0.03)
    storey = height / floors
    shop = rng.random() < 0.55
    if shop:
        canvas.rectangle(0, 0, width, storey, colour=shade(wall, 0.72), relief=0.05)
        for k in range(max(1, bays // 2)):
            span = width / max(1, bays // 2)
            x0 = k * span + 0.5
            canvas.rectangle(
                x0,
                0.4,
                x0 + span - 1.0,
                storey * 0.68,
                colour=(0.13, 0.14, 0.15),
                relief=-0.2,
                glass=230,
            )
            for x in np.linspace(x0, x0 + span - 1, 4):
                canvas.line(np.array([[x, 0.4], [x, storey * 0.68]]), 0.08, style.frame, -0.1, 0)
            board = vary(rng, _CLOTHES[int(rng.integers(len(_CLOTHES)))], 0.1)
            canvas.rectangle(
                x0 - 0.2, storey * 0.74, x0 + span - 0.8, storey * 0.95, colour=board, relief=0.2
            )
            word = str(
                rng.choice(
                    [
                        "CAFE",
                        "BOOKS",
                        "HOTEL",
                        "BAKERY",
                        "FLORIST",
                        "BAR",
                        "TEA",
                        "SHOES",
                        "OPTIK",
                        "MODE",
                    ]
                )
            )
            canvas.text(word, x0 + (span - 1) / 2, storey * 0.845, storey * 0.11, (0.92, 0.9, 0.84))
    shutters = vary(rng, (0.3, 0.42, 0.36), 0.2) if rng.random() < 0.35 else None
    trim = blend(wall, (0.92, 0.9, 0.86), 0.6)
    for floor in range(1 if shop else 0, floors):
        for bay in range(bays):
            cx = (bay + 0.5) * width / bays
            if floor == 0 and bay == bays // 2:
                canvas.portal(cx, 0, 1.3, storey * 0.78, "rect", trim, style.door, 2)
                continue
            canvas.window(
                cx,
                floor * storey + storey * 0.26,
                1.05,
                storey * 0.54,
                "segment" if style.opening == "segment" else "rect",
                trim,
                style.frame,
                0.12,
                (2, 2),
                "ledge" if style.head == "ledge" else "none",
                True,
                shutters,
            )
        if floor and style.ornament != "plain":
            canvas.rectangle(
                0, floor * storey - 0.1, width, floor * storey + 0.12, colour=trim, relief=0.12
            )
    canvas.cornice(height - 0.55, 0.55, trim, 0.3, rng.random() < 0.5)
    front = canvas.finish(0.1)
    plain = Canvas(rng, depth, height, 16)
    plain.plaster(shade(wall, 0.95), 0.05)
    for floor in range(1, floors):
        for cx in (depth * 0.3, depth * 0.7):
            if rng.random() < 0.75:
                plain.window(
                    cx,
                    floor * storey + storey * 0.26,
                    1.0,
                    storey * 0.5,
                    "rect",
                    trim,
                    style.frame,
                    0.1,
                    (2, 2),
                )
    roof = roofs[int(rng.integers(len(roofs)))]
    x0, y0, x1, y1 = -width / 2, -depth / 2, width / 2, depth / 2
    side = plain.finish(0.12)
    b.box(x0, y0, x1, y1, 0, height, front, side, roof)
    kind = rng.integers(3)
    rise = 0.0
    if kind == 0:
        rise = depth * float(rng.uniform(0.3, 0.48))
        b.gable(x0, y0, x1, y1, height, rise, roof, (6, 6), side, "x", 0.35)
    elif kind == 1:
        rise = depth * 0.32
        b.hip(x0, y0, x1, y1, height, rise, roof, (6, 6), 0.35, 0.35)
    chimney = _plain(rng, (0.42, 0.25, 0.2))
    for _ in range(2):
        x = float(rng.uniform(x0 + 1, x1 - 1))
        b.box(
            x - 0.4,
            -0.4,
            x + 0.4,
            0.4,
            height + rise * 0.5,
            height + rise + 1.5,
            chimney,
            top=chimney,
        )
    return b.build(), width, depth, height + rise


def _ground(rng: np.random.Generator, kind: str, colour: Colour) -> Texture:
    """Draw a repeating piece of ground, 8 m square."""
    canvas = Canvas(rng, 8, 8, 48)
    rows, columns = canvas.relief.shape
    if kind == "slabs":
        size = float(rng.choice([0.5, 0.8, 1.0]))
        canvas.masonry(colour, size, size, 0.06, joint=0.025, depth=0.012)
    elif kind == "cobbles":
        canvas.masonry(colour, 0.16, 0.2, 0.13, shade(colour, 0.5), 0.045, 0.03)
    elif kind == "asphalt":
        grain = rng.standard_normal((rows, columns), dtype=np.float32)
        wide = fractal_noise(rng, rows, columns, cells=5, octaves=4)
        value = np.array(colour) * (1 + 0.1 * grain[..., None] + 0.05 * wide[..., None])
        canvas.colour[:] = np.clip(value * 255, 5, 250)
    else:
        blades = fractal_noise(rng, rows, columns, cells=110, octaves=2, stretch=1.8)
        wide = fractal_noise(rng, rows, columns, cells=6, octaves=5)
        value = np.array(colour) * (1 + 0.17 * blades[..., None] + 0.1 * wide[..., None])
        value[..., 0] += 0.02 * wide
        canvas.colour[:] = np.clip(value * 255, 3, 250)
        canvas.relief[:] = 0.02 * blades
    return canvas.finish(0.06, repeat=True, bump=0.6)


def build_props(seed: int) -> Props:
    """Return the shared stock of a world."""
    rng = np.random.default_rng([seed, 4711])
    greens: tuple[tuple[str, Colour], ...] = (
        ("round", (0.24, 0.34, 0.11)), ("round", (0.31, 0.38, 0.13)), ("wide", (0.21, 0.31, 0.12)),
        ("wide", (0.38, 0.36, 0.13)), ("tall", (0.25, 0.34, 0.16)), ("conifer", (0.2, 0.3, 0.19)),
        ("round", (0.5, 0.32, 0.1)), ("conifer", (0.25, 0.33, 0.18)),
    )  # fmt: skip
    roofs = [roof_texture(rng, vary(rng, colour, 0.1)) for colour in (*ROOFS[:3], ROOFS[1])]
    paints: tuple[Colour, ...] = (
        (0.6, 0.08, 0.08), (0.75, 0.76, 0.78), (0.1, 0.11, 0.13), (0.14, 0.24, 0.44),
        (0.82, 0.8, 0.74), (0.2, 0.32, 0.26),
    )  # fmt: skip
    hedge = Canvas(rng, 4, 4, 50, (0.12, 0.2, 0.07))
    hedge_alpha = np.zeros(hedge.relief.shape, np.uint8)
    blobs = np.stack([rng.uniform(0, 4, 40), rng.uniform(0, 4, 40), rng.uniform(0.4, 0.6, 40)], 1)
    _foliage(hedge, hedge_alpha, blobs, (0.24, 0.33, 0.14), 0.085, 2600)
    return Props(
        trees=tuple(_tree(rng, form, vary(rng, colour, 0.06)) for form, colour in greens),
        bushes=tuple(
            _bush(rng, (0.22, 0.34, 0.12), flower)
            for flower in (None, (0.85, 0.3, 0.4), (0.9, 0.85, 0.7))
        ),
        people=tuple(_person(rng) for _ in range(20)),
        cars=tuple(_car(rng, paint) for paint in paints),
        buses=tuple(_bus(rng, paint) for paint in ((0.7, 0.12, 0.1), (0.85, 0.82, 0.75))),
        lamps=tuple(_lamp(rng, arms) for arms in (1, 2)),
        furniture=tuple(_furniture(rng)),
        houses=tuple(_house(rng, roofs) for _ in range(14)),
        paving=tuple(
            _ground(rng, "slabs", colour)
            for colour in ((0.62, 0.59, 0.54), (0.52, 0.5, 0.48), (0.66, 0.56, 0.46))
        ),
        cobbles=tuple(
            _ground(rng, "cobbles", colour) for colour in ((0.4, 0.39, 0.38), (0.46, 0.41, 0.36))
        ),
        asphalt=_ground(rng, "asphalt", (0.24, 0.24, 0.25)),
        grass=tuple(
            _ground(rng, "grass", colour) for colour in ((0.31, 0.37, 0.2), (0.41, 0.41, 0.24))
        ),
        marking=_plain(rng, (0.82, 0.81, 0.77)),
        hedge=hedge.finish(0.0, repeat=True),
    )
