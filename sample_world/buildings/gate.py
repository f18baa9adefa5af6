"""Triumphal arches and town gates."""

from __future__ import annotations

import itertools

import numpy as np

from sample_world.buildings.facade import facade
from sample_world.buildings.parts import column_texture, crenels
from sample_world.buildings.style import Style, lay, plinth
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.carvings import frieze, niche
from sample_world.drawing.colours import shade
from sample_world.drawing.materials import metal_texture, roof_texture, stone_texture
from sample_world.drawing.ornaments import cornice
from sample_world.drawing.palettes import METALS
from sample_world.drawing.surfaces import masonry
from sample_world.drawing.texture import Texture
from sample_world.modelling.bodies import box, dome, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh
from sample_world.modelling.roofs import hip

_INSCRIPTIONS = (
    ("SENATVS", "POPVLVSQVE"),
    ("LIBERTAS", "ET CONCORDIA"),
    ("AD MEMORIAM", "MDCCLXI"),
    ("PORTA", "AVREA"),
)


def gate(rng: np.random.Generator, style: Style) -> Mesh:
    """A triumphal arch or town gate one can see through, with columns, reliefs and an attic."""
    b = MeshBuilder(LANDMARK)
    w, d, h = rng.uniform(18, 24), rng.uniform(7, 9), rng.uniform(17, 22)
    opening = w * rng.uniform(0.26, 0.32)
    spring = h * rng.uniform(0.32, 0.38)
    half, gap, y = w / 2, opening / 2, d / 2
    front = _front(rng, style, w, h, opening, spring)
    angles = np.linspace(0, np.pi, 13)
    bow = [(gap * np.cos(a), spring + gap * np.sin(a)) for a in angles]
    _pierced_walls(b, w, d, h, bow, front)
    stone = stone_texture(rng, style.trim)
    _passage(b, rng, style, d, bow, stone)
    side = _side(rng, style, d, h)
    b.wall((half, -y), (half, y), 0, h, side)
    b.wall((-half, y), (-half, -y), 0, h, side)
    b.tiled([[-half, -y, h], [half, -y, h], [half, y, h], [-half, y, h]], stone, (6, 6))
    ledge = half + 0.6
    box(b, -ledge, -y - 0.9, ledge, -y, h * 0.66, h * 0.72, stone, top=stone, bottom=True)
    shaft = column_texture(rng, style.trim, h * 0.66 - 2.4)
    for x in (-half + 0.9, -gap - 1.5, gap + 1.5, half - 0.9):
        box(b, x - 0.8, -y - 1.4, x + 0.8, -y, 0, 2.4, stone, top=stone)
        frustum(b, x, -y - 0.7, (0.62, 0.52), (2.4, h * 0.66), 9, shaft)
    _crowning(b, rng, style, half, y, h, stone)
    return b.build()


def _front(
    rng: np.random.Generator, style: Style, w: float, h: float, opening: float, spring: float
) -> Texture:
    """Draw a front: the arch's mouldings, a niche and a relief beside it, the attic above."""
    front = Canvas(rng, w, h)
    lay(front, style)
    plinth(front, style, 1.8)
    cx = w / 2
    for k in range(3):
        radius = opening / 2 + 1.1 - 0.35 * k
        angles = np.linspace(0, np.pi, 25)
        bow = np.stack([cx + radius * np.cos(angles), spring + radius * np.sin(angles)], 1)
        front.polygon(
            np.concatenate([bow, [[cx - radius, 0], [cx + radius, 0]]]),
            colour=shade(style.trim, 1.05 - 0.1 * (k % 2)),
            relief=0.25 - 0.06 * k,
        )
    side_w = (w - opening) / 2
    for sign in (-1, 1):
        mid, half = cx + sign * (opening / 2 + side_w / 2), side_w * 0.3
        niche(front, mid, 3.2, side_w * 0.3, h * 0.26, style.trim)
        paint = shade(style.trim, 0.9)
        front.rectangle(mid - half, h * 0.46, mid + half, h * 0.6, colour=paint, relief=0.1)
        half = side_w * 0.28
        frieze(front, h * 0.475, h * 0.11, style.trim, mid - half, mid + half)
        front.disc(mid, h * 0.42, side_w * 0.12, colour=style.accent, relief=0.15)
    cornice(front, h * 0.66, h * 0.06, style.trim, 0.6)
    paint = shade(style.trim, 0.94)
    front.rectangle(w * 0.1, h * 0.74, w * 0.9, h * 0.95, colour=paint, relief=0.1)
    if rng.random() < 0.5:
        for k, word in enumerate(_INSCRIPTIONS[int(rng.integers(4))]):
            front.text(word, cx, h * (0.89 - 0.095 * k), h * 0.06, shade(style.trim, 0.45))
    else:
        frieze(front, h * 0.76, h * 0.17, style.trim, w * 0.12, w * 0.88)
    cornice(front, h * 0.955, h * 0.045, style.trim, 0.5)
    return front.finish()


