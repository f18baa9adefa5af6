"""The landmarks of the sample world: a dozen kinds of architecture, each varied by its seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np

from src.sample_mesh import LANDMARK, Mesh, MeshBuilder
from src.sample_textures import Canvas, Colour, Texture, arch, blend, shade, vary

STONES: tuple[Colour, ...] = (
    (0.76, 0.70, 0.58),  # limestone
    (0.66, 0.62, 0.56),  # grey sandstone
    (0.74, 0.58, 0.42),  # yellow sandstone
    (0.66, 0.42, 0.34),  # red sandstone
    (0.58, 0.58, 0.58),  # granite
    (0.82, 0.79, 0.74),  # marble
    (0.55, 0.50, 0.42),  # dark weathered stone
)
BRICKS: tuple[Colour, ...] = (
    (0.56, 0.27, 0.20),
    (0.62, 0.36, 0.25),
    (0.46, 0.25, 0.22),
    (0.70, 0.55, 0.38),
)
PLASTERS: tuple[Colour, ...] = (
    (0.86, 0.76, 0.52),
    (0.84, 0.62, 0.50),
    (0.88, 0.85, 0.78),
    (0.66, 0.74, 0.76),
    (0.76, 0.80, 0.66),
    (0.80, 0.52, 0.40),
)
ROOFS: tuple[Colour, ...] = (
    (0.30, 0.32, 0.36),  # slate
    (0.58, 0.30, 0.20),  # clay tiles
    (0.40, 0.26, 0.20),
    (0.26, 0.36, 0.33),  # dark green glaze
)
METALS: tuple[Colour, ...] = (
    (0.42, 0.62, 0.54),  # copper green
    (0.44, 0.47, 0.50),  # lead
    (0.62, 0.50, 0.22),  # gilt
    (0.30, 0.40, 0.52),  # blue enamel
)


@dataclass(frozen=True)
class Style:
    """What one landmark is made of: colours, how walls are laid, windows and ornament."""

    wall: Colour
    trim: Colour
    roof: Colour
    metal: Colour
    frame: Colour
    door: Colour
    accent: Colour
    laid: str
    course: float
    block: float
    opening: str
    head: str
    ornament: str


def choose_style(rng: np.random.Generator) -> Style:
    """Return a style drawn at random."""
    laid = str(rng.choice(["ashlar", "courses", "brick", "plaster", "stripes"]))
    wall = {
        "brick": BRICKS,
        "plaster": PLASTERS,
    }.get(laid, STONES)
    wall_colour = vary(rng, wall[int(rng.integers(len(wall)))], 0.05)
    stone = STONES[int(rng.integers(len(STONES)))]
    trim = (
        vary(rng, blend(stone, (0.9, 0.87, 0.8), 0.45), 0.03)
        if laid in ("brick", "plaster")
        else shade(wall_colour, float(rng.uniform(1.04, 1.16)))
    )
    accent = BRICKS[int(rng.integers(len(BRICKS)))]
    return Style(
        wall=wall_colour,
        trim=trim,
        roof=vary(rng, ROOFS[int(rng.integers(len(ROOFS)))], 0.07),
        metal=vary(rng, METALS[int(rng.integers(len(METALS)))], 0.05),
        frame=vary(rng, ((0.85, 0.83, 0.78), (0.3, 0.24, 0.18))[int(rng.random() < 0.35)], 0.04),
        door=vary(
            rng,
            ((0.36, 0.22, 0.12), (0.16, 0.27, 0.24), (0.42, 0.14, 0.12))[int(rng.integers(3))],
            0.08,
        ),
        accent=vary(rng, accent, 0.06),
        laid=laid,
        course=float(rng.uniform(0.34, 0.62)),
        block=float(rng.uniform(0.7, 1.5)),
        opening=str(rng.choice(["round", "pointed", "segment", "rect"])),
        head=str(rng.choice(["none", "ledge", "pediment", "arc", "keystone"])),
        ornament=str(rng.choice(["niches", "checker", "frieze", "pilasters", "plain"])),
    )


def lay(canvas: Canvas, style: Style) -> None:
    """Cover a canvas with the wall of a style."""
    if style.laid == "brick":
        canvas.masonry(style.wall, 0.16, 0.36, 0.1, shade(style.trim, 0.85), 0.03, 0.012)
    elif style.laid == "plaster":
        canvas.plaster(style.wall, 0.035)
    elif style.laid == "stripes":
        canvas.masonry(style.wall, style.course, style.block, 0.05)
        band = style.course * 2
        for k, y in enumerate(np.arange(0, canvas.height, band)):
            if k % 3 == 2:
                region = (0.0, float(y), canvas.width, min(float(y + band / 2), canvas.height))
                canvas.masonry(style.accent, style.course, style.block, 0.06, region=region)
    else:
        canvas.masonry(
            style.wall, style.course, style.block, 0.075, courses_vary=style.laid == "courses"
        )


def plinth(canvas: Canvas, style: Style, height: float) -> None:
    """Lay a rusticated base course along the foot of a wall."""
    canvas.masonry(
        shade(style.trim, 0.86),
        height / max(1, round(height / 0.6)),
        1.1,
        0.05,
        shade(style.trim, 0.5),
        0.07,
        0.07,
        region=(0.0, 0.0, canvas.width, height),
        relief=0.12,
    )


def roof_texture(rng: np.random.Generator, colour: Colour) -> Texture:
    """Return a repeating patch of tiles, 6 m square."""
    canvas = Canvas(rng, 6, 6, 24)
    canvas.tiles(colour, float(rng.uniform(0.28, 0.45)), float(rng.uniform(0.25, 0.4)))
    return canvas.finish(0.12, repeat=True)


def stone_texture(rng: np.random.Generator, colour: Colour, course: float = 0.5) -> Texture:
    """Return a repeating patch of masonry, 6 m square."""
    canvas = Canvas(rng, 6, 6, 24)
    canvas.masonry(colour, course, course * 2, 0.06)
    return canvas.finish(0.1, repeat=True)


def metal_texture(rng: np.random.Generator, colour: Colour) -> Texture:
    """Return a repeating patch of standing-seam sheet, 6 m square."""
    canvas = Canvas(rng, 6, 6, 20)
    canvas.seams(colour, 0.6)
    return canvas.finish(0.08, repeat=True)


def dome_texture(rng: np.random.Generator, colour: Colour, ribs: int, style: Style) -> Texture:
    """Return the skin of a dome, once around: ribs, courses, a row of round windows."""
    canvas = Canvas(rng, 24, 12, 26)
    if rng.random() < 0.5:
        canvas.seams(colour, 24 / ribs / 4)
    else:
        canvas.tiles(colour, 0.5, 0.45, 0.09)
    pitch = 24 / ribs
    for k in range(ribs):
        x = (k + 0.5) * pitch
        canvas.rectangle(x - 0.16, 0, x + 0.16, 12, colour=shade(style.trim, 0.95), relief=0.3)
        canvas.disc(k * pitch + pitch, 3.2, pitch * 0.24, colour=style.trim, relief=0.25)
        canvas.disc(
            k * pitch + pitch, 3.2, pitch * 0.16, colour=(0.1, 0.12, 0.14), relief=-0.2, glass=120
        )
    return canvas.finish(0.1)


def column_texture(rng: np.random.Generator, colour: Colour, height: float) -> Texture:
    """Return a fluted shaft, once around and full height."""
    canvas = Canvas(rng, 3.2, height, 24)
    canvas.plaster(colour, 0.05)
    for x in np.linspace(0, 3.2, 13)[:-1] + 0.13:
        canvas.line(np.array([[x, 0.5], [x, height - 0.7]]), 0.1, shade(colour, 0.72), -0.08)
    for y in np.arange(1.4, height - 0.6, 2.1):
        canvas.line(np.array([[0, y], [3.2, y]]), 0.03, shade(colour, 0.6), -0.05)
    canvas.rectangle(0, 0, 3.2, 0.45, colour=shade(colour, 0.95), relief=0.15)
    canvas.rectangle(0, height - 0.6, 3.2, height, colour=shade(colour, 1.05), relief=0.15)
    for x in np.linspace(0, 3.2, 9):
        canvas.disc(x, height - 0.35, 0.16, colour=shade(colour, 0.8), relief=0.22)
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
    builder.frustum(
        x, y, (size * 0.28, size * 0.28), (z - size * 0.2, z + size * 0.5), 6, metal, (6, 6)
    )
    builder.dome(x, y, z + size * 0.5, size * 0.45, size * 0.5, metal, 8, 3)
    builder.frustum(x, y, (size * 0.12, 0), (z + size, z + size * 2.6), 4, metal, (6, 6))


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
        canvas.masonry(
            shade(style.trim, 0.93),
            0.62,
            1.5,
            0.04,
            shade(style.trim, 0.55),
            0.08,
            0.08,
            region=(0.0, 0.0, width, base),
            relief=0.08,
        )
    heads = [style.head, "ledge", "none", "keystone"]
    if style.ornament == "pilasters":
        for k in range(bays + 1):
            x = float(np.clip(k * pitch, 0.5, width - 0.5))
            canvas.pilaster(
                x, base + 0.3, height - storey * 0.25, min(0.9, pitch * 0.2), style.trim
            )
    door_bay = bays // 2 if entrance else -1
    for floor in range(floors):
        y = floor * storey + storey * 0.28
        tall = storey * (0.62 if floor else 0.52)
        for bay in range(bays):
            cx = (bay + 0.5) * pitch
            wide = min(pitch * 0.44, 1.9)
            if floor == 0 and bay == door_bay:
                canvas.portal(
                    cx, 0, min(pitch * 0.6, 3.0), base * 0.88, "round", style.trim, style.door, 3
                )
                continue
            if floor == 0 and ground == "arcade":
                canvas.polygon(
                    arch(cx, 0.0, pitch * 0.7, base * 0.9, "round"),
                    colour=shade(style.trim, 0.3),
                    relief=-0.4,
                )
                continue
            kind = style.opening if floor != 0 else "round"
            if floor == floors - 1 and kind == "pointed":
                kind = "segment"
            canvas.window(
                cx,
                y,
                wide,
                tall,
                kind,
                style.trim,
                style.frame,
                bars=(2, 4 if floor == 1 else 3),
                head=heads[min(floor, 3)] if floor and kind in ("rect", "segment") else "none",
            )
        if floor:
            canvas.rectangle(
                0,
                floor * storey - 0.05,
                width,
                floor * storey + 0.32,
                colour=shade(style.trim, 1.02),
                relief=0.22,
            )
    if style.ornament == "frieze":
        canvas.frieze(height - storey * 0.3, storey * 0.18, style.trim)
    elif style.ornament == "checker":
        canvas.checker(
            0, height - storey * 0.3, width, height - storey * 0.12, 0.5, style.trim, style.accent
        )
    elif style.ornament == "niches" and bays > 3:
        for k in range(1, bays):
            canvas.niche(k * pitch, storey * 1.35, min(0.8, pitch * 0.2), storey * 0.45, style.trim)
    canvas.cornice(height - storey * 0.16, storey * 0.16, style.trim, 0.5)
    for x in (0.0, width):
        canvas.quoins(x, base, height - storey * 0.2, 1.1, style.trim)
    return canvas.finish()


# -- kinds of landmark -----------------------------------------------------------------------------


def cathedral(rng: np.random.Generator, style: Style) -> Mesh:
    """Two west towers, a rose window between them, nave with buttresses and steep roof."""
    b = MeshBuilder(LANDMARK)
    nave_w, tower_w = rng.uniform(9, 12), rng.uniform(6.5, 8.5)
    nave_h, tower_h = rng.uniform(17, 22), rng.uniform(30, 40)
    length = rng.uniform(34, 44)
    ridge = nave_h + nave_w * rng.uniform(0.6, 0.85)
    half = nave_w / 2
    front = Canvas(rng, nave_w, ridge + 1)
    lay(front, style)
    plinth(front, style, 1.2)
    front.portal(half, 0, nave_w * 0.36, nave_h * 0.42, "pointed", style.trim, style.door, 5)
    front.frieze(nave_h * 0.5, 1.7, style.trim)
    front.rose(half, nave_h * 0.78, nave_w * 0.33, style.trim, int(rng.choice([8, 10, 12, 16])))
    front.cornice(nave_h * 0.46, 0.5, style.trim, 0.3, False)
    for x in np.linspace(1.2, nave_w - 1.2, 6):
        front.window(
            x, nave_h * 1.08, 0.55, 2.4, "pointed", style.trim, style.trim, bars=(1, 1), sill=False
        )
    front_t = front.finish()
    y0 = -length / 2
    b.face(
        [
            [-half, y0 + 0.8, 0],
            [half, y0 + 0.8, 0],
            [half, y0 + 0.8, nave_h],
            [0, y0 + 0.8, ridge],
            [-half, y0 + 0.8, nave_h],
        ],
        front_t,
        [[0, 0], [1, 0], [1, nave_h / (ridge + 1)]],
    )
    tower = Canvas(rng, tower_w, tower_h)
    lay(tower, style)
    plinth(tower, style, 1.4)
    floors = 4
    for k in range(floors):
        low = tower_h * (0.06 + 0.235 * k)
        tall = tower_h * (0.165 if k < 3 else 0.185)
        if k == 0:
            tower.portal(
                tower_w / 2, 0, tower_w * 0.38, tower_h * 0.2, "pointed", style.trim, style.door, 4
            )
        elif k == floors - 1 or rng.random() < 0.6:
            for side in (-1, 1):
                tower.window(
                    tower_w / 2 + side * tower_w * 0.17,
                    low,
                    tower_w * 0.22,
                    tall,
                    "pointed",
                    style.trim,
                    style.trim,
                    bars=(2, 2),
                )
        else:
            tower.window(
                tower_w / 2,
                low,
                tower_w * 0.3,
                tall,
                "pointed",
                style.trim,
                style.trim,
                bars=(2, 3),
            )
        tower.cornice(tower_h * (0.05 + 0.235 * (k + 1)), 0.6, style.trim, 0.3, k == 3)
    if style.ornament != "plain":
        for k in range(5):
            tower.niche(
                tower_w * (0.14 + 0.18 * k),
                tower_h * 0.25,
                tower_w * 0.1,
                tower_h * 0.035,
                style.trim,
            )
    for x in (0.45, tower_w - 0.45):
        tower.pilaster(x, 1.4, tower_h * 0.97, 0.9, style.trim, False)
    tower_t = tower.finish()
    stone = stone_texture(rng, style.trim)
    roof_t = roof_texture(rng, style.roof)
    spire = rng.random() < 0.65
    for sign in (-1, 1):
        cx = sign * (half + tower_w / 2)
        b.box(cx - tower_w / 2, y0, cx + tower_w / 2, y0 + tower_w, 0, tower_h, tower_t, top=stone)
        corners = [
            (cx - tower_w / 2, y0),
            (cx + tower_w / 2, y0),
            (cx + tower_w / 2, y0 + tower_w),
            (cx - tower_w / 2, y0 + tower_w),
        ]
        for k in range(4):
            if not spire:
                crenels(b, corners[k], corners[(k + 1) % 4], tower_h, stone, 0.9)
            px, py = corners[k]
            b.frustum(
                px, py, (0.75, 0.7), (tower_h - 3, tower_h + 1.5), 4, stone, (6, 6), turn=np.pi / 4
            )
            b.frustum(
                px, py, (0.8, 0), (tower_h + 1.5, tower_h + 5), 4, stone, (6, 6), turn=np.pi / 4
            )
        if spire:
            b.frustum(
                cx,
                y0 + tower_w / 2,
                (tower_w * 0.5, 0),
                (tower_h, tower_h + tower_w * rng.uniform(1.6, 2.3)),
                8,
                roof_t if rng.random() < 0.5 else stone,
                (6, 6),
                turn=np.pi / 8,
            )
    wall = Canvas(rng, length - tower_w, nave_h)
    lay(wall, style)
    plinth(wall, style, 1.2)
    bays = max(4, round((length - tower_w) / 5.5))
    pitch = (length - tower_w) / bays
    for k in range(bays):
        wall.window(
            (k + 0.5) * pitch,
            nave_h * 0.22,
            pitch * 0.42,
            nave_h * 0.6,
            "pointed",
            style.trim,
            style.trim,
            bars=(2, 4),
        )
    wall.cornice(nave_h - 1.2, 1.2, style.trim, 0.4)
    wall_t = wall.finish()
    b.wall((half, y0 + tower_w), (half, -y0), 0, nave_h, wall_t)
    b.wall((-half, -y0), (-half, y0 + tower_w), 0, nave_h, wall_t)
    for k in range(bays + 1):
        y = y0 + tower_w + k * pitch
        for sign in (-1, 1):
            x0, x1 = sorted((sign * half, sign * (half + 2.2)))
            b.box(x0, y - 0.55, x1, y + 0.55, 0, nave_h * 0.72, stone, top=stone)
            b.frustum(
                sign * (half + 1.2),
                y,
                (0.8, 0),
                (nave_h * 0.72, nave_h * 0.72 + 3.2),
                4,
                stone,
                (6, 6),
                turn=np.pi / 4,
            )
    b.gable(
        -half, y0 + 1.2, half, -y0, nave_h, ridge - nave_h - 0.4, roof_t, (6, 6), None, "y", 0.3
    )
    b.face(
        [
            [half, -y0, 0],
            [-half, -y0, 0],
            [-half, -y0, nave_h],
            [0, -y0, ridge - 0.5],
            [half, -y0, nave_h],
        ],
        front_t,
        [[0, 0], [1, 0], [1, 0.7]],
    )
    return b.build()


def clocktower(rng: np.random.Generator, style: Style) -> Mesh:
    """A tall shaft with a clock on every side, belfry and pointed roof, over low wings."""
    b = MeshBuilder(LANDMARK)
    w, h = rng.uniform(7.5, 10), rng.uniform(34, 48)
    shaft = Canvas(rng, w, h)
    lay(shaft, style)
    plinth(shaft, style, 1.6)
    shaft.portal(w / 2, 0, w * 0.34, h * 0.13, style.opening, style.trim, style.door, 3)
    for k in range(4):
        y = h * (0.2 + 0.11 * k)
        if k % 2 == 0:
            for side in (-1, 1):
                shaft.window(
                    w / 2 + side * w * 0.16,
                    y,
                    w * 0.13,
                    h * 0.075,
                    style.opening,
                    style.trim,
                    style.frame,
                    bars=(2, 3),
                )
        else:
            shaft.window(
                w / 2,
                y,
                w * 0.2,
                h * 0.075,
                style.opening,
                style.trim,
                style.frame,
                bars=(2, 3),
                head=style.head,
            )
        shaft.rectangle(0, y - h * 0.022, w, y - h * 0.012, colour=style.trim, relief=0.25)
    if style.ornament in ("checker", "niches"):
        shaft.checker(0, h * 0.62, w, h * 0.65, 0.6, style.trim, style.accent)
    else:
        shaft.frieze(h * 0.61, h * 0.04, style.trim)
    radius = w * rng.uniform(0.31, 0.36)
    dial = ((0.9, 0.88, 0.8), (0.12, 0.16, 0.3), (0.88, 0.84, 0.66))[int(rng.integers(3))]
    hands = (0.1, 0.09, 0.1) if dial[0] > 0.5 else (0.8, 0.66, 0.3)
    shaft.rectangle(
        w * 0.08,
        h * 0.67,
        w * 0.92,
        h * 0.67 + w * 0.84,
        colour=shade(style.trim, 0.95),
        relief=0.1,
    )
    shaft.clock(w / 2, h * 0.67 + w * 0.42, radius, dial, hands)
    top = h * 0.67 + w * 0.88
    shaft.cornice(top, 0.7, style.trim, 0.4)
    count = int(rng.integers(2, 4))
    for k in range(count):
        cx = w * (k + 0.5) / count
        shaft.window(
            cx,
            top + 1.3,
            w / count * 0.55,
            max(1.5, h - top - 3.0),
            "round" if style.opening == "rect" else style.opening,
            style.trim,
            shade(style.trim, 0.7),
            bars=(1, 6),
        )
    shaft.cornice(h - 0.9, 0.9, style.trim, 0.6)
    for x in (0.5, w - 0.5):
        shaft.pilaster(x, 1.6, h - 0.9, 1.0, style.trim, False)
    texture = shaft.finish()
    half = w / 2
    stone = stone_texture(rng, style.trim)
    roof_t = (
        metal_texture(rng, style.metal) if rng.random() < 0.5 else roof_texture(rng, style.roof)
    )
    b.box(-half, -half, half, half, 0, h, texture, top=stone)
    b.box(
        -half - 0.5, -half - 0.5, half + 0.5, half + 0.5, h, h + 0.9, stone, top=stone, bottom=True
    )
    rise = w * rng.uniform(1.1, 2.2)
    shape = rng.integers(3)
    metal = metal_texture(rng, METALS[2])
    if shape == 0:
        b.frustum(
            0, 0, (half * 1.35, 0), (h + 0.9, h + 0.9 + rise), 4, roof_t, (6, 6), turn=np.pi / 4
        )
    elif shape == 1:
        b.frustum(
            0,
            0,
            (half * 1.3, half * 0.55),
            (h + 0.9, h + 0.9 + rise * 0.35),
            4,
            roof_t,
            (6, 6),
            turn=np.pi / 4,
        )
        b.frustum(
            0,
            0,
            (half * 0.5, half * 0.5),
            (h + 0.9 + rise * 0.35, h + 0.9 + rise * 0.6),
            8,
            stone,
            (6, 6),
            turn=np.pi / 8,
        )
        b.frustum(
            0,
            0,
            (half * 0.62, 0),
            (h + 0.9 + rise * 0.6, h + 0.9 + rise * 1.1),
            8,
            roof_t,
            (6, 6),
            turn=np.pi / 8,
        )
        rise *= 1.1
    else:
        b.frustum(
            0, 0, (half * 0.95, half * 0.95), (h + 0.9, h + 2.5), 8, stone, (6, 6), turn=np.pi / 8
        )
        b.dome(0, 0, h + 2.5, half * 0.95, rise * 0.6, roof_t, 16, 6, onion=0.35)
        rise = 1.6 + rise * 0.6
    finial(b, 0, 0, h + 0.9 + rise - 0.4, 0.9, metal)
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * half, sy * half
            b.frustum(x, y, (0.8, 0.7), (h + 0.9, h + 3.4), 4, stone, (6, 6), turn=np.pi / 4)
            b.frustum(x, y, (0.9, 0), (h + 3.4, h + 6.0), 4, roof_t, (6, 6), turn=np.pi / 4)
    wing_w, wing_h, depth = rng.uniform(12, 18), rng.uniform(9, 13), w * 0.9
    wing = facade(rng, style, wing_w, wing_h, 2, max(3, round(wing_w / 3.2)))
    end = facade(rng, style, depth, wing_h, 2, 2)
    for sign in (-1, 1):
        x0, x1 = sorted((sign * half, sign * (half + wing_w)))
        b.box(x0, -depth / 2, x1, depth / 2, 0, wing_h, wing, end)
        b.hip(x0, -depth / 2, x1, depth / 2, wing_h, 3.6, roof_t, (6, 6))
    return b.build()


def rotunda(rng: np.random.Generator, style: Style) -> Mesh:
    """A round hall: drum with columns, ribbed dome, lantern, and a porch with a pediment."""
    b = MeshBuilder(LANDMARK)
    radius, base_h, drum_h = rng.uniform(10, 13), rng.uniform(8, 11), rng.uniform(7, 10)
    around = 2 * np.pi * radius
    ground = Canvas(rng, around / 2, base_h)
    lay(ground, style)
    plinth(ground, style, 1.3)
    bays = int(rng.integers(7, 11))
    pitch = around / 2 / bays
    for k in range(bays):
        cx = (k + 0.5) * pitch
        if style.ornament == "niches" and k % 2:
            ground.niche(cx, 2, pitch * 0.36, base_h * 0.5, style.trim)
        else:
            ground.window(cx, 2, pitch * 0.4, base_h * 0.52, "round", style.trim, style.frame)
        ground.pilaster(k * pitch + 0.01, 1.3, base_h - 1.0, 0.8, style.trim)
    ground.cornice(base_h - 1.0, 1.0, style.trim, 0.5)
    b.frustum(
        0,
        0,
        (radius * 1.25,) * 2,
        (0, base_h),
        24,
        ground.finish(repeat=True),
        wraps=2,
        cap=stone_texture(rng, style.trim),
    )
    drum = Canvas(rng, around / 2, drum_h)
    lay(drum, style)
    for k in range(bays):
        cx = (k + 0.5) * pitch
        drum.window(
            cx, 1.2, pitch * 0.42, drum_h - 3.6, style.opening, style.trim, style.frame, bars=(2, 4)
        )
        drum.pilaster(k * pitch + 0.4, 0.2, drum_h - 1.4, 0.7, style.trim)
        drum.pilaster((k + 1) * pitch - 0.4, 0.2, drum_h - 1.4, 0.7, style.trim)
    drum.frieze(drum_h - 1.5, 0.8, style.trim)
    drum.cornice(drum_h - 0.7, 0.7, style.trim, 0.45)
    b.frustum(0, 0, (radius,) * 2, (base_h, base_h + drum_h), 24, drum.finish(repeat=True), wraps=2)
    stone = stone_texture(rng, style.trim)
    b.frustum(
        0,
        0,
        (radius * 1.05, radius * 1.05),
        (base_h + drum_h, base_h + drum_h + 0.9),
        24,
        stone,
        (6, 6),
        cap=stone,
    )
    rise = radius * rng.uniform(0.75, 1.15)
    z = base_h + drum_h + 0.9
    skin = dome_texture(rng, style.metal, int(rng.choice([8, 10, 12])), style)
    b.dome(0, 0, z, radius * 0.98, rise, skin, 24, 8, top=0.16)
    z += rise - 0.2
    lantern = Canvas(rng, 8, 4)
    lantern.plaster(style.trim)
    for k in range(8):
        lantern.window(k + 0.5, 0.5, 0.5, 2.6, "round", style.trim, style.frame, 0.08, sill=False)
    b.frustum(0, 0, (radius * 0.17,) * 2, (z, z + 3.4), 8, lantern.finish())
    metal = metal_texture(rng, style.metal)
    b.dome(0, 0, z + 3.4, radius * 0.2, radius * 0.2, metal, 8, 4)
    finial(b, 0, 0, z + 3.4 + radius * 0.2, 0.9, metal_texture(rng, METALS[2]))
    _porch(
        b,
        rng,
        style,
        0.0,
        -radius * 1.2,
        rng.uniform(12, 15),
        6.5,
        base_h * 0.86,
        int(rng.choice([4, 6])),
    )
    return b.build()


def _porch(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    cx: float,
    y_back: float,
    width: float,
    depth: float,
    height: float,
    columns: int,
) -> None:
    """Add a columned porch with a carved pediment, in front of y = y_back."""
    y0 = y_back - depth
    stone = stone_texture(rng, style.trim)
    for step in range(3):
        grow = (2 - step) * 0.5
        b.box(
            cx - width / 2 - grow,
            y0 - grow,
            cx + width / 2 + grow,
            y_back,
            step * 0.3,
            step * 0.3 + 0.3,
            stone,
            top=stone,
        )
    shaft_h = height * 0.78 - 0.9
    shaft = column_texture(rng, style.trim, shaft_h)
    for x in np.linspace(cx - width / 2 + 0.9, cx + width / 2 - 0.9, columns):
        b.frustum(x, y0 + 0.9, (0.62, 0.52), (0.9, 0.9 + shaft_h), 10, shaft)
    beam_h = height - 0.9 - shaft_h
    beam = Canvas(rng, width, beam_h)
    beam.plaster(style.trim)
    beam.frieze(beam_h * 0.2, beam_h * 0.45, style.trim)
    beam.cornice(beam_h * 0.75, beam_h * 0.25, style.trim, 0.3)
    beam_t = beam.finish()
    b.box(
        cx - width / 2,
        y0,
        cx + width / 2,
        y_back,
        0.9 + shaft_h,
        height,
        beam_t,
        top=stone,
        bottom=True,
    )
    rise = width * 0.2
    pediment = Canvas(rng, width, rise)
    pediment.plaster(shade(style.trim, 0.86))
    for level, share in ((0.05, 0.5), (0.42, 0.28)):
        pediment.frieze(
            rise * level,
            rise * 0.38,
            style.trim,
            width * (0.5 - share * 0.6),
            width * (0.5 + share * 0.6),
        )
    pediment.line(
        np.array([[0, 0.1], [width / 2, rise - 0.1], [width, 0.1]]),
        0.6,
        shade(style.trim, 1.05),
        0.3,
    )
    pediment.line(np.array([[0, 0.15], [width, 0.15]]), 0.4, style.trim, 0.25)
    b.gable(
        cx - width / 2,
        y0,
        cx + width / 2,
        y_back,
        height,
        rise,
        roof_texture(rng, style.roof),
        (6, 6),
        pediment.finish(),
        "y",
        0.5,
    )


def temple(rng: np.random.Generator, style: Style) -> Mesh:
    """A hall inside a ring of columns, on steps, with carved pediments."""
    b = MeshBuilder(LANDMARK)
    across, along = int(rng.choice([6, 8])), int(rng.integers(9, 13))
    pitch, shaft_h = rng.uniform(2.9, 3.5), rng.uniform(8.5, 11)
    w, d = (across - 1) * pitch + 2.2, (along - 1) * pitch + 2.2
    stone = stone_texture(rng, style.trim, 0.6)
    for step in range(4):
        grow = (3 - step) * 0.8
        b.box(
            -w / 2 - grow,
            -d / 2 - grow,
            w / 2 + grow,
            d / 2 + grow,
            step * 0.5,
            step * 0.5 + 0.5,
            stone,
            top=stone,
        )
    shaft = column_texture(rng, style.trim, shaft_h)
    xs = np.linspace(-w / 2 + 1.1, w / 2 - 1.1, across)
    ys = np.linspace(-d / 2 + 1.1, d / 2 - 1.1, along)
    spots = [(x, y) for x in xs for y in (ys[0], ys[-1])]
    spots += [(x, y) for y in ys[1:-1] for x in (xs[0], xs[-1])]
    for x, y in spots:
        b.frustum(x, y, (0.82, 0.64), (2, 2 + shaft_h - 0.5), 9, shaft)
        b.box(x - 0.95, y - 0.95, x + 0.95, y + 0.95, 2 + shaft_h - 0.5, 2 + shaft_h, stone)
    inner = facade(rng, style, w - 7, shaft_h, 1, 3, True, rusticated=False)
    inner_side = Canvas(rng, d - 8, shaft_h)
    lay(inner_side, style)
    inner_side.frieze(shaft_h * 0.68, 1.6, style.accent)
    b.box(
        -w / 2 + 3.5, -d / 2 + 4, w / 2 - 3.5, d / 2 - 4, 2, 2 + shaft_h, inner, inner_side.finish()
    )
    z, beam_h = 2 + shaft_h, rng.uniform(2.4, 3.2)
    walls = []
    for length in (w, d):
        beam = Canvas(rng, length, beam_h)
        beam.plaster(style.trim)
        beam.rectangle(
            0, beam_h * 0.4, length, beam_h * 0.8, colour=shade(style.accent, 0.9), relief=-0.05
        )
        for x in np.arange(pitch / 4, length, pitch / 2):
            beam.rectangle(
                x - 0.3, beam_h * 0.4, x + 0.3, beam_h * 0.8, colour=style.trim, relief=0.15
            )
            for groove in (-0.12, 0.12):
                beam.line(
                    np.array([[x + groove, beam_h * 0.42], [x + groove, beam_h * 0.78]]),
                    0.08,
                    shade(style.trim, 0.6),
                    0.05,
                )
            beam.disc(x + pitch / 4, beam_h * 0.6, beam_h * 0.14, colour=style.trim, relief=0.1)
        beam.cornice(beam_h * 0.82, beam_h * 0.18, style.trim, 0.4)
        walls.append(beam.finish())
    b.box(-w / 2, -d / 2, w / 2, d / 2, z, z + beam_h, walls[0], walls[1], stone, bottom=True)
    rise = w * rng.uniform(0.17, 0.24)
    pediment = Canvas(rng, w, rise)
    pediment.plaster(shade(style.accent, 0.8))
    for level, share in ((0.04, 0.62), (0.36, 0.36)):
        pediment.frieze(
            rise * level, rise * 0.36, style.trim, w * (0.5 - share * 0.5), w * (0.5 + share * 0.5)
        )
    pediment.disc(w / 2, rise * 0.55, rise * 0.13, colour=style.trim, relief=0.2)
    pediment.line(np.array([[0, 0.15], [w / 2, rise - 0.1], [w, 0.15]]), 0.8, style.trim, 0.35)
    pediment.line(np.array([[0, 0.2], [w, 0.2]]), 0.5, style.trim, 0.3)
    b.gable(
        -w / 2,
        -d / 2,
        w / 2,
        d / 2,
        z + beam_h,
        rise,
        roof_texture(rng, style.roof),
        (6, 6),
        pediment.finish(),
        "y",
        0.6,
    )
    return b.build()


def castle(rng: np.random.Generator, style: Style) -> Mesh:
    """A curtain wall with round corner towers, a gatehouse and a keep."""
    b = MeshBuilder(LANDMARK)
    side, wall_h = rng.uniform(26, 34), rng.uniform(9, 12)
    rough = STONES[int(rng.choice([1, 2, 3, 6]))]
    stone = vary(rng, rough, 0.05)

    def rubble(width: float, height: float) -> Canvas:
        canvas = Canvas(rng, width, height)
        canvas.masonry(
            stone,
            rng.uniform(0.3, 0.5),
            rng.uniform(0.5, 0.9),
            0.13,
            joint=0.05,
            depth=0.05,
            courses_vary=True,
        )
        return canvas

    patch = rubble(6, 6).finish(0.16, repeat=True)
    long_wall = rubble(side, wall_h)
    for x in np.arange(3, side - 2, rng.uniform(3, 4.2)):
        long_wall.rectangle(
            x - 0.13, wall_h * 0.45, x + 0.13, wall_h * 0.7, colour=(0.06, 0.06, 0.06), relief=-0.4
        )
        long_wall.rectangle(
            x - 0.45, wall_h * 0.56, x + 0.45, wall_h * 0.6, colour=(0.06, 0.06, 0.06), relief=-0.4
        )
    for x in np.arange(0.6, side, 1.2):
        long_wall.rectangle(
            x - 0.25, wall_h - 1.5, x + 0.25, wall_h - 0.8, colour=shade(stone, 1.05), relief=0.35
        )
    long_wall.rectangle(0, wall_h - 0.8, side, wall_h, colour=shade(stone, 0.96), relief=0.3)
    wall_t = long_wall.finish(0.16)
    h = side / 2
    corners = [(-h, -h), (h, -h), (h, h), (-h, h)]
    for k in range(4):
        p, q = corners[k], corners[(k + 1) % 4]
        b.wall(p, q, 0, wall_h, wall_t)
        b.wall((q[0] * 0.95, q[1] * 0.95), (p[0] * 0.95, p[1] * 0.95), 0, wall_h, wall_t)
        b.tiled(
            [
                [*p, wall_h],
                [*q, wall_h],
                [q[0] * 0.95, q[1] * 0.95, wall_h],
                [p[0] * 0.95, p[1] * 0.95, wall_h],
            ],
            patch,
            (6, 6),
        )
        crenels(b, p, q, wall_h, patch)
    radius, tower_h = rng.uniform(3.2, 4.4), wall_h * rng.uniform(1.45, 1.9)
    tower = rubble(2 * np.pi * radius, tower_h)
    for k in range(8):
        cx = (k + 0.5) * tower.width / 8
        tower.window(
            cx,
            tower_h * (0.35 if k % 2 else 0.62),
            0.7,
            1.9,
            "round",
            shade(stone, 1.12),
            (0.2, 0.16, 0.12),
            bars=(1, 1),
            sill=False,
        )
    for level in (0.56, 0.84):
        tower.rectangle(
            0,
            tower_h * level,
            tower.width,
            tower_h * level + 0.5,
            colour=shade(stone, 1.1),
            relief=0.25,
        )
    for x in np.arange(0.4, tower.width, 0.95):
        tower.polygon(
            np.array(
                [
                    [x - 0.2, tower_h - 1.4],
                    [x + 0.2, tower_h - 1.4],
                    [x + 0.3, tower_h - 0.5],
                    [x - 0.3, tower_h - 0.5],
                ]
            ),
            colour=shade(stone, 1.08),
            relief=0.4,
        )
    tower_t = tower.finish(0.16)
    roof_t = roof_texture(rng, style.roof)
    pointed = rng.random() < 0.6
    for k, (x, y) in enumerate(corners):
        extra = float(rng.uniform(0, 4)) if k in (1, 3) else 0.0
        top = tower_h + extra
        b.frustum(x, y, (radius * 1.06, radius), (0, top), 14, tower_t)
        b.frustum(
            x,
            y,
            (radius * 1.16, radius * 1.16),
            (top - 0.2, top + 1.0),
            14,
            patch,
            (6, 6),
            cap=patch,
        )
        if pointed:
            b.frustum(
                x, y, (radius * 1.3, 0), (top + 1.0, top + 1.0 + radius * 2.3), 14, roof_t, (6, 6)
            )
            finial(b, x, y, top + 0.6 + radius * 2.3, 0.5, roof_t)
        else:
            for turn in np.arange(7) * 2 * np.pi / 7:
                px, py = x + radius * 1.02 * np.cos(turn), y + radius * 1.02 * np.sin(turn)
                b.frustum(
                    px, py, (0.62, 0.62), (top + 1, top + 2.2), 4, patch, (6, 6), turn, cap=patch
                )
    gate_w, gate_h = rng.uniform(9, 11), wall_h * 1.35
    gate = rubble(gate_w, gate_h)
    gate.portal(
        gate_w / 2,
        0,
        gate_w * 0.4,
        gate_h * 0.5,
        "pointed" if pointed else "round",
        shade(stone, 1.15),
        style.door,
        3,
    )
    for x in np.linspace(gate_w * 0.34, gate_w * 0.66, 6):
        gate.line(np.array([[x, gate_h * 0.2], [x, gate_h * 0.42]]), 0.1, (0.1, 0.09, 0.08))
    shield = gate_h * 0.66
    gate.polygon(
        np.array(
            [
                [gate_w / 2 - 1, shield + 1.2],
                [gate_w / 2 - 1, shield],
                [gate_w / 2, shield - 1.2],
                [gate_w / 2 + 1, shield],
                [gate_w / 2 + 1, shield + 1.2],
            ]
        ),
        colour=style.accent,
        relief=0.2,
    )
    gate.polygon(
        np.array(
            [
                [gate_w / 2 - 1, shield + 1.2],
                [gate_w / 2 - 1, shield],
                [gate_w / 2, shield - 1.2],
                [gate_w / 2, shield + 1.2],
            ]
        ),
        colour=shade(style.metal, 1.1),
        relief=0.2,
    )
    for x in (gate_w * 0.18, gate_w * 0.82):
        gate.window(x, gate_h * 0.55, 1.0, 2.4, "round", shade(stone, 1.15), style.frame)
    gate.cornice(gate_h - 1.2, 0.7, shade(stone, 1.08), 0.4)
    b.box(-gate_w / 2, -h - 2, gate_w / 2, -h + 5, 0, gate_h, gate.finish(0.14), patch, patch)
    for p, q in (
        ((-gate_w / 2, -h - 2), (gate_w / 2, -h - 2)),
        ((gate_w / 2, -h - 2), (gate_w / 2, -h + 5)),
        ((gate_w / 2, -h + 5), (-gate_w / 2, -h + 5)),
        ((-gate_w / 2, -h + 5), (-gate_w / 2, -h - 2)),
    ):
        crenels(b, p, q, gate_h, patch)
    keep_w, keep_h = rng.uniform(11, 14), wall_h * rng.uniform(2.1, 2.7)
    keep = rubble(keep_w, keep_h)
    for k in range(4):
        for column in range(3):
            keep.window(
                keep_w * (column + 0.5) / 3,
                keep_h * (0.2 + 0.19 * k),
                0.95,
                2.0,
                style.opening,
                shade(stone, 1.15),
                style.frame,
                bars=(2, 2),
            )
    keep.cornice(keep_h - 1.4, 0.8, shade(stone, 1.08), 0.4)
    for x in (0.0, keep_w):
        keep.quoins(x, 0, keep_h - 1.5, 1.3, shade(stone, 1.12))
    ox, oy = float(rng.uniform(-4, 4)), float(rng.uniform(0, 5))
    x0, y0, x1, y1 = ox - keep_w / 2, oy - keep_w / 2, ox + keep_w / 2, oy + keep_w / 2
    b.box(x0, y0, x1, y1, 0, keep_h, keep.finish(0.14), top=patch)
    if rng.random() < 0.5:
        b.hip(x0, y0, x1, y1, keep_h, keep_w * 0.6, roof_t, (6, 6), 0.5)
    else:
        around = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        for k in range(4):
            crenels(b, around[k], around[(k + 1) % 4], keep_h, patch)
    return b.build()


def palace(rng: np.random.Generator, style: Style) -> Mesh:
    """A long front of three storeys with a raised middle, corner pavilions and tall roofs."""
    b = MeshBuilder(LANDMARK)
    mid_w, wing_w, end_w = rng.uniform(13, 16), rng.uniform(13, 18), rng.uniform(8, 10)
    h, depth = rng.uniform(14, 18), rng.uniform(14, 18)
    mid = facade(rng, style, mid_w, h * 1.15, 3, 5, True)
    wing = facade(rng, style, wing_w, h, 3, max(4, round(wing_w / 3.0)))
    end = facade(rng, style, end_w, h * 1.08, 3, 3)
    side = facade(rng, style, depth, h, 3, 5)
    roof_t = roof_texture(rng, style.roof)
    stone = stone_texture(rng, style.trim)
    rail = Canvas(rng, 12, 1.3)
    rail.balustrade(0, 1.3, style.trim)
    rail_t = rail.finish(0.08)
    b.box(-mid_w / 2, -depth / 2 - 2.5, mid_w / 2, depth / 2, 0, h * 1.15, mid, side, stone)
    y0, y1 = -depth / 2, depth / 2
    for sign in (-1, 1):
        x0, x1 = sorted((sign * mid_w / 2, sign * (mid_w / 2 + wing_w)))
        b.box(x0, y0, x1, y1, 0, h, wing, side, stone)
        b.wall((x0, y0 + 0.1), (x1, y0 + 0.1), h, h + 1.3, rail_t, two_sided=True)
        b.hip(x0, y0 + 1.0, x1, y1, h, 3.2, roof_t, (6, 6), 0.0, 0.4)
        e0, e1 = sorted((sign * (mid_w / 2 + wing_w), sign * (mid_w / 2 + wing_w + end_w)))
        b.box(e0, y0 - 1.8, e1, y1, 0, h * 1.08, end, side, stone)
        b.hip(e0, y0 - 1.8, e1, y1, h * 1.08, end_w * 0.62, roof_t, (6, 6), 0.3, 0.25)
    if rng.random() < 0.5:
        b.hip(-mid_w / 2, y0 - 2.5, mid_w / 2, y1, h * 1.15, mid_w * 0.45, roof_t, (6, 6), 0.3, 0.3)
        lantern_z = h * 1.15 + mid_w * 0.45
        bell = facade(rng, style, 4, 5, 1, 2, rusticated=False)
        b.box(-2, -2, 2, 2, lantern_z - 1, lantern_z + 4, bell)
        b.dome(0, 0, lantern_z + 4, 2.7, 2.6, metal_texture(rng, style.metal), 12, 5)
        finial(b, 0, 0, lantern_z + 6.5, 0.8, metal_texture(rng, METALS[2]))
    else:
        rise = mid_w * 0.22
        pediment = Canvas(rng, mid_w, rise)
        pediment.plaster(shade(style.wall, 0.9))
        pediment.frieze(rise * 0.06, rise * 0.4, style.trim, mid_w * 0.2, mid_w * 0.8)
        pediment.clock(mid_w / 2, rise * 0.58, rise * 0.18, (0.88, 0.86, 0.8), (0.1, 0.1, 0.1))
        pediment.line(
            np.array([[0, 0.1], [mid_w / 2, rise - 0.1], [mid_w, 0.1]]), 0.7, style.trim, 0.3
        )
        b.gable(
            -mid_w / 2,
            y0 - 2.5,
            mid_w / 2,
            y1,
            h * 1.15,
            rise,
            roof_t,
            (6, 6),
            pediment.finish(),
            "y",
            0.5,
        )
    shaft_h = h * 0.62
    shaft = column_texture(rng, style.trim, shaft_h)
    for x in np.linspace(-mid_w / 2 + 0.8, mid_w / 2 - 0.8, 6):
        b.frustum(x, y0 - 3.5, (0.55, 0.48), (h * 0.36, h * 0.36 + shaft_h), 8, shaft)
    b.box(
        -mid_w / 2,
        y0 - 4.2,
        mid_w / 2,
        y0 - 2.4,
        h * 0.3,
        h * 0.36,
        rail_t,
        stone,
        stone,
        bottom=True,
    )
    b.box(
        -mid_w / 2,
        y0 - 4.2,
        mid_w / 2,
        y0 - 2.4,
        h * 0.36 + shaft_h,
        h * 0.36 + shaft_h + 1.0,
        stone,
        top=stone,
        bottom=True,
    )
    for x in np.linspace(-mid_w / 2 + 0.8, mid_w / 2 - 0.8, 6):
        b.box(x - 0.6, y0 - 4.1, x + 0.6, y0 - 2.9, 0, h * 0.3, stone)
    return b.build()


def pagoda(rng: np.random.Generator, style: Style) -> Mesh:
    """Storeys that shrink upwards under wide, curved roofs, with a spire of rings."""
    b = MeshBuilder(LANDMARK)
    tiers = int(rng.integers(4, 7))
    sides = int(rng.choice([4, 4, 6, 8]))
    radius, storey = rng.uniform(7, 9), rng.uniform(4.6, 5.8)
    red = vary(
        rng,
        ((0.55, 0.16, 0.12), (0.42, 0.24, 0.14), (0.62, 0.44, 0.3), (0.25, 0.3, 0.28))[
            int(rng.integers(4))
        ],
        0.06,
    )
    pale = vary(rng, (0.86, 0.82, 0.72), 0.04)
    roof_t = roof_texture(rng, style.roof)
    stone = stone_texture(rng, STONES[int(rng.integers(len(STONES)))])
    turn = np.pi / sides
    b.frustum(0, 0, (radius * 1.75, radius * 1.7), (0, 1.0), sides, stone, (6, 6), turn, cap=stone)
    b.frustum(
        0, 0, (radius * 1.45, radius * 1.42), (1.0, 2.0), sides, stone, (6, 6), turn, cap=stone
    )
    z = 2.0
    under = Canvas(rng, 6, 6, 20)
    under.masonry(shade(red, 0.8), 6, 0.5, 0.08, shade(red, 0.4), 0.1, 0.06)
    under_t = under.finish(0.05, repeat=True)
    for tier in range(tiers):
        r = radius * (1 - 0.52 * tier / tiers)
        face_w = 2 * r * np.sin(np.pi / sides)
        wall = Canvas(rng, face_w, storey)
        wall.plaster(pale)
        posts = 4 if sides == 4 else 3
        for k in range(posts):
            x0, x1 = face_w * k / posts, face_w * (k + 1) / posts
            cx = (x0 + x1) / 2
            width = (x1 - x0) * 0.68
            if tier == 0 and k == posts // 2:
                wall.rectangle(
                    cx - width / 2, 0, cx + width / 2, storey * 0.66, colour=style.door, relief=-0.2
                )
            else:
                wall.rectangle(
                    cx - width / 2,
                    storey * 0.2,
                    cx + width / 2,
                    storey * 0.64,
                    colour=(0.14, 0.12, 0.1),
                    relief=-0.2,
                    glass=180,
                )
                pattern = (tier + k) % 3
                for x in np.linspace(cx - width / 2, cx + width / 2, 6 if pattern else 9):
                    wall.line(np.array([[x, storey * 0.2], [x, storey * 0.64]]), 0.07, red, -0.1, 0)
                if pattern:
                    for y in np.linspace(storey * 0.2, storey * 0.64, 3 + 2 * pattern):
                        wall.line(
                            np.array([[cx - width / 2, y], [cx + width / 2, y]]), 0.07, red, -0.1, 0
                        )
            for x in (x0, x1):
                wall.rectangle(x - 0.22, 0, x + 0.22, storey, colour=red, relief=0.15)
        for level, tall in ((0.0, 0.3), (0.68, 0.35)):
            wall.rectangle(
                0, storey * level, face_w, storey * level + tall, colour=shade(red, 0.9), relief=0.2
            )
        wall.checker(
            0, storey * 0.78, face_w, storey * 0.95, 0.4, shade(style.metal, 0.8), (0.75, 0.6, 0.25)
        )
        b.frustum(
            0,
            0,
            (r, r),
            (z, z + storey),
            sides,
            wall.finish(0.06, repeat=True),
            wraps=sides,
            turn=turn,
        )
        eave = r * 1.52
        top = radius * (1 - 0.52 * (tier + 1) / tiers) * 1.06 if tier < tiers - 1 else 0.5
        lift = storey * (0.42 if tier < tiers - 1 else 1.1)
        base = z + storey
        b.frustum(0, 0, (r * 0.98, eave), (base - 0.15, base - 0.4), sides, under_t, (6, 6), turn)
        b.frustum(0, 0, (eave, eave), (base - 0.42, base - 0.12), sides, under_t, (6, 6), turn)
        middle = eave * 0.42 + top * 0.58
        b.frustum(
            0, 0, (eave, middle), (base - 0.12, base + lift * 0.38), sides, roof_t, (6, 6), turn
        )
        b.frustum(
            0, 0, (middle, top), (base + lift * 0.38, base + lift), sides, roof_t, (6, 6), turn
        )
        for k in range(sides):
            angle = turn + k * 2 * np.pi / sides
            x, y = eave * np.cos(angle), eave * np.sin(angle)
            b.frustum(x * 0.98, y * 0.98, (0.28, 0.05), (base - 0.2, base + 0.9), 4, roof_t, (6, 6))
        if tier < tiers - 1:
            rail = Canvas(rng, 8, 1)
            rail.balustrade(0, 1.0, red)
            rr = radius * (1 - 0.52 * (tier + 1) / tiers) * 1.2
            b.frustum(
                0,
                0,
                (rr, rr),
                (base + lift * 0.8, base + lift + 0.6),
                sides,
                rail.finish(0.05, repeat=True),
                wraps=sides,
                turn=turn,
            )
        z = base + lift - 0.2
    gold = metal_texture(rng, METALS[2])
    b.frustum(0, 0, (0.28, 0.18), (z - 0.5, z + 6), 6, gold, (6, 6))
    for k in range(5):
        b.frustum(
            0,
            0,
            (0.85 - 0.1 * k,) * 2,
            (z + 0.6 + k * 0.8, z + 0.9 + k * 0.8),
            10,
            gold,
            (6, 6),
            cap=gold,
        )
    return b.build()


def skyscraper(rng: np.random.Generator, style: Style) -> Mesh:
    """A modern tower of glass and metal: stepped, twisted or tapered, on a podium."""
    b = MeshBuilder(LANDMARK)
    w, h = rng.uniform(13, 17), rng.uniform(52, 72)
    tint = ((0.16, 0.24, 0.32), (0.2, 0.26, 0.24), (0.3, 0.24, 0.16), (0.12, 0.14, 0.2))[
        int(rng.integers(4))
    ]
    metal = vary(
        rng,
        ((0.78, 0.79, 0.8), (0.3, 0.31, 0.33), (0.66, 0.52, 0.36), (0.85, 0.84, 0.8))[
            int(rng.integers(4))
        ],
        0.04,
    )
    pattern = int(rng.integers(4))

    def curtain(width: float, height: float) -> Texture:
        canvas = Canvas(rng, width, height)
        canvas.plaster(metal, 0.01)
        floor, bay = rng.uniform(1.7, 2.3), rng.uniform(1.0, 1.5)
        rows, columns = max(1, round(height / floor)), max(1, round(width / bay))
        floor, bay = height / rows, width / columns
        for row in range(rows):
            for column in range(columns):
                x0, y0 = column * bay, row * floor
                if pattern == 2 and (row // 2 + column // 2) % 4 == 0:
                    continue
                if pattern == 1 and row % 8 == 7:
                    continue
                tone = shade(vary(rng, tint, 0.03), float(rng.uniform(0.75, 1.3)))
                canvas.rectangle(
                    x0 + 0.09,
                    y0 + (0.5 if pattern != 3 else 0.12),
                    x0 + bay - 0.06,
                    y0 + floor - 0.08,
                    colour=tone,
                    relief=-0.12,
                    glass=int(rng.integers(60, 255)),
                )
        if pattern == 0:
            for column in range(0, columns + 1, 2):
                x = column * bay
                canvas.rectangle(
                    x - 0.14, 0, x + 0.14, height, colour=shade(metal, 1.1), relief=0.3
                )
        if pattern == 3:
            step = width / 2
            for k in range(int(height / step) + 2):
                for points in (
                    [[0, k * step], [width, (k + 2) * step]],
                    [[width, k * step], [0, (k + 2) * step]],
                ):
                    if k % 2 == 0:
                        canvas.line(np.array(points), 0.55, shade(metal, 1.1), 0.3)
        return canvas.finish(0.03, repeat=True)

    podium_h = rng.uniform(7, 10)
    podium = Canvas(rng, w * 1.8, podium_h)
    podium.masonry(shade(style.trim, 0.9), 1.2, 2.2, 0.03)
    for x in np.arange(1.5, w * 1.8 - 2, 2.6):
        podium.rectangle(x, 0.4, x + 2.1, podium_h - 2.2, colour=tint, relief=-0.2, glass=210)
        podium.line(np.array([[x + 1.05, 0.4], [x + 1.05, podium_h - 2.2]]), 0.1, metal, -0.1, 0)
    podium.text(
        str(rng.choice(["MUSEUM", "FORUM", "ATLAS", "CENTRAL", "AURORA", "METRO"])),
        w * 0.9,
        podium_h - 1.1,
        1.1,
        shade(metal, 0.35),
    )
    stone = stone_texture(rng, shade(style.trim, 0.9), 1.0)
    b.box(-w * 0.9, -w * 0.8, w * 0.9, w * 0.8, 0, podium_h, podium.finish(0.05), top=stone)
    shape = int(rng.integers(4))
    if shape == 0:
        z, width = podium_h, w
        for share in (0.45, 0.3, 0.25):
            top = z + (h - podium_h) * share
            skin = curtain(width, top - z)
            half = width / 2
            b.box(-half, -half, half, half, z, top, skin, top=stone)
            z, width = top, width * rng.uniform(0.66, 0.82)
        b.frustum(0, 0, (0.7, 0.1), (z, z + 12), 6, stone, (6, 6))
    elif shape == 1:
        skin = curtain(w * 0.9, h - podium_h)
        b.frustum(
            0, 0, (w * 0.72, w * 0.42), (podium_h, h), 4, skin, wraps=4, turn=np.pi / 4, cap=stone
        )
        b.frustum(
            0, 0, (w * 0.42, 0), (h, h + 9), 4, metal_texture(rng, metal), (6, 6), turn=np.pi / 4
        )
    elif shape == 2:
        skin = curtain(w * 0.8, (h - podium_h) / 2)
        z, turn, r = podium_h, np.pi / 8, w * 0.58
        for _ in range(6):
            top = z + (h - podium_h) / 6
            part = curtain(w * 0.45, top - z)
            b.frustum(0, 0, (r, r * 0.93), (z, top), 8, part, wraps=8, turn=turn, cap=stone)
            z, r, turn = top, r * 0.92, turn + np.pi / 16
        b.frustum(0, 0, (r, r * 0.3), (z, z + 4), 8, skin, (6, 6), turn=turn)
    else:
        left, right = curtain(w * 0.5, h - podium_h), curtain(w * 0.8, (h - podium_h) * 0.8)
        b.box(-w * 0.5, -w * 0.4, 0, w * 0.4, podium_h, h, left, right, stone)
        b.box(
            0,
            -w * 0.32,
            w * 0.46,
            w * 0.32,
            podium_h,
            podium_h + (h - podium_h) * 0.8,
            right,
            left,
            stone,
        )
        band = Canvas(rng, w, 3)
        band.plaster(style.accent, 0.02)
        b.box(
            -w * 0.52, -w * 0.42, 0.02 * w, w * 0.42, h - 4, h - 1.5, band.finish(0.03), top=stone
        )
    return b.build()


def gate(rng: np.random.Generator, style: Style) -> Mesh:
    """A triumphal arch or town gate one can see through, with columns, reliefs and an attic."""
    b = MeshBuilder(LANDMARK)
    w, d, h = rng.uniform(18, 24), rng.uniform(7, 9), rng.uniform(17, 22)
    opening = w * rng.uniform(0.26, 0.32)
    spring = h * rng.uniform(0.32, 0.38)
    crown = spring + opening / 2
    front = Canvas(rng, w, h)
    lay(front, style)
    plinth(front, style, 1.8)
    cx = w / 2
    for k in range(3):
        radius = opening / 2 + 1.1 - 0.35 * k
        angles = np.linspace(0, np.pi, 25)
        ring = np.stack([cx + radius * np.cos(angles), spring + radius * np.sin(angles)], 1)
        front.polygon(
            np.concatenate([ring, [[cx - radius, 0], [cx + radius, 0]]]),
            colour=shade(style.trim, 1.05 - 0.1 * (k % 2)),
            relief=0.25 - 0.06 * k,
        )
    side_w = (w - opening) / 2
    for sign in (-1, 1):
        mid = cx + sign * (opening / 2 + side_w / 2)
        front.niche(mid, 3.2, side_w * 0.3, h * 0.26, style.trim)
        front.rectangle(
            mid - side_w * 0.3,
            h * 0.46,
            mid + side_w * 0.3,
            h * 0.6,
            colour=shade(style.trim, 0.9),
            relief=0.1,
        )
        front.frieze(h * 0.475, h * 0.11, style.trim, mid - side_w * 0.28, mid + side_w * 0.28)
        front.disc(mid, h * 0.42, side_w * 0.12, colour=style.accent, relief=0.15)
    front.cornice(h * 0.66, h * 0.06, style.trim, 0.6)
    front.rectangle(
        w * 0.1, h * 0.74, w * 0.9, h * 0.95, colour=shade(style.trim, 0.94), relief=0.1
    )
    if rng.random() < 0.5:
        words = [
            ["SENATVS", "POPVLVSQVE"],
            ["LIBERTAS", "ET CONCORDIA"],
            ["AD MEMORIAM", "MDCCLXI"],
            ["PORTA", "AVREA"],
        ][int(rng.integers(4))]
        for k, word in enumerate(words):
            front.text(word, cx, h * (0.89 - 0.095 * k), h * 0.06, shade(style.trim, 0.45))
    else:
        front.frieze(h * 0.76, h * 0.17, style.trim, w * 0.12, w * 0.88)
    front.cornice(h * 0.955, h * 0.045, style.trim, 0.5)
    front_t = front.finish()

    def panel(points: list[tuple[float, float]], y: float, back: bool) -> None:
        solid = [[x, y, z] for x, z in points]
        if back:
            solid = [[-x, y, z] for x, z in points]
        coordinates = [[(x + w / 2) / w, z / h] for x, z in points]
        b.face(np.array(solid), front_t, np.array(coordinates)[:3])

    half, gap = w / 2, opening / 2
    angles = np.linspace(0, np.pi, 13)
    bow = [(gap * np.cos(a), spring + gap * np.sin(a)) for a in angles]
    for y, back in ((-d / 2, False), (d / 2, True)):
        panel([(-half, 0), (-gap, 0), (-gap, spring), (-half, spring)], y, back)
        panel([(gap, 0), (half, 0), (half, spring), (gap, spring)], y, back)
        panel([(-half, spring), (-gap, spring), (-gap, crown), (-half, crown)], y, back)
        panel([(gap, spring), (half, spring), (half, crown), (gap, crown)], y, back)
        panel([(-half, crown), (half, crown), (half, h), (-half, h)], y, back)
        for (x0, z0), (x1, z1) in zip(bow[:-1], bow[1:]):
            panel([(x1, z1), (x0, z0), (x0, crown), (x1, crown)], y, back)
    stone = stone_texture(rng, style.trim)
    coffer = Canvas(rng, 6, 6, 22)
    coffer.masonry(shade(style.trim, 0.9), 1.5, 1.5, 0.04, joint=0.2, depth=0.2)
    for x in np.arange(0.75, 6, 1.5):
        for y in np.arange(0.75, 6, 1.5):
            coffer.disc(x, y, 0.3, colour=style.metal, relief=0.1)
    coffer_t = coffer.finish(0.06, repeat=True)
    for (x0, z0), (x1, z1) in zip(bow[:-1], bow[1:]):
        b.tiled(
            [[x0, d / 2, z0], [x0, -d / 2, z0], [x1, -d / 2, z1], [x1, d / 2, z1]][::-1],
            coffer_t,
            (6, 6),
            two_sided=True,
        )
    b.tiled(
        [[-gap, -d / 2, 0], [-gap, d / 2, 0], [-gap, d / 2, spring], [-gap, -d / 2, spring]],
        stone,
        (6, 6),
    )
    b.tiled(
        [[gap, d / 2, 0], [gap, -d / 2, 0], [gap, -d / 2, spring], [gap, d / 2, spring]],
        stone,
        (6, 6),
    )
    side = Canvas(rng, d, h)
    lay(side, style)
    plinth(side, style, 1.8)
    side.niche(d / 2, 3.2, d * 0.3, h * 0.3, style.trim)
    side.frieze(h * 0.47, h * 0.12, style.trim, d * 0.15, d * 0.85)
    side.cornice(h * 0.66, h * 0.06, style.trim, 0.6)
    side.cornice(h * 0.955, h * 0.045, style.trim, 0.5)
    side_t = side.finish()
    b.wall((half, -d / 2), (half, d / 2), 0, h, side_t)
    b.wall((-half, d / 2), (-half, -d / 2), 0, h, side_t)
    b.tiled(
        [[-half, -d / 2, h], [half, -d / 2, h], [half, d / 2, h], [-half, d / 2, h]], stone, (6, 6)
    )
    b.box(
        -half - 0.6,
        -d / 2 - 0.9,
        half + 0.6,
        -d / 2,
        h * 0.66,
        h * 0.72,
        stone,
        top=stone,
        bottom=True,
    )
    shaft = column_texture(rng, style.trim, h * 0.66 - 2.4)
    for x in (-half + 0.9, -gap - 1.5, gap + 1.5, half - 0.9):
        b.box(x - 0.8, -d / 2 - 1.4, x + 0.8, -d / 2, 0, 2.4, stone, top=stone)
        b.frustum(x, -d / 2 - 0.7, (0.62, 0.52), (2.4, h * 0.66), 9, shaft)
    crownings = int(rng.integers(3))
    if crownings == 0:
        for x in (-half * 0.7, 0, half * 0.7):
            b.box(x - 1, -1, x + 1, 1, h, h + 1, stone, top=stone)
            b.frustum(x, 0, (0.8, 0.3), (h + 1, h + 3.6), 6, metal_texture(rng, METALS[2]), (6, 6))
            b.dome(x, 0, h + 3.5, 0.45, 0.7, metal_texture(rng, METALS[2]), 6, 3)
    elif crownings == 1:
        b.hip(-half, -d / 2, half, d / 2, h, 4.5, roof_texture(rng, style.roof), (6, 6), 0.5)
    else:
        for p, q in (((-half, -d / 2), (half, -d / 2)), ((half, d / 2), (-half, d / 2))):
            crenels(b, p, q, h, stone, 1.3)
        for x in (-half + 2.4, half - 2.4):
            tower = facade(rng, style, 4.4, 8, 2, 1, rusticated=False)
            b.box(x - 2.2, -2.2, x + 2.2, 2.2, h, h + 8, tower)
            b.frustum(
                x,
                0,
                (3.5, 0),
                (h + 8, h + 14),
                4,
                roof_texture(rng, style.roof),
                (6, 6),
                turn=np.pi / 4,
            )
    return b.build()


def townhall(rng: np.random.Generator, style: Style) -> Mesh:
    """A guildhall: stepped gables, rows of tall windows, a belfry on the ridge."""
    b = MeshBuilder(LANDMARK)
    w, d, h = rng.uniform(20, 26), rng.uniform(13, 16), rng.uniform(13, 16)
    rise = d * rng.uniform(0.62, 0.8)
    front = facade(
        rng,
        style,
        w,
        h,
        3,
        int(rng.integers(6, 9)),
        True,
        ground=str(rng.choice(["arcade", "windows"])),
    )
    roof_t = roof_texture(rng, style.roof)
    gable_end = Canvas(rng, d, h + rise + 2)
    lay(gable_end, style)
    plinth(gable_end, style, 1.4)
    levels = 6
    for level in range(levels):
        y = 2.2 + level * (h + rise) / levels
        room = d * (0.84 if y < h else 0.84 * max(0.12, 1 - (y + 2 - h) / rise))
        count = max(1, int(room / 2.6))
        for k in range(count):
            gable_end.window(
                d / 2 + (k - (count - 1) / 2) * 2.6,
                y,
                1.25,
                2.2,
                style.opening,
                style.trim,
                style.frame,
                head="keystone",
            )
        gable_end.rectangle(0, y - 0.6, d, y - 0.4, colour=style.trim, relief=0.2)
    gable_t = gable_end.finish()
    total = h + rise + 2
    for sign in (-1, 1):
        x = sign * w / 2
        steps = 6
        for k in range(steps):
            reach = d / 2 * (1 - k / steps)
            z0 = h + rise * (k - 0.2) / steps if k else 0.0
            z1 = h + rise * (k + 1) / steps + 0.6
            inner = d / 2 * (1 - (k + 1) / steps) if k < steps - 1 else 0.0
            for y_low, y_high in ((-reach, -inner), (inner, reach)):
                if k == 0:
                    y_low, y_high = (-reach, 0.0) if y_low < 0 else (0.0, reach)
                for face_sign in (1, -1):
                    xx = x + face_sign * sign * 0.35
                    if face_sign * sign > 0:
                        points = [
                            [xx, y_low, z0],
                            [xx, y_high, z0],
                            [xx, y_high, z1],
                            [xx, y_low, z1],
                        ]
                    else:
                        points = [
                            [xx, y_high, z0],
                            [xx, y_low, z0],
                            [xx, y_low, z1],
                            [xx, y_high, z1],
                        ]
                    coordinates = [[(p[1] + d / 2) / d, p[2] / total] for p in points]
                    b.face(np.array(points), gable_t, np.array(coordinates)[:3])
    stone = stone_texture(rng, style.trim)
    for sign in (-1, 1):
        x = sign * w / 2
        for k in range(6):
            reach = d / 2 * (1 - k / 6)
            inner = d / 2 * (1 - (k + 1) / 6)
            z1 = h + rise * (k + 1) / 6 + 0.6
            for y0, y1 in ((-reach, -inner), (inner, reach)):
                b.box(x - 0.5, y0, x + 0.5, y1, z1 - 0.02, z1 + 0.35, stone, top=stone)
    b.wall((-w / 2, -d / 2), (w / 2, -d / 2), 0, h, front)
    b.wall((w / 2, d / 2), (-w / 2, d / 2), 0, h, front)
    b.gable(-w / 2, -d / 2, w / 2, d / 2, h, rise, roof_t, (6, 6), None, "x", 0.0)
    dormer = Canvas(rng, 2.6, 3.4)
    lay(dormer, style)
    dormer.window(1.3, 0.7, 1.3, 1.9, style.opening, style.trim, style.frame)
    dormer_t = dormer.finish()
    for x in np.linspace(-w * 0.36, w * 0.36, 4):
        for row, back in ((0.16, -1), (0.16, 1)):
            y = back * d / 2 * (1 - row)
            z = h + rise * row
            y0, y1 = sorted((y, y - back * 3.0))
            b.box(x - 1.3, y0, x + 1.3, y1, z - 0.8, z + 2.6, dormer_t, stone)
            b.gable(x - 1.3, y0, x + 1.3, y1, z + 2.6, 1.6, roof_t, (6, 6), dormer_t, "y", 0.2)
    bell_w, bell_h = rng.uniform(4.2, 5.4), rng.uniform(11, 15)
    bell = Canvas(rng, bell_w, bell_h)
    lay(bell, style)
    bell.clock(bell_w / 2, bell_h * 0.36, bell_w * 0.32, (0.9, 0.88, 0.8), (0.1, 0.1, 0.12))
    for k in range(2):
        bell.window(
            bell_w * (0.28 + 0.44 * k),
            bell_h * 0.62,
            bell_w * 0.26,
            bell_h * 0.24,
            style.opening,
            style.trim,
            shade(style.trim, 0.7),
            bars=(1, 5),
        )
    bell.cornice(bell_h * 0.52, 0.5, style.trim, 0.3)
    bell.cornice(bell_h * 0.92, bell_h * 0.08, style.trim, 0.4)
    offset = float(rng.choice([0.0, w * 0.25, -w * 0.25]))
    r = bell_w / 2
    z = h + rise - 2
    b.box(offset - r, -r, offset + r, r, z, z + bell_h, bell.finish(), top=stone)
    cap_t = metal_texture(rng, style.metal)
    b.dome(offset, 0, z + bell_h, r * 1.25, r * 1.4, cap_t, 8, 5, onion=0.25, turn=np.pi / 8)
    b.frustum(
        offset,
        0,
        (r * 0.4, r * 0.4),
        (z + bell_h + r * 1.2, z + bell_h + r * 2.4),
        8,
        stone,
        (6, 6),
    )
    b.frustum(
        offset, 0, (r * 0.55, 0), (z + bell_h + r * 2.4, z + bell_h + r * 4.4), 8, cap_t, (6, 6)
    )
    return b.build()


def mosque(rng: np.random.Generator, style: Style) -> Mesh:
    """A domed hall with half domes, tiled walls and slender minarets."""
    b = MeshBuilder(LANDMARK)
    w, h = rng.uniform(20, 25), rng.uniform(10, 13)
    tile = vary(
        rng,
        ((0.2, 0.38, 0.55), (0.22, 0.46, 0.42), (0.52, 0.3, 0.2), (0.7, 0.6, 0.36))[
            int(rng.integers(4))
        ],
        0.06,
    )
    wall = Canvas(rng, w, h)
    lay(wall, style)
    plinth(wall, style, 1.2)
    bays = 5
    for k in range(bays):
        cx = w * (k + 0.5) / bays
        if k == bays // 2:
            wall.rectangle(cx - w * 0.1, 0, cx + w * 0.1, h * 0.9, colour=tile, relief=0.2)
            wall.checker(cx - w * 0.1, h * 0.72, cx + w * 0.1, h * 0.9, 0.5, tile, (0.85, 0.8, 0.6))
            wall.portal(cx, 0, w * 0.1, h * 0.62, "pointed", style.trim, style.door, 3)
        else:
            for level, tall in ((0.14, 0.26), (0.5, 0.24)):
                for side in (-1, 1):
                    wall.window(
                        cx + side * w * 0.045,
                        h * level,
                        w * 0.055,
                        h * tall,
                        "pointed",
                        style.trim,
                        style.frame,
                        bars=(2, 3),
                    )
    wall.checker(0, h * 0.8, w * 0.38, h * 0.88, 0.45, tile, (0.86, 0.82, 0.66))
    wall.checker(w * 0.62, h * 0.8, w, h * 0.88, 0.45, tile, (0.86, 0.82, 0.66))
    wall.cornice(h * 0.92, h * 0.08, style.trim, 0.4)
    stone = stone_texture(rng, style.trim)
    half = w / 2
    b.box(-half, -half, half, half, 0, h, wall.finish(), top=stone)
    radius = w * rng.uniform(0.3, 0.36)
    drum = Canvas(rng, radius * np.pi, 4.5)
    lay(drum, style)
    for k in range(10):
        drum.window(
            drum.width * (k + 0.5) / 10,
            0.8,
            drum.width * 0.05,
            2.4,
            "round",
            style.trim,
            style.frame,
        )
    drum.checker(0, 3.7, drum.width, 4.4, 0.4, tile, (0.86, 0.82, 0.66))
    b.frustum(0, 0, (radius * 1.02,) * 2, (h, h + 4.5), 20, drum.finish(repeat=True), wraps=2)
    skin_colour = tile if rng.random() < 0.5 else style.metal
    skin = dome_texture(rng, skin_colour, 12, style)
    b.dome(
        0,
        0,
        h + 4.5,
        radius,
        radius * rng.uniform(0.85, 1.15),
        skin,
        22,
        8,
        onion=float(rng.choice([0.0, 0.25, 0.4])),
    )
    gold = metal_texture(rng, METALS[2])
    finial(b, 0, 0, h + 4.5 + radius * 0.98, 1.2, gold)
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * half * 0.68, sy * half * 0.68
            b.frustum(x, y, (w * 0.12,) * 2, (h, h + 1.6), 12, stone, (6, 6))
            b.dome(x, y, h + 1.6, w * 0.12, w * 0.11, skin, 12, 5)
            finial(b, x, y, h + 1.4 + w * 0.11, 0.5, gold)
    tall = rng.uniform(34, 42)
    around = Canvas(rng, 5, tall)
    lay(around, style)
    for level in np.linspace(0.3, 0.9, 4):
        around.checker(0, tall * level, 5, tall * level + 1.2, 0.5, tile, (0.86, 0.82, 0.66))
    for x in (0.6, 1.9, 3.1, 4.4):
        for level in (0.2, 0.5, 0.78):
            around.window(
                x,
                tall * level,
                0.4,
                1.6,
                "pointed",
                style.trim,
                style.frame,
                0.1,
                bars=(1, 1),
                sill=False,
            )
    minaret = around.finish()
    count = 4 if rng.random() < 0.6 else 2
    for sx, sy in ((-1, -1), (1, -1), (-1, 1), (1, 1))[:count]:
        x, y = sx * (half + 2), sy * (half + 1)
        b.box(x - 1.9, y - 1.9, x + 1.9, y + 1.9, 0, h * 0.7, stone, top=stone)
        b.frustum(x, y, (1.35, 1.1), (h * 0.7, tall), 10, minaret)
        for level in (0.55, 0.8):
            z = tall * level
            b.frustum(x, y, (1.2, 2.0), (z - 1.2, z), 10, stone, (6, 6), cap=stone)
            b.frustum(x, y, (2.0, 2.0), (z, z + 1.0), 10, stone, (6, 6))
        b.frustum(
            x,
            y,
            (1.35, 0),
            (tall, tall + 6.5),
            10,
            gold if rng.random() < 0.3 else metal_texture(rng, style.metal),
            (6, 6),
        )
    return b.build()


def monument(rng: np.random.Generator, style: Style) -> Mesh:
    """A column or obelisk with reliefs on a tall stepped pedestal, with lesser figures around."""
    b = MeshBuilder(LANDMARK)
    w = rng.uniform(8, 10)
    stone = stone_texture(rng, style.trim, 0.6)
    for step in range(5):
        r = w * (1.25 - 0.12 * step) / 2 * 1.6
        b.box(-r, -r, r, r, step * 0.45, step * 0.45 + 0.45, stone, top=stone)
    z, ph = 2.25, rng.uniform(7, 9)
    base = Canvas(rng, w, ph)
    lay(base, style)
    plinth(base, style, 1.2)
    base.frieze(1.6, ph * 0.38, style.trim, w * 0.08, w * 0.92)
    base.rectangle(
        w * 0.15, ph * 0.68, w * 0.85, ph * 0.86, colour=shade(style.trim, 1.05), relief=0.12
    )
    base.text(
        str(rng.choice(["MDCCCXV", "PAX", "VICTORIA", "INVICTA", "1848"])),
        w / 2,
        ph * 0.77,
        ph * 0.11,
        shade(style.trim, 0.4),
    )
    base.cornice(ph * 0.9, ph * 0.1, style.trim, 0.5)
    b.box(-w / 2, -w / 2, w / 2, w / 2, z, z + ph, base.finish(), top=stone)
    z += ph
    tall = rng.uniform(22, 30)
    gold = metal_texture(rng, METALS[int(rng.choice([0, 2]))])
    if rng.random() < 0.5:
        shaft = Canvas(rng, w * 0.5, tall)
        lay(shaft, style)
        for k in range(int(tall / 3)):
            for x in np.linspace(0.5, w * 0.5 - 0.5, 3):
                kind = int(rng.integers(4))
                y = 1 + k * 3
                dark = shade(style.trim, 0.5)
                if kind == 0:
                    shaft.disc(x, y, 0.4, colour=dark, relief=-0.1)
                elif kind == 1:
                    shaft.niche(x, y - 0.6, 0.7, 1.5, style.trim)
                elif kind == 2:
                    shaft.polygon(
                        np.array([[x - 0.4, y], [x + 0.4, y], [x, y + 0.9]]),
                        colour=dark,
                        relief=-0.1,
                    )
                else:
                    shaft.line(
                        np.array(
                            [[x - 0.4, y], [x - 0.1, y + 0.7], [x + 0.2, y], [x + 0.5, y + 0.7]]
                        ),
                        0.16,
                        dark,
                        -0.1,
                    )
        b.frustum(
            0, 0, (w * 0.34, w * 0.22), (z, z + tall), 4, shaft.finish(), wraps=4, turn=np.pi / 4
        )
        b.frustum(
            0, 0, (w * 0.22, 0), (z + tall, z + tall + w * 0.4), 4, gold, (6, 6), turn=np.pi / 4
        )
    else:
        shaft = Canvas(rng, w * 1.1, tall)
        shaft.plaster(style.trim, 0.05)
        for k in range(int(tall / 2.2)):
            shaft.frieze(0.3 + k * 2.2, 1.7, style.trim)
            shaft.rectangle(
                0,
                2.0 + k * 2.2,
                w * 1.1,
                2.3 + k * 2.2,
                colour=shade(style.trim, 1.08),
                relief=0.15,
            )
        b.frustum(0, 0, (w * 0.24, w * 0.2), (z, z + tall), 14, shaft.finish())
        top = z + tall
        b.frustum(0, 0, (w * 0.2, w * 0.32), (top, top + 1.2), 14, stone, (6, 6), cap=stone)
        b.frustum(0, 0, (w * 0.12, w * 0.12), (top + 1.2, top + 2.4), 8, stone, (6, 6), cap=stone)
        b.frustum(0, 0, (0.9, 0.45), (top + 2.4, top + 5.6), 7, gold, (6, 6))
        b.dome(0, 0, top + 5.5, 0.5, 0.9, gold, 8, 4)
        for sign in (-1, 1):
            b.face(
                [[0, 0, top + 4.8], [sign * 2.0, 0.3, top + 6.4], [sign * 0.4, 0, top + 3.9]],
                gold,
                [[0, 0], [0.3, 0], [0.3, 0.3]],
                two_sided=True,
            )
    figure = facade(rng, style, 2.4, 3.0, 1, 1, rusticated=False)
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * w * 0.78, sy * w * 0.78
            b.box(x - 1.2, y - 1.2, x + 1.2, y + 1.2, 0, 3.0, figure, top=stone)
            b.frustum(x, y, (0.85, 0.4), (3.0, 5.6), 7, gold, (6, 6))
            b.dome(x, y, 5.5, 0.42, 0.8, gold, 7, 3)
    return b.build()


KINDS: dict[str, Callable[[np.random.Generator, Style], Mesh]] = {
    "clocktower": clocktower,
    "cathedral": cathedral,
    "rotunda": rotunda,
    "castle": castle,
    "palace": palace,
    "pagoda": pagoda,
    "gate": gate,
    "townhall": townhall,
    "temple": temple,
    "mosque": mosque,
    "skyscraper": skyscraper,
    "monument": monument,
}


def build_landmark(kind: str, seed: list[int]) -> Mesh:
    """Return the landmark of a kind; the seed decides its form, materials and ornament.

    It stands on z = 0 around the origin, and its front looks towards negative y.
    """
    rng = np.random.default_rng(seed)
    style = choose_style(rng)
    return KINDS[kind](rng, style)
