"""Landmarks of the sample world built to impress or to defend."""

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
    porch,
    roof_texture,
    stone_texture,
)
from sample_world.textures import Canvas, shade, vary


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
    porch(
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
