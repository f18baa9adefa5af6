"""Query expansion: the best verified images vote, too (Chum et al., ICCV 2007)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np

from src.feature_io import Features
from src.index.folder import Index
from src.index.part import IndexPart
from src.ranking.geometry import Verification
from src.ranking.settings import RetrievalSettings
from src.ranking.votes import Votes, cast_votes

#: A squared distance of two descriptors of unit length below which they are the same.
SAME_DESCRIPTOR = 1e-4


def expanded(
    scores: np.ndarray,
    index: Index | IndexPart,
    features: Features,
    votes: Votes,
    verified: dict[int, Verification],
    settings: RetrievalSettings,
    pool: ThreadPoolExecutor,
) -> np.ndarray:
    """Return the scores with the votes of the best verified images added, float64 [images].

    Args:
        scores: float64 [images], of the query alone.
        index: the index.
        features: of the query.
        votes: of the query.
        verified: image → its inliers.
        settings: how many images, and with how many features each.
        pool: threads to search in.
    """
    scores = scores.copy()
    for image in _images_to_expand_by(scores, index, features, votes, verified, settings):
        rows = _rows_around(index, votes, image, verified[image], settings)
        scores += _votes_of_rows(index, image, rows, settings, pool)
    return scores


def _images_to_expand_by(
    scores: np.ndarray,
    index: Index | IndexPart,
    features: Features,
    votes: Votes,
    verified: dict[int, Verification],
    settings: RetrievalSettings,
) -> list[int]:
    """Return the best images that are verified beyond doubt, without the query itself."""
    chosen = []
    for image in sorted(verified, key=lambda image: (-scores[image], image)):
        if len(chosen) == settings.expansion_images:
            break
        if verified[image].count < settings.expansion_inliers:
            continue
        if not _is_the_query(index, features, votes, image):
            chosen.append(image)
    return chosen


def _is_the_query(index: Index | IndexPart, features: Features, votes: Votes, image: int) -> bool:
    """Whether an image holds most of those descriptors of the query that vote for it.

    They are looked for among the image's own as they are stored. The distances of the votes do not
    tell: a compressed index finds even a descriptor that it holds at some distance.
    """
    voting = np.unique(votes.from_query[votes.of(image)])
    start, end = index.offsets[image : image + 2]
    squares, _ = faiss.knn(features.descriptors[voting], index.descriptors[start:end], 1)
    return bool(np.median(squares) < SAME_DESCRIPTOR)


def _rows_around(
    index: Index | IndexPart,
    votes: Votes,
    image: int,
    found: Verification,
    settings: RetrievalSettings,
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
    index: Index | IndexPart,
    image: int,
    rows: np.ndarray,
    settings: RetrievalSettings,
    pool: ThreadPoolExecutor,
) -> np.ndarray:
    """Return the sum of the weights by image that features of `image` vote for, itself without."""
    start, end = index.offsets[image : image + 2]
    descriptors = np.ascontiguousarray(index.descriptors[start:end][rows - start])
    totals = cast_votes(index, descriptors, settings, pool).totals()
    totals[image] = 0
    return totals
