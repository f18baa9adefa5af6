"""Colours of the sample world: RGB from 0 to 1, made darker, mixed and varied."""

from __future__ import annotations

import numpy as np

Colour = tuple[float, float, float]


def shade(colour: Colour, factor: float) -> Colour:
    """Return a colour made darker (factor below 1) or lighter, kept within [0, 1]."""
    return tuple(float(np.clip(c * factor, 0.0, 1.0)) for c in colour)  # type: ignore[return-value]


def blend(first: Colour, second: Colour, weight: float) -> Colour:
    """Return the mixture of two colours, `weight` of the second."""
    return tuple(a + (b - a) * weight for a, b in zip(first, second))  # type: ignore[return-value]


def vary(rng: np.random.Generator, colour: Colour, amount: float = 0.05) -> Colour:
    """Return a colour changed a little at random, more in brightness than in hue."""
    factor = 1.0 + rng.normal(0, amount)
    return tuple(  # type: ignore[return-value]
        float(np.clip(c * factor + rng.normal(0, amount * 0.17), 0.02, 0.98)) for c in colour
    )
