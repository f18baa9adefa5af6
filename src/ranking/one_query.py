"""Ranking the images of an index for one query: what local features and global descriptors say.

In large collections the images that look like the query as a whole come first (`candidates`).
The images with the most votes (`votes`) are verified by RANSAC (`shortlist`, `geometry`), and the
votes that agree on one affine map count again. The votes of the best verified images are added to
those of the query (`expansion`; all of this: `local_scores`). Where query and images have global
descriptors, both count (`fusion`). `docs/ranking.md` has what each step gives.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.feature_io import Features
from src.index.folder import AnyIndex, Index
from src.index.part import IndexPart
from src.ranking.candidates import find_candidates
from src.ranking.fusion import best_similarities, fused
from src.ranking.local_scores import local_scores, of_best_turn
from src.ranking.settings import RetrievalSettings
from src.ranking.votes import thread_pool


@dataclass(frozen=True)
class RankedQuery:
    """The result of one query.

    Attributes:
        ranks: int32 [images], all image indices, best first.
        scores: float64 [images], by image index; `ranks` sorts them, equal ones by index.
        inliers: int32 [images], by image index; 0 where an image was not verified.
        votes: int32 [images], matches by image index.
        turns: int8 [images], which of the turns of the query matches the image best.
        similarities: float32 [images], cosines of the global descriptors, that of the best turn; 0
            where query or image have none.
        seconds: time for the nearest neighbours, and for voting, verification and expansion.
    """

    ranks: np.ndarray
    scores: np.ndarray
    inliers: np.ndarray
    votes: np.ndarray
    turns: np.ndarray
    similarities: np.ndarray
    seconds: tuple[float, float] = (0.0, 0.0)


def rank_images(
    index: AnyIndex,
    features: Features | Sequence[Features],
    settings: RetrievalSettings = RetrievalSettings(),  # noqa: B008 (frozen)
    threads: int = 1,
) -> RankedQuery:
    """Rank all images of an index for one query, which need not be in it.

    An image's score is Σ w over its matches, plus `inlier_weight` · Σ w over those that are
    inliers, plus the same first sum for each image the query is expanded by. No image that was
    not verified passes a verified one but by expansion or by its global descriptor. Global
    descriptors count as `fusion.fused` says. A query without either leaves the images in the order
    of the index, and so do, behind all others, images that a search in two stages does not look at.

    Args:
        index: the index.
        features: the query's; or those of the query and of the same turned (`turning`), upright
            first: for each image the turn counts that gives it the highest score.
        settings: how to rank.
        threads: how many to use; the result does not depend on it.

    Raises:
        UserError: when the descriptors are not as long as those of the index, or it can be searched
            in two stages only and settings or query do not allow that.
    """
    by_turn = [features] if isinstance(features, Features) else list(features)
    count = index.image_count
    settings = settings.fitted(index, by_turn[0])
    chosen = find_candidates(index, by_turn, settings)
    if chosen is None:
        return _ranked(index, by_turn, settings, threads, count)
    found = _ranked(chosen.part, by_turn, settings, threads, count, chosen.refined)
    # Not looked at, less like the query than any: no cosine is below -1.
    scores = chosen.spread(found.scores, count, -settings.global_weight)
    rest = (found.inliers, found.votes, found.turns, found.similarities)
    spread = (chosen.spread(each, count) for each in rest)
    ranks = np.argsort(-scores, kind="stable").astype(np.int32)
    return RankedQuery(ranks, scores, *spread, found.seconds)


def _ranked(
    part: Index | IndexPart,
    by_turn: Sequence[Features],
    settings: RetrievalSettings,
    threads: int,
    collection: int,
    refined: np.ndarray | None = None,
) -> RankedQuery:
    """Rank the images of an index, or of a part of one that has `collection` images."""
    with thread_pool(threads) as pool:
        local, turns = of_best_turn([local_scores(part, each, settings, pool) for each in by_turn])
    start = time.perf_counter()
    scores = local.scores
    whole = [each.global_descriptor for each in by_turn if each.global_descriptor is not None]
    similarities = np.zeros(part.image_count)
    if whole and part.globals.size:
        whole = np.stack(whole)
        similarities = best_similarities(part.globals, whole)
    if settings.global_weight:
        scores = fused(scores, whole, part.globals, settings, similarities, collection, refined)
    similarities = similarities.astype(np.float32)
    ranks = np.argsort(-scores, kind="stable").astype(np.int32)
    searched, rest = local.seconds
    seconds = (searched, rest + time.perf_counter() - start)
    return RankedQuery(ranks, scores, local.inliers, local.votes, turns, similarities, seconds)
