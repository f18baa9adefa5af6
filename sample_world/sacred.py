"""Landmarks of the sample world that are places of worship."""

from __future__ import annotations

import numpy as np

from sample_world.mesh import LANDMARK, Mesh, MeshBuilder
from sample_world.style import (
    METALS,
    STONES,
    Style,
    column_texture,
    crenels,
    dome_texture,
    facade,
    finial,
    lay,
    metal_texture,
    plinth,
    roof_texture,
    stone_texture,
)
from sample_world.textures import Canvas, shade, vary


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
