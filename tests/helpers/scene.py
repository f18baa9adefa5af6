"""A scene of points seen by several cameras: photos' features whose geometry is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.feature_io import Features
from tests.helpers.features import write_features_folder

HEIGHT, WIDTH = 480, 640
FOCAL_LENGTH = 700.0


@dataclass(frozen=True)
class Scene:
    """A feature folder, and where its cameras stood.

    Attributes:
        folder: features of the photos `view0`, `view1`, ….
        centres: float64 [photos, 3], of the cameras.
        points: float64 [points, 3].
    """

    folder: Path
    centres: np.ndarray
    points: np.ndarray


def write_scene(folder: Path, photos: int = 5, points: int = 150, noise: float = 0.2) -> Scene:
    """Write the features of photos that a camera walking along a relief of points takes.

    Args:
        folder: for the features.
        photos: how many.
        points: how many, seen by all photos, in another order in each.
        noise: standard deviation of the locations, in pixels.
    """
    rng = np.random.default_rng(5)
    scene = rng.uniform([-3, -2, 9], [3, 2, 12], (points, 3))
    looks = rng.normal(size=(points, 16))
    centres = np.column_stack([np.linspace(-2, 2, photos), rng.normal(0, 0.2, (photos, 2))])
    written = {}
    for number, centre in enumerate(centres):
        x, y, depth = (scene - centre).T
        # In the middle of 640 columns by their centres: half way between columns 319 and 320.
        across, down = FOCAL_LENGTH * x / depth + 319.5, FOCAL_LENGTH * y / depth + 239.5
        order = rng.permutation(points)
        seen = looks + rng.normal(0, 0.05, looks.shape)
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        located = np.column_stack([down, across]) + rng.normal(0, noise, (points, 2))
        scales = rng.choice([0.5, 1.0, 2.0], points)
        size = (HEIGHT, WIDTH)
        written[f"walk/view{number}"] = Features(
            located[order], scales, seen[order], rng.uniform(1, 9, points), size
        )
    return Scene(write_features_folder(folder, written), centres, scene)
