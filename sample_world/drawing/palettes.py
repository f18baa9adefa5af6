"""Colours things are chosen from: stones, bricks, plasters, roofs, metals, cloth."""

from __future__ import annotations

from sample_world.drawing.colours import Colour

STONES: tuple[Colour, ...] = (
    (0.76, 0.70, 0.58),  # limestone
    (0.66, 0.62, 0.56),  # grey sandstone
    (0.74, 0.58, 0.42),  # yellow sandstone
    (0.66, 0.42, 0.34),  # red sandstone
    (0.58, 0.58, 0.58),  # granite
    (0.82, 0.79, 0.74),  # marble
    (0.55, 0.50, 0.42),  # dark weathered stone
)

BRICKS: tuple[Colour, ...] = (
    (0.56, 0.27, 0.20),
    (0.62, 0.36, 0.25),
    (0.46, 0.25, 0.22),
    (0.70, 0.55, 0.38),
)

PLASTERS: tuple[Colour, ...] = (
    (0.86, 0.76, 0.52),
    (0.84, 0.62, 0.50),
    (0.88, 0.85, 0.78),
    (0.66, 0.74, 0.76),
    (0.76, 0.80, 0.66),
    (0.80, 0.52, 0.40),
)

ROOFS: tuple[Colour, ...] = (
    (0.30, 0.32, 0.36),  # slate
    (0.58, 0.30, 0.20),  # clay tiles
    (0.40, 0.26, 0.20),
    (0.26, 0.36, 0.33),  # dark green glaze
)

METALS: tuple[Colour, ...] = (
    (0.42, 0.62, 0.54),  # copper green
    (0.44, 0.47, 0.50),  # lead
    (0.62, 0.50, 0.22),  # gilt
    (0.30, 0.40, 0.52),  # blue enamel
)

# Of people, awnings, shop signs and the covers of magazines.
CLOTHES: tuple[Colour, ...] = (
    (0.72, 0.16, 0.16), (0.14, 0.22, 0.45), (0.88, 0.86, 0.82), (0.14, 0.14, 0.16),
    (0.25, 0.42, 0.3), (0.86, 0.7, 0.24), (0.5, 0.34, 0.22), (0.45, 0.55, 0.68), (0.8, 0.5, 0.56),
    (0.42, 0.42, 0.44),
)  # fmt: skip
