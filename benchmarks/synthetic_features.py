"""A world of made-up features that behave like DELF's, of any size, for measuring searches.

Buildings are seen in `VIEWS` images each, through affine maps, among clutter. What the descriptors
are made to share with real ones (trained attention features of 175 photos, 40 dimensions), because
the time and the recall of an approximate index depend on it:

* the spectrum: the variance of dimension i falls as i ** -0.5, 30 effective dimensions;
* clusters: a feature is a kind of thing (window, column, roof; two nested levels of kinds common to
  the world), as it looks in this image, at this spot, at this scale of the pyramid;
* repetition: an image has few kinds of things, many of each, and most features have near doubles at
  the next scale of the pyramid.

Squared distances to the neighbours in other photos (5 %, 50 %, 95 % of the features), 170 photos:

    neighbour    1st                  10th                 60th                 600th
    real         0.11 0.39 0.59       0.16 0.52 0.72       0.21 0.65 0.85       0.38 0.87 1.05
    here         0.21 0.42 0.62       0.40 0.54 0.77       0.52 0.70 0.89       0.74 0.96 1.15
    "uniform"    0.6  0.67 0.79       0.64 0.79 0.88       0.75 0.91 1.00       0.95 1.10 1.18

The middle agrees within a tenth; real features have more very near neighbours, which are the ones
found most easily. "uniform" leaves clusters and repetition away: normally distributed directions,
the hardest case for an index that looks only near the query.

The features of a building depend on the seed and its number alone: a larger world holds the smaller
one, and nothing needs more memory than one building.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from src.feature_io import Features, Manifest, feature_path, write_features, write_manifest

VIEWS = 5  # images of one building
SHARED = 0.15  # share of an image's features that lie on the building
SIDE = 1000.0  # of a photo, in pixels

# Fitted to the distances above. Lengths of the parts of a descriptor before it is scaled to one:
_KINDS = ((50, 0.6), (40, 0.45))  # nested kinds of things: how many, and how different
_IN_IMAGE = 0.3  # a kind of thing as it looks in one image
_AT_SPOT = 0.45  # one of many alike in an image
_AT_SCALE = 0.35  # the same spot at another scale, or in another view
_PALETTE = 40  # kinds of things in an image
_DOUBLES = 2.5  # features of a spot


@dataclass(frozen=True)
class FeatureWorld:
    """Features of `images` images.

    Attributes:
        images: number of images; the last building may have fewer than `VIEWS`.
        features: of an image.
        dimension: of a descriptor.
        seed: of everything.
        uniform: descriptors without clusters, the hardest case.
    """

    images: int
    features: int = 1000
    dimension: int = 40
    seed: int = 0
    uniform: bool = False

    @property
    def names(self) -> list[str]:
        """Image names, sorted."""
        return [f"building_{image // VIEWS:06d}_{image % VIEWS}" for image in range(self.images)]

    @property
    def buildings(self) -> int:
        """Number of buildings."""
        return -(-self.images // VIEWS)

    def query(self, building: int) -> Features:
        """Return one more view of a building, which is not among the images."""
        return self._views(building)[VIEWS]

    def __iter__(self) -> Iterator[Features]:
        """Yield the features of each image, in the order of the names."""
        for building in range(self.buildings):
            yield from self._views(building)[: min(VIEWS, self.images - building * VIEWS)]

    def write(self, folder: Path) -> None:
        """Write a feature folder."""
        names = self.names
        for name, features in zip(names, self):
            write_features(feature_path(folder, name), features)
        made = {"synthetic": f"seed {self.seed}, {'uniform' if self.uniform else 'like DELF'}"}
        write_manifest(folder, Manifest(tuple((name, f"{name}.jpg") for name in names), made))

    def _views(self, building: int) -> list[Features]:
        rng = np.random.default_rng((self.seed, 1, building))
        shared = max(3, round(SHARED * self.features))
        points = rng.uniform(0, SIDE, (shared, 2))
        looks = self._draw(rng, shared) if self.uniform else self._things(rng, shared)
        return [self._view(rng, points, looks) for _ in range(VIEWS + 1)]

    def _view(self, rng: np.random.Generator, points: np.ndarray, looks: np.ndarray) -> Features:
        linear = np.eye(2) + 0.15 * rng.standard_normal((2, 2))
        seen = points @ linear.T + rng.uniform(-50, 50, 2) + 3 * rng.standard_normal(points.shape)
        others = self.features - len(points)
        around = rng.uniform(0, SIDE, (others, 2))
        clutter = self._draw(rng, others) if self.uniform else self._clutter(rng, others)
        descriptors = np.concatenate([looks + _AT_SCALE * self._draw(rng, len(looks)), clutter])
        descriptors *= self._spread
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        ones = np.ones(self.features)
        return Features(np.concatenate([seen, around]), ones, descriptors, ones)

    def _clutter(self, rng: np.random.Generator, count: int) -> np.ndarray:
        palette = self._things(rng, _PALETTE)
        spots = palette[rng.integers(0, _PALETTE, max(1, int(count / _DOUBLES)))]
        spots = spots + _AT_SPOT * self._draw(rng, len(spots))
        return spots[rng.integers(0, len(spots), count)] + _AT_SCALE * self._draw(rng, count)

    def _things(self, rng: np.random.Generator, count: int) -> np.ndarray:
        kinds = self._kinds[rng.integers(0, len(self._kinds), count)]
        return kinds + _IN_IMAGE * self._draw(rng, count)

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.standard_normal((count, self.dimension), dtype=np.float32)

    @cached_property
    def _kinds(self) -> np.ndarray:
        rng = np.random.default_rng((self.seed, 0))
        kinds = np.zeros((1, self.dimension), dtype=np.float32)
        for branches, length in _KINDS:
            steps = length * self._draw(rng, len(kinds) * branches)
            kinds = np.repeat(kinds, branches, axis=0) + steps
        return kinds

    @cached_property
    def _spread(self) -> np.ndarray:
        variances = np.arange(1, self.dimension + 1, dtype=np.float32) ** -0.5
        return np.sqrt(variances / variances.sum())
