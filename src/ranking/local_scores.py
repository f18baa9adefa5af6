"""What local features say of images: votes, a shortlist, affine RANSAC, expansion."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from src.feature_io import Features
from src.index.folder import Index
from src.index.part import IndexPart
from src.ranking.expansion import expanded
from src.ranking.settings import RetrievalSettings
from src.ranking.shortlist import verify_shortlist
from src.ranking.votes import cast_votes

#: Inliers by which an image is taken to fit a query that was turned.
TURN_INLIERS = 15


class LocalScores(NamedTuple):
    """What local features of a query say of each image.

    Attributes:
        scores: float64 [images].
        inliers: int32 [images]; 0 where an image was not verified.
        votes: int32 [images], matches.
        seconds: time for the nearest neighbours, and for all else.
    """

    scores: np.ndarray
    inliers: np.ndarray
    votes: np.ndarray
    seconds: tuple[float, float]


def local_scores(
    index: Index | IndexPart,
    features: Features,
    settings: RetrievalSettings,
    pool: ThreadPoolExecutor,
) -> LocalScores:
    """Return what the local features of a query say of the images of an index.

    Raises:
        UserError: when the descriptors are not as long as those of the index.
    """
    start = time.perf_counter()
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
    seconds = (searched - start, time.perf_counter() - searched)
    return LocalScores(scores, inliers, counts.astype(np.int32), seconds)


def of_best_turn(by_turn: list[LocalScores]) -> tuple[LocalScores, np.ndarray]:
    """Return for each image what the turn of the query says that gives it the highest score.

    The first turn is the query upright. Another counts for an image only where `TURN_INLIERS`
    verify it: what chance votes for is three times as much in three more turns. Of equal scores the
    first turn counts.

    Returns:
        That, and int8 [images], the number of the turn in the list.
    """
    counting = [
        np.where(each.inliers >= (TURN_INLIERS if turn else 0), each.scores, 0.0)
        for turn, each in enumerate(by_turn)
    ]
    turns = np.argmax(counting, axis=0)
    images = np.arange(len(turns))
    best = (
        np.stack([getattr(each, name) for each in by_turn])[turns, images]
        for name in ("scores", "inliers", "votes")
    )
    seconds = tuple(float(spent) for spent in np.sum([each.seconds for each in by_turn], axis=0))
    return LocalScores(*best, seconds), turns.astype(np.int8)
