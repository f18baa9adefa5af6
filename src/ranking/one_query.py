"""Ranking the images of an index for one query: votes, a shortlist, affine RANSAC, expansion, and
what global descriptors say.

The images with the most votes (`votes`) are verified by RANSAC (`shortlist`, `geometry`), and the
votes that agree on one affine map count again. The votes of the best verified images are added to
those of the query (`expansion`). Where query and images have global descriptors, both count
(`fusion`). `docs/ranking.md` has what each step gives.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from src.feature_io import Features
from src.index.folder import Index
from src.ranking.expansion import expanded
from src.ranking.fusion import fused
from src.ranking.settings import RetrievalSettings
from src.ranking.shortlist import verify_shortlist
from src.ranking.votes import cast_votes, thread_pool


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


def rank_images(
    index: Index,
    features: Features,
    settings: RetrievalSettings = RetrievalSettings(),  # noqa: B008 (frozen)
    threads: int = 1,
) -> RankedQuery:
    """Rank all images of an index for one query, which need not be in it.

    An image's score is Σ w over its matches, plus `inlier_weight` · Σ w over those that are
    inliers, plus the same first sum for each image the query is expanded by. No image that was
    not verified passes a verified one but by expansion or by its global descriptor. Global
    descriptors count as `fusion.fused` says. A query without either leaves the images in the order
    of the index.

    Args:
        index: the index.
        features: the query's.
        settings: how to rank.
        threads: how many to use; the result does not depend on it.

    Raises:
        UserError: when the descriptors are not as long as those of the index.
    """
    start = time.perf_counter()
    settings = settings.fitted(index, features)
    with thread_pool(threads) as pool:
        votes = cast_votes(index, features.descriptors, settings, pool)
        searched = time.perf_counter()
        verified = verify_shortlist(index, features, votes, settings, pool)
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
        scores = expanded(scores, index, features, votes, verified, settings, pool)
    if settings.global_weight:
        scores = fused(scores, features.global_descriptor[None], index.globals, settings)
    ranks = np.argsort(-scores, kind="stable").astype(np.int32)
    seconds = (searched - start, time.perf_counter() - searched)
    return RankedQuery(ranks, scores, inliers, counts.astype(np.int32), seconds)
