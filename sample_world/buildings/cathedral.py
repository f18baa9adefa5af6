"""Cathedrals."""

from __future__ import annotations

import numpy as np

from sample_world.buildings.parts import crenels
from sample_world.buildings.style import Style, lay, plinth
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.carvings import frieze, niche
from sample_world.drawing.doors import portal
from sample_world.drawing.materials import roof_texture, stone_texture
from sample_world.drawing.ornaments import cornice, pilaster
from sample_world.drawing.texture import Texture
from sample_world.drawing.windows import rose, window
from sample_world.modelling.bodies import box, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh
from sample_world.modelling.roofs import gable


def cathedral(rng: np.random.Generator, style: Style) -> Mesh:
    """Two west towers, a rose window between them, nave with buttresses and steep roof."""
    b = MeshBuilder(LANDMARK)
    nave_w, tower_w = rng.uniform(9, 12), rng.uniform(6.5, 8.5)
    nave_h, tower_h = rng.uniform(17, 22), rng.uniform(30, 40)
    length = rng.uniform(34, 44)
    ridge = nave_h + nave_w * rng.uniform(0.6, 0.85)
    half, y0, y1 = nave_w / 2, -length / 2, length / 2
    front = _front(rng, style, nave_w, nave_h, ridge + 1)
    y, foot = y0 + 0.8, [[0, 0], [1, 0]]
    walls = [[-half, y, 0], [half, y, 0], [half, y, nave_h]]
    b.face([*walls, [0, y, ridge], [-half, y, nave_h]], front, [*foot, [1, nave_h / (ridge + 1)]])
    tower = _tower(rng, style, tower_w, tower_h)
    stone = stone_texture(rng, style.trim)
    roof_t = roof_texture(rng, style.roof)
    spire = rng.random() < 0.65
    for sign in (-1, 1):
        cx = sign * (half + tower_w / 2)
        x0, x1, back = cx - tower_w / 2, cx + tower_w / 2, y0 + tower_w
        box(b, x0, y0, x1, back, 0, tower_h, tower, top=stone)
        _corners(b, [(x0, y0), (x1, y0), (x1, back), (x0, back)], tower_h, stone, not spire)
        if spire:
            radii, rise = (tower_w * 0.5, 0), tower_w * rng.uniform(1.6, 2.3)
            levels, skin = (tower_h, tower_h + rise), roof_t if rng.random() < 0.5 else stone
            y = y0 + tower_w / 2
            frustum(b, cx, y, radii, levels, 8, skin, (6, 6), turn=np.pi / 8)
    _nave(b, rng, style, half, tower_w, length, nave_h, stone)
    rise = ridge - nave_h - 0.4
    gable(b, -half, y0 + 1.2, half, y1, nave_h, rise, roof_t, (6, 6), None, "y", 0.3)
    walls = [[half, y1, 0], [-half, y1, 0], [-half, y1, nave_h]]
    b.face([*walls, [0, y1, ridge - 0.5], [half, y1, nave_h]], front, [*foot, [1, 0.7]])
    return b.build()


def _front(
    rng: np.random.Generator, style: Style, width: float, nave_h: float, height: float
) -> Texture:
    """Draw the west front between the towers: portal, frieze, rose window, arcade."""
    front = Canvas(rng, width, height)
    lay(front, style)
    plinth(front, style, 1.2)
    cx = width / 2
    portal(front, cx, 0, width * 0.36, nave_h * 0.42, "pointed", style.trim, style.door, 5)
    frieze(front, nave_h * 0.5, 1.7, style.trim)
    rose(front, cx, nave_h * 0.78, width * 0.33, style.trim, int(rng.choice([8, 10, 12, 16])))
    cornice(front, nave_h * 0.46, 0.5, style.trim, 0.3, False)
    lancet = ("pointed", style.trim, style.trim)
    for x in np.linspace(1.2, width - 1.2, 6):
        window(front, x, nave_h * 1.08, 0.55, 2.4, *lancet, bars=(1, 1), sill=False)
    return front.finish()


def _tower(rng: np.random.Generator, style: Style, w: float, h: float) -> Texture:
    """Draw a side of a west tower: a portal below three storeys of lancets."""
    tower = Canvas(rng, w, h)
    lay(tower, style)
    plinth(tower, style, 1.4)
    floors = 4
    lancet = ("pointed", style.trim, style.trim)
    for k in range(floors):
        low = h * (0.06 + 0.235 * k)
        tall = h * (0.165 if k < 3 else 0.185)
        if k == 0:
            portal(tower, w / 2, 0, w * 0.38, h * 0.2, "pointed", style.trim, style.door, 4)
        elif k == floors - 1 or rng.random() < 0.6:
            for side in (-1, 1):
                window(tower, w / 2 + side * w * 0.17, low, w * 0.22, tall, *lancet, bars=(2, 2))
        else:
            window(tower, w / 2, low, w * 0.3, tall, *lancet, bars=(2, 3))
        cornice(tower, h * (0.05 + 0.235 * (k + 1)), 0.6, style.trim, 0.3, k == 3)
    if style.ornament != "plain":
        for k in range(5):
            niche(tower, w * (0.14 + 0.18 * k), h * 0.25, w * 0.1, h * 0.035, style.trim)
    for x in (0.45, w - 0.45):
        pilaster(tower, x, 1.4, h * 0.97, 0.9, style.trim, False)
    return tower.finish()


def _corners(
    b: MeshBuilder, corners: list[tuple[float, float]], h: float, stone: Texture, battlements: bool
) -> None:
    """Set a pinnacle on each corner of a tower, and battlements between them."""
    for k, (x, y) in enumerate(corners):
        if battlements:
            crenels(b, (x, y), corners[(k + 1) % 4], h, stone, 0.9)
        frustum(b, x, y, (0.75, 0.7), (h - 3, h + 1.5), 4, stone, (6, 6), turn=np.pi / 4)
        frustum(b, x, y, (0.8, 0), (h + 1.5, h + 5), 4, stone, (6, 6), turn=np.pi / 4)


def _nave(
    b: MeshBuilder,
    rng: np.random.Generator,
    style: Style,
    half: float,
    tower_w: float,
    length: float,
    h: float,
    stone: Texture,
) -> None:
    """Build the long walls behind the towers, with a buttress between their windows."""
    y0, y1 = -length / 2 + tower_w, length / 2
    wall = Canvas(rng, length - tower_w, h)
    lay(wall, style)
    plinth(wall, style, 1.2)
    bays = max(4, round((length - tower_w) / 5.5))
    pitch = (length - tower_w) / bays
    lancet = ("pointed", style.trim, style.trim)
    for k in range(bays):
        size = (pitch * 0.42, h * 0.6)
        window(wall, (k + 0.5) * pitch, h * 0.22, *size, *lancet, bars=(2, 4))
    cornice(wall, h - 1.2, 1.2, style.trim, 0.4)
    wall_t = wall.finish()
    b.wall((half, y0), (half, y1), 0, h, wall_t)
    b.wall((-half, y1), (-half, y0), 0, h, wall_t)
    top = h * 0.72
    for k in range(bays + 1):
        y = y0 + k * pitch
        for sign in (-1, 1):
            x0, x1 = sorted((sign * half, sign * (half + 2.2)))
            box(b, x0, y - 0.55, x1, y + 0.55, 0, top, stone, top=stone)
            x = sign * (half + 1.2)
            frustum(b, x, y, (0.8, 0), (top, top + 3.2), 4, stone, (6, 6), turn=np.pi / 4)
