"""Cars and buses."""

from __future__ import annotations

import numpy as np

from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, blend, shade
from sample_world.drawing.materials import plain_texture
from sample_world.drawing.surfaces import plaster
from sample_world.drawing.texture import Texture
from sample_world.modelling.bodies import box
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import Mesh

# A car in metres: its length, half its width, the levels of sill, waist and roof, its axles.
_LENGTH, _HALF, _SILL, _WAIST, _TOP = 4.3, 1.75 / 2, 0.25, 0.88, 1.45
_AXLES = (0.85, 3.45)


def car(rng: np.random.Generator, paint: Colour) -> Mesh:
    """Build a car along x: lower body, cabin, wheels."""
    b = MeshBuilder()
    skin, body = _car_side(rng, paint), plain_texture(rng, paint)
    pane = plain_texture(rng, (0.09, 0.11, 0.14), 90)
    tyre = _wheel(rng)
    lower = [(0, _SILL), (_LENGTH, _SILL), (_LENGTH, 0.8), (3.9, _WAIST), (0.25, 0.82), (0, 0.7)]
    cabin = [(0.95, _WAIST - 0.06), (3.85, _WAIST - 0.02), (3.1, _TOP), (1.5, _TOP)]
    _hull(b, lower, _HALF, skin, [body] * 6)
    _hull(b, cabin, _HALF - 0.12, skin, [body, pane, body, pane])
    angles = np.linspace(0, 2 * np.pi, 13)[:-1]
    for x in _AXLES:
        for sign in (-1, 1):
            turn = angles if sign < 0 else angles[::-1]
            cos, sin = np.cos(turn), np.sin(turn)
            aside = np.full(12, sign * (_HALF + 0.01))
            points = np.stack([x + 0.33 * cos, aside, 0.33 + 0.33 * sin], 1)
            b.face(points, tyre, np.stack([0.5 + 0.5 * cos, 0.5 + 0.5 * sin], 1))
    return b.build().placed(-_LENGTH / 2, 0, 0)


def _car_side(rng: np.random.Generator, paint: Colour) -> Texture:
    """Draw the side of a car: windows, doors, lights, wheel arches."""
    side = Canvas(rng, _LENGTH, _TOP, 60, paint)
    plaster(side, paint, 0.01)
    low, high = _WAIST + 0.04, _TOP - 0.1
    pane = np.array([[1.0, low], [3.55, low], [3.0, high], [1.55, high]])
    side.polygon(pane, colour=(0.09, 0.11, 0.13), glass=90)
    side.line(np.array([[2.3, _WAIST], [2.3, _TOP]]), 0.09, shade(paint, 0.9), glass=0)
    for x in (1.15, 2.3, 3.4):
        side.line(np.array([[x, _SILL + 0.1], [x, _WAIST]]), 0.03, shade(paint, 0.5))
    side.line(np.array([[0, 0.55], [_LENGTH, 0.58]]), 0.05, shade(paint, 0.7))
    side.rectangle(0, _SILL, _LENGTH, _SILL + 0.12, colour=(0.08, 0.08, 0.09))
    for x in _AXLES:
        side.disc(x, 0.34, 0.42, colour=(0.05, 0.05, 0.05))
    side.rectangle(4.1, 0.6, _LENGTH, 0.76, colour=(0.75, 0.12, 0.1))
    side.rectangle(0, 0.6, 0.2, 0.76, colour=(0.95, 0.93, 0.85))
    return side.finish(0.03)


def _wheel(rng: np.random.Generator) -> Texture:
    wheel = Canvas(rng, 0.66, 0.66, 60, (0.07, 0.07, 0.07))
    wheel.disc(0.33, 0.33, 0.2, colour=(0.6, 0.61, 0.63), relief=0.03)
    wheel.disc(0.33, 0.33, 0.07, colour=(0.2, 0.2, 0.2))
    return wheel.finish(0.0)


def _hull(
    b: MeshBuilder,
    outline: list[tuple[float, float]],
    half: float,
    skin: Texture,
    around: list[Texture],
) -> None:
    """Build a body of constant width from its outline (x, z); `around` covers its edges."""
    for sign in (-1, 1):
        order = outline if sign < 0 else outline[::-1]
        points = np.array([[x, sign * half, z] for x, z in order])
        b.face(points, skin, [[x / _LENGTH, z / _TOP] for x, z in order][:3])
    for (xa, za), (xb, zb), texture in zip(outline, outline[1:] + outline[:1], around):
        strip = [[xb, half, zb], [xb, -half, zb], [xa, -half, za], [xa, half, za]]
        b.tiled(strip, texture, (1, 1), two_sided=True)


def bus(rng: np.random.Generator, paint: Colour) -> Mesh:
    """Build a coach along x."""
    b = MeshBuilder()
    length, wide, tall = 9.5, 2.5, 3.1
    side = _bus_side(rng, paint, length, tall)
    end = Canvas(rng, wide, tall, 40, paint)
    end.rectangle(0.15, 1.2, wide - 0.15, 2.6, colour=(0.1, 0.12, 0.14), glass=90)
    end.rectangle(0.3, 2.65, wide - 0.3, 2.95, colour=(0.9, 0.6, 0.1))
    for x in (0.3, wide - 0.3):
        end.disc(x, 0.7, 0.16, colour=(0.9, 0.9, 0.85))
    side_t, end_t = side.finish(0.04), end.finish(0.04)
    roof_t = plain_texture(rng, shade(paint, 0.9))
    x, y = length / 2, wide / 2
    box(b, -x, -y, x, y, 0.15, tall, side_t, end_t, roof_t)
    return b.build()


def _bus_side(rng: np.random.Generator, paint: Colour, length: float, tall: float) -> Canvas:
    """Draw the side of a coach: a band of windows, a door, a name."""
    side = Canvas(rng, length, tall, 40, paint)
    plaster(side, paint, 0.01)
    side.rectangle(0, 1.35, length, 2.45, colour=(0.1, 0.12, 0.14), glass=90)
    for x in np.linspace(0, length, 8):
        side.rectangle(x - 0.06, 1.35, x + 0.06, 2.45, colour=shade(paint, 0.4), glass=0)
    side.rectangle(0, 0.95, length, 1.15, colour=blend(paint, (1, 1, 1), 0.6))
    side.rectangle(1.2, 0.3, 2.3, 2.45, colour=(0.13, 0.15, 0.17), glass=80)
    name = str(rng.choice(["CITY TOURS", "EXPRESS", "SIGHTSEEING", "METROLINE"]))
    side.text(name, length * 0.6, 0.65, 0.4, blend(paint, (1, 1, 1), 0.8))
    side.rectangle(0, 0, length, 0.25, colour=(0.06, 0.06, 0.06))
    for x in (1.9, 7.4):
        side.disc(x, 0.35, 0.5, colour=(0.05, 0.05, 0.05))
        side.disc(x, 0.35, 0.22, colour=(0.5, 0.5, 0.5))
    return side
