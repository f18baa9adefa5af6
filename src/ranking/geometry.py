"""Matching descriptors of two images, and verifying matches by one affine map (RANSAC)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from model_utils.bounds import check_fields

#: An affine map is fixed by three pairs of points.
MINIMAL_MATCHES = 3


@dataclass(frozen=True)
class VerifySettings:
    """How matches are verified.

    Attributes:
        threshold: largest distance, in the second image, between a mapped point and its match for
            the match to count as an inlier: in pixels of a photo whose diagonal is `diagonal`.
        diagonal: of the photo that `threshold` is told for, in pixels (640×480); 0 = the pixels of
            the second image, whatever its size.
        max_trials: largest number of RANSAC samples.
        confidence: RANSAC stops when a better map is less probable than 1 − confidence.
        max_scale: a map that enlarges or shrinks any direction by more than this factor, or that
            mirrors, shows no building from another place and leaves no inliers. Without the limit
            a map that shrinks everything into one spot collects inliers. 0 = no limit; only a map
            onto a line or a point is refused then.

    Raises:
        UserError: one of the numbers makes no sense.
    """

    threshold: float = 20.0
    max_trials: int = 3000
    confidence: float = 0.99
    max_scale: float = 3.0
    diagonal: float = 800.0

    def __post_init__(self) -> None:
        check_fields(self, {"threshold": "inlier_threshold", "max_trials": "ransac_trials"})


@dataclass(frozen=True)
class Frames:
    """How large two images are, one beside the other.

    Attributes:
        relative_size: size of the second image relative to the first.
        diagonal: of the second image in pixels; None where its size is not known.
    """

    relative_size: float = 1.0
    diagonal: float | None = None

    @classmethod
    def of(
        cls, size_a: Sequence[int] | None, size_b: Sequence[int] | None, otherwise: float
    ) -> Frames:
        """Return those of two photos.

        Args:
            size_a, size_b: (height, width) of the photos; None or 0 where they are not known.
            otherwise: the relative size, where they are not.
        """
        if size_a is None or size_b is None or not min(*size_a, *size_b):
            return cls(otherwise)
        diagonal = math.hypot(*size_b)
        return cls(diagonal / math.hypot(*size_a), diagonal)


@dataclass(frozen=True)
class Verification:
    """Result of `verify`.

    Attributes:
        inliers: bool [M].
        affine: float64 [2, 3] that maps (x, y, 1) of the first image to (x, y) of the second;
            None where there are no inliers.
    """

    inliers: np.ndarray
    affine: np.ndarray | None

    @property
    def count(self) -> int:
        """Number of inliers."""
        return int(self.inliers.sum())


def match_descriptors(
    a: np.ndarray,
    b: np.ndarray,
    max_distance: float | None = None,
    ratio: float | None = None,
    mutual: bool = False,
) -> np.ndarray:
    """Match each descriptor of `a` to its nearest in `b`, exactly.

    Args:
        a: float [N, D].
        b: float [M, D].
        max_distance: largest Euclidean distance of a match (inclusive).
        ratio: the nearest must be nearer than this share of the distance to the second nearest
            (Lowe, IJCV 2004); a lone descriptor in `b` passes.
        mutual: both must be nearest to each other. Of equal distances the lower index counts.

    Returns:
        int64 [K, 2], indices into `a` and `b`, sorted by the first.
    """
    if not len(a) or not len(b):
        return np.zeros((0, 2), dtype=np.int64)
    squares = _squared_distances(a, b)
    nearest = squares.argmin(axis=1)
    rows = np.arange(len(a))
    best = squares[rows, nearest]
    keep = np.ones(len(a), dtype=bool)
    if max_distance is not None:
        keep &= best <= max_distance**2
    if mutual:
        keep &= squares.argmin(axis=0)[nearest] == rows
    if ratio is not None and len(b) > 1:
        squares[rows, nearest] = np.inf
        keep &= best < ratio**2 * squares.min(axis=1)
    return np.stack([rows, nearest], axis=1)[keep]


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return float64 [N, M]; double precision keeps equal descriptors at (nearly) zero."""
    a = np.asarray(a, dtype=np.float64)
    b = np.asarray(b, dtype=np.float64)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.maximum(squares, 0, out=squares)


def verify(
    locations_a: np.ndarray,
    locations_b: np.ndarray,
    settings: VerifySettings = VerifySettings(),  # noqa: B008 (frozen)
    frames: Frames = Frames(),  # noqa: B008 (frozen)
) -> Verification:
    """Find the affine map that most matches agree with, by RANSAC.

    OpenCV's RANSAC with local optimisation (USAC, after Raguram et al., PAMI 2013): where one match
    in ten is right it finds the map in the same time about twice as often as without. The same
    matches in the same order always give the same result, in any thread or process: the generator
    starts anew in every call.

    Args:
        locations_a: float [M, 2], (y, x) in pixels of the first image.
        locations_b: float [M, 2], (y, x) of the matched points in the second.
        settings: thresholds.
        frames: how large the images are: `settings.max_scale` is meant for images of one size; of
            photos whose sizes are known it may hold for their pixels instead.

    Returns:
        The inliers. None are left where the matches fix no affine map: fewer than three, all on a
        line, all in one point.
    """
    nothing = Verification(np.zeros(len(locations_a), dtype=bool), None)
    if len(locations_a) < MINIMAL_MATCHES:
        return nothing
    affine, mask = cv2.estimateAffine2D(
        np.ascontiguousarray(locations_a[:, ::-1], dtype=np.float64),
        np.ascontiguousarray(locations_b[:, ::-1], dtype=np.float64),
        method=cv2.USAC_FAST,
        ransacReprojThreshold=_threshold(settings, frames),
        maxIters=settings.max_trials,
        confidence=settings.confidence,
        refineIters=0,  # the sampler has optimised the map over its inliers already
    )
    if affine is None or not np.isfinite(affine).all():
        return nothing
    inliers = mask.ravel().astype(bool)
    # Photos of one thing are compared by their sizes; one that was cut out of the other keeps its
    # pixels, however much smaller it is.
    sizes = {frames.relative_size, 1.0 if frames.diagonal else frames.relative_size}
    plausible = any(_plausible(affine / size, settings.max_scale) for size in sizes)
    if inliers.sum() < MINIMAL_MATCHES or not plausible:
        return nothing
    return Verification(inliers, affine)


def _threshold(settings: VerifySettings, frames: Frames) -> float:
    """Return the threshold in pixels of the second image."""
    if not settings.diagonal or frames.diagonal is None:
        return settings.threshold
    return settings.threshold * frames.diagonal / settings.diagonal


def _plausible(affine: np.ndarray, max_scale: float) -> bool:
    largest, smallest = np.linalg.svd(affine[:, :2], compute_uv=False)
    if smallest < 1e-6 or not max_scale:
        return bool(smallest >= 1e-6)
    mirrors = np.linalg.det(affine[:, :2]) < 0
    return bool(not mirrors and largest <= max_scale and smallest >= 1 / max_scale)