def _pierced_walls(
    b: MeshBuilder, w: float, d: float, h: float, bow: list[tuple[float, float]], front: Texture
) -> None:
    """Build front and back around the opening, whose round head is the points `bow` (x, z)."""
    half, (gap, spring) = w / 2, bow[0]
    crown = spring + gap

    def panel(points: list[tuple[float, float]], y: float, back: bool) -> None:
        solid = [[-x if back else x, y, z] for x, z in points]
        coordinates = [[(x + w / 2) / w, z / h] for x, z in points]
        b.face(np.array(solid), front, np.array(coordinates)[:3])

    for y, back in ((-d / 2, False), (d / 2, True)):
        panel([(-half, 0), (-gap, 0), (-gap, spring), (-half, spring)], y, back)
        panel([(gap, 0), (half, 0), (half, spring), (gap, spring)], y, back)
        panel([(-half, spring), (-gap, spring), (-gap, crown), (-half, crown)], y, back)
        panel([(gap, spring), (half, spring), (half, crown), (gap, crown)], y, back)
        panel([(-half, crown), (half, crown), (half, h), (-half, h)], y, back)
        for (x0, z0), (x1, z1) in itertools.pairwise(bow):
            panel([(x1, z1), (x0, z0), (x0, crown), (x1, crown)], y, back)


def _passage(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    d: float,
    bow: list[tuple[float, float]],
    stone: Texture,
) -> None:
    """Line the opening: a coffered vault on plain walls."""
    coffer = Canvas(rng, 6, 6, 22)
    masonry(coffer, shade(style.trim, 0.9), 1.5, 1.5, 0.04, joint=0.2, depth=0.2)
    for x in np.arange(0.75, 6, 1.5):
        for y in np.arange(0.75, 6, 1.5):
            coffer.disc(x, y, 0.3, colour=style.metal, relief=0.1)
    coffer_t = coffer.finish(0.06, repeat=True)
    (gap, spring), y = bow[0], d / 2
    for (x0, z0), (x1, z1) in itertools.pairwise(bow):
        strip = [[x0, y, z0], [x0, -y, z0], [x1, -y, z1], [x1, y, z1]]
        b.tiled(strip[::-1], coffer_t, (6, 6), two_sided=True)
    b.tiled([[-gap, -y, 0], [-gap, y, 0], [-gap, y, spring], [-gap, -y, spring]], stone, (6, 6))
    b.tiled([[gap, y, 0], [gap, -y, 0], [gap, -y, spring], [gap, y, spring]], stone, (6, 6))


def _side(rng: np.random.Generator, style: Style, d: float, h: float) -> Texture:
    """Draw a narrow end."""
    side = Canvas(rng, d, h)
    lay(side, style)
    plinth(side, style, 1.8)
    niche(side, d / 2, 3.2, d * 0.3, h * 0.3, style.trim)
    frieze(side, h * 0.47, h * 0.12, style.trim, d * 0.15, d * 0.85)
    cornice(side, h * 0.66, h * 0.06, style.trim, 0.6)
    cornice(side, h * 0.955, h * 0.045, style.trim, 0.5)
    return side.finish()


def _crowning(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    half: float,
    y: float,
    h: float,
    stone: Texture,
) -> None:
    """End the gate in statues, a hipped roof, or battlements between two turrets."""
    kind = int(rng.integers(3))
    if kind == 0:
        for x in (-half * 0.7, 0, half * 0.7):
            box(b, x - 1, -1, x + 1, 1, h, h + 1, stone, top=stone)
            gilt = metal_texture(rng, METALS[2])
            frustum(b, x, 0, (0.8, 0.3), (h + 1, h + 3.6), 6, gilt, (6, 6))
            dome(b, x, 0, h + 3.5, 0.45, 0.7, metal_texture(rng, METALS[2]), 6, 3)
    elif kind == 1:
        hip(b, -half, -y, half, y, h, 4.5, roof_texture(rng, style.roof), (6, 6), 0.5)
    else:
        for p, q in (((-half, -y), (half, -y)), ((half, y), (-half, y))):
            crenels(b, p, q, h, stone, 1.3)
        for x in (-half + 2.4, half - 2.4):
            tower = facade(rng, style, 4.4, 8, 2, 1, rusticated=False)
            box(b, x - 2.2, -2.2, x + 2.2, 2.2, h, h + 8, tower)
            roof_t = roof_texture(rng, style.roof)
            frustum(b, x, 0, (3.5, 0), (h + 8, h + 14), 4, roof_t, (6, 6), turn=np.pi / 4)
