"""Landmarks of the sample world for offices and councils."""

from __future__ import annotations

import numpy as np

from sample_world.mesh import LANDMARK, Mesh, MeshBuilder
from sample_world.style import (
    METALS,
    Style,
    column_texture,
    facade,
    finial,
    lay,
    metal_texture,
    plinth,
    roof_texture,
    stone_texture,
)
from sample_world.textures import Canvas, Texture, shade, vary


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
        for k in range(6):
            reach = d / 2 * (1 - k / 6)
            z0 = h + rise * k / 6 + 0.6 if k else 0.0
            z1 = h + rise * (k + 1) / 6 + 0.6
            for outside in (1, -1):
                xx = x + outside * sign * 0.35
                y0, y1 = (-reach, reach) if outside * sign > 0 else (reach, -reach)
                span = ((y0 + d / 2) / d, z0 / total, (y1 + d / 2) / d, z1 / total)
                b.wall((xx, y0), (xx, y1), z0, z1, gable_t, span)
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
