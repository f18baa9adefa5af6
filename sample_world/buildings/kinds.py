"""The landmarks of the sample world: a dozen kinds of architecture, each varied by its seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sample_world.buildings.castle import castle
from sample_world.buildings.cathedral import cathedral
from sample_world.buildings.clocktower import clocktower
from sample_world.buildings.gate import gate
from sample_world.buildings.monument import monument
from sample_world.buildings.mosque import mosque
from sample_world.buildings.pagoda import pagoda
from sample_world.buildings.palace import palace
from sample_world.buildings.rotunda import rotunda
from sample_world.buildings.skyscraper import skyscraper
from sample_world.buildings.style import Style, choose_style
from sample_world.buildings.temple import temple
from sample_world.buildings.townhall import townhall
from sample_world.modelling.mesh import Mesh

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
