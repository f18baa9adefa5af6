"""Ranking the images of an index for one query: votes, a shortlist, affine RANSAC, expansion.

Each query descriptor votes for the images of its nearest descriptors, by how much nearer they are
than the first one that has no vote: the distance to the neighbour after the last stands for what
is found by chance, as in local naive Bayes nearest neighbours (McCann and Lowe, CVPR 2012). The
best images are verified by RANSAC, and the votes that agree on one affine map count again. The
votes of the best verified images are added to those of the query (query expansion, Chum et al.,
ICCV 2007). `docs/ranking.md` has what each step gives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import faiss
import numpy as np

from src.common.errors import UserError
from src.feature_io import Features
from src.index.build import Index
from src.ranking.geometry import Verification, VerifySettings, extent, verify

#: Descriptors searched in one call. A part of the result: the last bits of a distance may depend
#: on it, while the number of threads only says how many such calls run at once.
SEARCH_BLOCK = 256
#: A squared distance of two descriptors of unit length below which they are the same.
SAME_DESCRIPTOR = 1e-4


@dataclass(frozen=True)
class RetrievalSettings:
    """How a query is ranked.

    Attributes:
        neighbours: nearest descriptors of the index that each query descriptor votes for.
        single_match: a query feature votes once for an image, for its nearest feature there, so
            that it is not its own witness when many alike lie side by side.
        shortlist: most images that are verified, those with the most votes; 0 = every voted one.
        inlier_weight: how many times the votes of inliers count beyond the first time.
        expansion_images: most images whose votes are added to the query's; 0 = none.
        expansion_inliers: an image needs as many inliers for that.
        expansion_features: most features that such an image votes with.
        by_inliers: rank as published, by the number of inliers, then by the number of votes.
        verify: how the matches of a voted image are verified.

    Raises:
        UserError: when one of the numbers makes no sense.
    """

    neighbours: int = 60
    single_match: bool = True
    shortlist: int = 100
    inlier_weight: float = 2.0
    expansion_images: int = 3
    expansion_inliers: int = 25
    expansion_features: int = 200
    by_inliers: bool = False
    verify: VerifySettings = field(default_factory=VerifySettings)

    def __post_init__(self) -> None:
        lowest = {
            "neighbours": 1,
            "shortlist": 0,
            "inlier_weight": 0,
            "expansion_images": 0,
            "expansion_inliers": 0,
            "expansion_features": 1,
        }
        for name, bound in lowest.items():
            if not getattr(self, name) >= bound:
                raise UserError(f"{name} is {getattr(self, name)}; give at least {bound}")

    @classmethod
    def plain(cls) -> RetrievalSettings:
        """Return the settings of the published retrieval: inliers alone, of any map."""
        return cls(
            single_match=False,
            shortlist=0,
            expansion_images=0,
            by_inliers=True,
            verify=VerifySettings(max_scale=0),
        )

    @classmethod
    def from_config(cls, config: Any) -> RetrievalSettings:
        """Take what concerns the ranking out of the configuration."""
        if config.plain_ranking:
            settings = cls.plain()
        else:
            settings = cls(
                shortlist=config.shortlist,
                inlier_weight=config.inlier_weight,
                expansion_images=config.expansion_images,
                expansion_inliers=config.expansion_inliers,
                expansion_features=config.expansion_features,
            )
        verify = replace(
            settings.verify, threshold=config.inlier_threshold, max_trials=config.ransac_trials
        )
        return replace(settings, neighbours=config.num_neighbors, verify=verify)


@dataclass(frozen=True)
class RankedQuery:
    """The result of one query.

    Attributes:
        ranks: int32 [images], all image indices, best first.
        scores: float64 [images], by image index; `ranks` sorts them, equal ones by index.
        inliers: int32 [images], by image index; 0 where an image was not verified.
        votes: int32 [images], matches by image index.
        seconds: time for the nearest neighbours, and for voting, verification and expansion.
    """

    ranks: np.ndarray
    scores: np.ndarray
    inliers: np.ndarray
    votes: np.ndarray
    seconds: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Votes:
    """The matches of a query with all images, sorted by image, then by the query's feature.

    Attributes:
        from_query: int64 [M], rows of the query's features.
        from_index: int64 [M], rows of the index.
        images: int32 [M], the image of each.
        distances: float32 [M], squared, of the descriptors.
        weights: float64 [M], how much nearer than the first neighbour without a vote.
        image_count: number of images in the index.
    """

    from_query: np.ndarray
    from_index: np.ndarray
    images: np.ndarray
    distances: np.ndarray
    weights: np.ndarray
    image_count: int

    def of(self, image: int) -> slice:
        """Return where the matches of an image are."""
        return slice(*np.searchsorted(self.images, [image, image + 1]))

    def counts(self) -> np.ndarray:
        """Return the number of matches, int64 [images]."""
        return np.bincount(self.images, minlength=self.image_count)

    def totals(self) -> np.ndarray:
        """Return the sum of the weights, float64 [images]."""
        return np.bincount(self.images, self.weights, minlength=self.image_count)


def rank_images(
    index: Index,
    features: Features,
    settings: RetrievalSettings = RetrievalSettings(),  # noqa: B008 (frozen)
    threads: int = 1,
) -> RankedQuery:
    """Rank all images of an index for one query, which need not be in it.

    An image's score is Σ w over its matches, plus `inlier_weight` · Σ w over those that are
    inliers, plus the same first sum for each image the query is expanded by. No image that was
    not verified passes a verified one but by expansion. A query without features leaves the images
    in the order of the index.

    Args:
        index: the index.
        features: the query's.
        settings: how to rank.
        threads: how many to use; the result does not depend on it.

    Raises:
        UserError: when the descriptors are not as long as those of the index.
    """
    start = time.perf_counter()
    with _thread_pool(threads) as pool:
        votes = cast_votes(index, features, settings, pool)
        searched = time.perf_counter()
        verified = verifyshortlist(index, features, votes, settings, pool)
        inliers = np.zeros(index.image_count, dtype=np.int32)
        for image, found in verified.items():
            inliers[image] = found.count
        counts = votes.counts()
        if settings.by_inliers:
            scores = inliers + counts / (1.0 + counts.max(initial=0))
        else:
            scores = votes.totals()
            for image, found in verified.items():
                agreeing = votes.weights[votes.of(image)][found.inliers]
                scores[image] += settings.inlier_weight * agreeing.sum()
        if settings.expansion_images:
            chosen = _images_to_expand_by(scores, votes, verified, settings)
            for image in chosen:
                rows = _rows_around(index, votes, image, verified[image], settings)
                scores += _votes_of_rows(index, image, rows, settings, pool)
    ranks = np.argsort(-scores, kind="stable").astype(np.int32)
    seconds = (searched - start, time.perf_counter() - searched)
    return RankedQuery(ranks, scores, inliers, counts.astype(np.int32), seconds)


def search_votes(
    index: Index, features: Features, settings: RetrievalSettings, threads: int = 1
) -> Votes:
    """Search an index for one query and return its matches with all images."""
    with _thread_pool(threads) as pool:
        return cast_votes(index, features, settings, pool)


# ---------------------------------------------------------------- votes


def cast_votes(
    index: Index, features: Features, settings: RetrievalSettings, pool: ThreadPoolExecutor
) -> Votes:
    """Find the images that the query's descriptors vote for.

    Raises:
        UserError: when the descriptors are not as long as those of the index.
    """
    if len(features) and features.dimension != index.dimension:
        raise UserError(
            f"the query's descriptors have {features.dimension} dimensions, those of the index "
            f"{index.folder} have {index.dimension}; extract both with the same settings"
        )
    return _votes(index, features.descriptors, settings, pool)


def _votes(
    index: Index, descriptors: np.ndarray, settings: RetrievalSettings, pool: ThreadPoolExecutor
) -> Votes:
    k = settings.neighbours
    blocks = [
        descriptors[start : start + SEARCH_BLOCK]
        for start in range(0, len(descriptors), SEARCH_BLOCK)
    ]
    found = list(pool.map(lambda block: index.nearest(block, k + 1), blocks))
    if not found:
        nothing = np.zeros(0, dtype=np.int64)
        return Votes(*(nothing,) * 2, *(nothing.astype(t) for t in "iff"), index.image_count)
    distances, rows = (np.concatenate(parts) for parts in zip(*found))
    # In an index of no more than k features the farthest one stands for chance.
    exists = rows >= 0
    chance = np.where(exists, distances, -np.inf).max(axis=1)
    from_query, column = np.nonzero(exists[:, :k])
    from_index = rows[from_query, column]
    distances = distances[from_query, column]
    images = index.image_of[from_index]
    # Stable: of a feature's matches in one image the nearest stays first.
    order = np.argsort(images.astype(np.int64) * len(descriptors) + from_query, kind="stable")
    if settings.single_match:
        again = (np.diff(images[order]) == 0) & (np.diff(from_query[order]) == 0)
        order = order[np.concatenate([[True], ~again])] if len(order) else order
    from_query, distances = from_query[order], distances[order]
    weights = np.maximum(chance[from_query].astype(np.float64) - distances, 0)
    return Votes(
        from_query, from_index[order], images[order], distances, weights, index.image_count
    )


# ---------------------------------------------------------------- verification


def verifyshortlist(
    index: Index,
    features: Features,
    votes: Votes,
    settings: RetrievalSettings,
    pool: ThreadPoolExecutor,
) -> dict[int, Verification]:
    """Verify the images with the most votes; those with inliers are returned, by image."""
    images = shortlist(votes, settings).tolist()
    found = pool.map(lambda image: verify_image(index, features, votes, image, settings), images)
    return {image: one for image, one in zip(images, found) if one.count}


def shortlist(votes: Votes, settings: RetrievalSettings) -> np.ndarray:
    """Return the images to verify, int64, the most promising first."""
    totals = votes.counts() if settings.by_inliers else votes.totals()
    order = np.argsort(-totals, kind="stable")
    order = order[votes.counts()[order] > 0]
    return order[: settings.shortlist] if settings.shortlist else order


def verify_image(
    index: Index, features: Features, votes: Votes, image: int, settings: RetrievalSettings
) -> Verification:
    """Verify the matches of a query with one image."""
    at = votes.of(image)
    return verify(
        features.locations[votes.from_query[at]],
        index.locations[votes.from_index[at]],
        settings.verify,
        index.extents[image] / extent(features.locations),
    )


# ---------------------------------------------------------------- expansion


def _images_to_expand_by(
    scores: np.ndarray,
    votes: Votes,
    verified: dict[int, Verification],
    settings: RetrievalSettings,
) -> list[int]:
    """Return the best images that are verified beyond doubt, without the query itself."""
    chosen = []
    for image in sorted(verified, key=lambda image: (-scores[image], image)):
        if len(chosen) == settings.expansion_images:
            break
        itself = np.median(votes.distances[votes.of(image)]) < SAME_DESCRIPTOR
        if verified[image].count >= settings.expansion_inliers and not itself:
            chosen.append(image)
    return chosen


def _rows_around(
    index: Index, votes: Votes, image: int, found: Verification, settings: RetrievalSettings
) -> np.ndarray:
    """Return rows of an image's features, int64, that lie in the box around its inliers.

    Of more than `expansion_features` an even sample.
    """
    inliers = index.locations[votes.from_index[votes.of(image)][found.inliers]]
    start, end = index.offsets[image : image + 2]
    locations = index.locations[start:end]
    inside = (locations >= inliers.min(axis=0)) & (locations <= inliers.max(axis=0))
    rows = start + np.flatnonzero(inside.all(axis=1))
    if len(rows) <= settings.expansion_features:
        return rows
    even = np.arange(settings.expansion_features) * len(rows) // settings.expansion_features
    return rows[even]


def _votes_of_rows(
    index: Index,
    image: int,
    rows: np.ndarray,
    settings: RetrievalSettings,
    pool: ThreadPoolExecutor,
) -> np.ndarray:
    """Return the sum of the weights by image that features of `image` vote for, itself without."""
    start, end = index.offsets[image : image + 2]
    descriptors = np.ascontiguousarray(index.descriptors[start:end][rows - start])
    totals = _votes(index, descriptors, settings, pool).totals()
    totals[image] = 0
    return totals


@contextmanager
def _thread_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads in which FAISS keeps to one thread each."""
    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        yield pool
