"""Matching two photos: nearest descriptors that agree on one affine map."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from src.common.errors import UserError
from src.feature_io import Features
from src.index.image_table import extent
from src.ranking.geometry import Frames, VerifySettings, match_descriptors, verify


@dataclass(frozen=True)
class MatchSettings:
    """How two photos are matched.

    Attributes:
        max_distance: largest distance of two descriptors of unit length that match.
        ratio: the nearest descriptor must be nearer than this share of the distance to the second
            nearest; None = not asked.
        mutual: both descriptors must be nearest to each other.
        verify: how matches are verified.
    """

    max_distance: float | None = 0.8
    ratio: float | None = None
    mutual: bool = True
    verify: VerifySettings = field(default_factory=VerifySettings)


@dataclass(frozen=True)
class PairMatch:
    """Matches of two photos.

    Attributes:
        locations_a, locations_b: float32 [M, 2], (y, x) of the matches in each photo.
        inliers: bool [M], the matches that agree on one affine map.
        affine: float64 [2, 3] that maps (x, y, 1) of the first photo to (x, y) of the second; None
            without inliers.
        indices: int64 [M, 2], which features of the two photos match; None where not asked for.
    """

    locations_a: np.ndarray
    locations_b: np.ndarray
    inliers: np.ndarray
    affine: np.ndarray | None
    indices: np.ndarray | None = None

    @property
    def inlier_count(self) -> int:
        """Number of inliers."""
        return int(self.inliers.sum())

    @property
    def found_box(self) -> tuple[float, float, float, float] | None:
        """(left, top, right, bottom) around the inliers in the second photo; None without any."""
        points = self.locations_b[self.inliers]
        if not len(points):
            return None
        (top, left), (bottom, right) = points.min(axis=0), points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


def match_pair(
    features_a: Features,
    features_b: Features,
    settings: MatchSettings = MatchSettings(),  # noqa: B008 (frozen)
) -> PairMatch:
    """Match the features of two photos and verify the matches.

    Raises:
        UserError: when the descriptors are not of the same length.
    """
    if features_a.dimension != features_b.dimension and len(features_a) and len(features_b):
        raise UserError(
            f"the two photos' descriptors have {features_a.dimension} and {features_b.dimension} "
            "dimensions; extract both with the same settings"
        )
    pairs = match_descriptors(
        features_a.descriptors,
        features_b.descriptors,
        settings.max_distance,
        settings.ratio,
        settings.mutual,
    )
    locations_a = features_a.locations[pairs[:, 0]]
    locations_b = features_b.locations[pairs[:, 1]]
    by_extents = extent(features_b.locations) / extent(features_a.locations)
    frames = Frames.of(features_a.size, features_b.size, by_extents)
    found = verify(locations_a, locations_b, settings.verify, frames)
    return PairMatch(locations_a, locations_b, found.inliers, found.affine, pairs)
