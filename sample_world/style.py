"""What buildings of the sample world are made of: walls, roofs, columns, fronts, porches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_world.mesh import MeshBuilder
from sample_world.textures import Canvas, Colour, Texture, arch, blend, shade, vary

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


def porch(
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
