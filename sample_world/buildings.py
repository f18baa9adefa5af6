"""The landmarks of the sample world: a dozen kinds of architecture, each varied by its seed."""

from __future__ import annotations

from typing import Callable

import numpy as np

from sample_world.civic import clocktower, palace, skyscraper, townhall
from sample_world.mesh import Mesh
from sample_world.monumental import castle, gate, monument, rotunda
from sample_world.sacred import cathedral, mosque, pagoda, temple
from sample_world.style import Style, choose_style

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
