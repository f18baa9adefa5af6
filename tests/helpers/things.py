"""Photos of a few things, made up: local features and a vector of the whole of each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from src.feature_io import Features
from tests.helpers.features import features_of


def unit(rows: np.ndarray) -> np.ndarray:
    """Bring rows to unit length."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def photos_of_things(
    count: int, things: int, prefix: str, seed: int = 0, around: int = 0
) -> dict[str, Features]:
    """Photos of one thing after the other, beside `around` features of their surroundings."""
    rng = np.random.default_rng(seed)
    points, looks = rng.uniform(100, 600, (things, 40, 2)), rng.normal(size=(things, 40, 16))
    whole = rng.normal(size=(things, 32))
    made = {}
    for number in range(count):
        thing = number % things
        places = rng.uniform(0, 1000, (around, 2))
        descriptors = np.r_[
            looks[thing] + 0.3 * rng.normal(size=(40, 16)), rng.normal(size=(around, 16))
        ]
        features = features_of(np.r_[points[thing] + 10 * number, places], descriptors)
        vector = unit(whole[thing] + 0.6 * rng.normal(size=32)).astype(np.float16)
        made[f"{prefix}{number:02}"] = replace(
            features, size=(1000, 1000), global_descriptor=vector.astype(np.float32)
        )
    return made
