"""Pagodas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_world.buildings.style import Style
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, shade, vary
from sample_world.drawing.materials import metal_texture, roof_texture, stone_texture
from sample_world.drawing.ornaments import balustrade, checker
from sample_world.drawing.palettes import METALS, STONES
from sample_world.drawing.surfaces import masonry, plaster
from sample_world.drawing.texture import Texture
from sample_world.modelling.bodies import frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh

_WOODS: tuple[Colour, ...] = (
    (0.55, 0.16, 0.12),
    (0.42, 0.24, 0.14),
    (0.62, 0.44, 0.3),
    (0.25, 0.3, 0.28),
)


@dataclass(frozen=True)
class _Plan:
    """The measures of a pagoda in metres, and its colours."""

    tiers: int
    sides: int
    radius: float
    storey: float
    wood: Colour
    pale: Colour

    @property
    def turn(self) -> float:
        """The angle that puts a flat side to the front."""
        return np.pi / self.sides

    def reach(self, tier: int) -> float:
        """Return the radius of a storey; each is smaller than the one below."""
        return self.radius * (1 - 0.52 * tier / self.tiers)


def pagoda(rng: np.random.Generator, style: Style) -> Mesh:
    """Storeys that shrink upwards under wide, curved roofs, with a spire of rings."""
    b = MeshBuilder(LANDMARK)
    tiers = int(rng.integers(4, 7))
    sides = int(rng.choice([4, 4, 6, 8]))
    radius, storey = rng.uniform(7, 9), rng.uniform(4.6, 5.8)
    wood = vary(rng, _WOODS[int(rng.integers(4))], 0.06)
    plan = _Plan(tiers, sides, radius, storey, wood, vary(rng, (0.86, 0.82, 0.72), 0.04))
    roof_t = roof_texture(rng, style.roof)
    stone = stone_texture(rng, STONES[int(rng.integers(len(STONES)))])
    for widths, levels in (((1.75, 1.7), (0, 1.0)), ((1.45, 1.42), (1.0, 2.0))):
        radii = (radius * widths[0], radius * widths[1])
        frustum(b, 0, 0, radii, levels, sides, stone, (6, 6), plan.turn, cap=stone)
    z = 2.0
    under = Canvas(rng, 6, 6, 20)
    masonry(under, shade(wood, 0.8), 6, 0.5, 0.08, shade(wood, 0.4), 0.1, 0.06)
    under_t = under.finish(0.05, repeat=True)
    for tier in range(tiers):
        r = plan.reach(tier)
        wall = _wall(rng, style, plan, tier)
        frustum(b, 0, 0, (r, r), (z, z + storey), sides, wall, wraps=sides, turn=plan.turn)
        lift = _roof(b, plan, tier, z + storey, roof_t, under_t)
        if tier < tiers - 1:
            _railing(b, rng, plan, tier + 1, z + storey, lift)
        z = z + storey + lift - 0.2
    gold = metal_texture(rng, METALS[2])
    frustum(b, 0, 0, (0.28, 0.18), (z - 0.5, z + 6), 6, gold, (6, 6))
    for k in range(5):
        r, levels = 0.85 - 0.1 * k, (z + 0.6 + k * 0.8, z + 0.9 + k * 0.8)
        frustum(b, 0, 0, (r, r), levels, 10, gold, (6, 6), cap=gold)
    return b.build()


def _wall(rng: np.random.Generator, style: Style, plan: _Plan, tier: int) -> Texture:
    """Draw one side of a storey: posts, lattices, in the lowest a door, a painted band."""
    width = 2 * plan.reach(tier) * np.sin(np.pi / plan.sides)
    storey, wood = plan.storey, plan.wood
    wall = Canvas(rng, width, storey)
    plaster(wall, plan.pale)
    posts = 4 if plan.sides == 4 else 3
    for k in range(posts):
        x0, x1 = width * k / posts, width * (k + 1) / posts
        cx, half = (x0 + x1) / 2, (x1 - x0) * 0.68 / 2
        if tier == 0 and k == posts // 2:
            top = storey * 0.66
            wall.rectangle(cx - half, 0, cx + half, top, colour=style.door, relief=-0.2)
        else:
            _lattice(wall, cx, half, storey, (tier + k) % 3, wood)
        for x in (x0, x1):
            wall.rectangle(x - 0.22, 0, x + 0.22, storey, colour=wood, relief=0.15)
    for level, tall in ((0.0, 0.3), (0.68, 0.35)):
        low, paint = storey * level, shade(wood, 0.9)
        wall.rectangle(0, low, width, low + tall, colour=paint, relief=0.2)
    first, second = shade(style.metal, 0.8), (0.75, 0.6, 0.25)
    checker(wall, 0, storey * 0.78, width, storey * 0.95, 0.4, first, second)
    return wall.finish(0.06, repeat=True)


def _lattice(
    wall: Canvas, cx: float, half: float, storey: float, pattern: int, wood: Colour
) -> None:
    """Draw a window behind upright laths and, but for pattern 0, some across."""
    x0, x1, low, high = cx - half, cx + half, storey * 0.2, storey * 0.64
    wall.rectangle(x0, low, x1, high, colour=(0.14, 0.12, 0.1), relief=-0.2, glass=180)
    for x in np.linspace(x0, x1, 6 if pattern else 9):
        wall.line(np.array([[x, low], [x, high]]), 0.07, wood, -0.1, 0)
    if pattern:
        for y in np.linspace(low, high, 3 + 2 * pattern):
            wall.line(np.array([[x0, y], [x1, y]]), 0.07, wood, -0.1, 0)


def _roof(
    b: MeshBuilder, plan: _Plan, tier: int, base: float, roof_t: Texture, under_t: Texture
) -> float:
    """Build the roof over a storey whose walls end at `base`; returns how high it rises."""
    last = tier == plan.tiers - 1
    sides, turn, r = plan.sides, plan.turn, plan.reach(tier)
    eave = r * 1.52
    top = 0.5 if last else plan.reach(tier + 1) * 1.06
    lift = plan.storey * (1.1 if last else 0.42)
    middle, knee = eave * 0.42 + top * 0.58, base + lift * 0.38
    frustum(b, 0, 0, (r * 0.98, eave), (base - 0.15, base - 0.4), sides, under_t, (6, 6), turn)
    frustum(b, 0, 0, (eave, eave), (base - 0.42, base - 0.12), sides, under_t, (6, 6), turn)
    frustum(b, 0, 0, (eave, middle), (base - 0.12, knee), sides, roof_t, (6, 6), turn)
    frustum(b, 0, 0, (middle, top), (knee, base + lift), sides, roof_t, (6, 6), turn)
    for k in range(sides):
        angle = turn + k * 2 * np.pi / sides
        x, y = eave * np.cos(angle) * 0.98, eave * np.sin(angle) * 0.98
        frustum(b, x, y, (0.28, 0.05), (base - 0.2, base + 0.9), 4, roof_t, (6, 6))
    return lift


def _railing(
    b: MeshBuilder, rng: np.random.Generator, plan: _Plan, tier: int, base: float, lift: float
) -> None:
    """Run a balustrade around the foot of a storey, on the roof of the one below."""
    rail = Canvas(rng, 8, 1)
    balustrade(rail, 0, 1.0, plan.wood)
    r, levels = plan.reach(tier) * 1.2, (base + lift * 0.8, base + lift + 0.6)
    rail_t = rail.finish(0.05, repeat=True)
    frustum(b, 0, 0, (r, r), levels, plan.sides, rail_t, wraps=plan.sides, turn=plan.turn)
