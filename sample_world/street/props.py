"""What all pictures of a world share. None of it belongs to any landmark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_world.buildings.house import House, house
from sample_world.drawing.colours import Colour, vary
from sample_world.drawing.materials import plain_texture, roof_texture
from sample_world.drawing.palettes import ROOFS
from sample_world.drawing.texture import Texture
from sample_world.modelling.mesh import Mesh
from sample_world.street.furniture import furniture, lamp
from sample_world.street.ground import ground
from sample_world.street.people import person
from sample_world.street.plants import bush, hedge, tree
from sample_world.street.sprite import Sprite
from sample_world.street.vehicles import bus, car


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
    houses: tuple[House, ...]
    paving: tuple[Texture, ...]
    cobbles: tuple[Texture, ...]
    asphalt: Texture
    grass: tuple[Texture, ...]
    marking: Texture
    hedge: Texture


_TREES: tuple[tuple[str, Colour], ...] = (
    ("round", (0.24, 0.34, 0.11)), ("round", (0.31, 0.38, 0.13)), ("wide", (0.21, 0.31, 0.12)),
    ("wide", (0.38, 0.36, 0.13)), ("tall", (0.25, 0.34, 0.16)), ("conifer", (0.2, 0.3, 0.19)),
    ("round", (0.5, 0.32, 0.1)), ("conifer", (0.25, 0.33, 0.18)),
)  # fmt: skip
_FLOWERS: tuple[Colour | None, ...] = (None, (0.85, 0.3, 0.4), (0.9, 0.85, 0.7))
_CARS: tuple[Colour, ...] = (
    (0.6, 0.08, 0.08), (0.75, 0.76, 0.78), (0.1, 0.11, 0.13), (0.14, 0.24, 0.44),
    (0.82, 0.8, 0.74), (0.2, 0.32, 0.26),
)  # fmt: skip
_BUSES: tuple[Colour, ...] = ((0.7, 0.12, 0.1), (0.85, 0.82, 0.75))
_PAVING: tuple[Colour, ...] = ((0.62, 0.59, 0.54), (0.52, 0.5, 0.48), (0.66, 0.56, 0.46))
_COBBLES: tuple[Colour, ...] = ((0.4, 0.39, 0.38), (0.46, 0.41, 0.36))
_GRASS: tuple[Colour, ...] = ((0.31, 0.37, 0.2), (0.41, 0.41, 0.24))


def build_props(seed: int) -> Props:
    """Return the shared stock of a world."""
    rng = np.random.default_rng([seed, 4711])
    roofs = [roof_texture(rng, vary(rng, colour, 0.1)) for colour in (*ROOFS[:3], ROOFS[1])]
    green = hedge(rng)
    return Props(
        trees=tuple(tree(rng, form, vary(rng, colour, 0.06)) for form, colour in _TREES),
        bushes=tuple(bush(rng, (0.22, 0.34, 0.12), flower) for flower in _FLOWERS),
        people=tuple(person(rng) for _ in range(20)),
        cars=tuple(car(rng, paint) for paint in _CARS),
        buses=tuple(bus(rng, paint) for paint in _BUSES),
        lamps=tuple(lamp(rng, arms) for arms in (1, 2)),
        furniture=tuple(furniture(rng)),
        houses=tuple(house(rng, roofs) for _ in range(14)),
        paving=tuple(ground(rng, "slabs", colour) for colour in _PAVING),
        cobbles=tuple(ground(rng, "cobbles", colour) for colour in _COBBLES),
        asphalt=ground(rng, "asphalt", (0.24, 0.24, 0.25)),
        grass=tuple(ground(rng, "grass", colour) for colour in _GRASS),
        marking=plain_texture(rng, (0.82, 0.81, 0.77)),
        hedge=green,
    )
