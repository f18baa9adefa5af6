"""The first of two stages: the images whose global descriptors are most like the query's.

Voting with every local feature of an index costs the more the more images it has. In two stages
only the features of the images that look most like the query as a whole are read, matched exactly
among themselves, verified and fused as always.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from src.feature_io import Features
from src.index.folder import Index
from src.index.narrowed import NarrowedIndex
from src.ranking.fusion import best_similarities, fused
from src.ranking.settings import RetrievalSettings


def searched_part(index: Index, by_turn: Sequence[Features], settings: RetrievalSettings) -> Index:
    """Return what local features are looked for in: the index, or its most similar images.

    Args:
        index: the index.
        by_turn: features of the query, upright first.
        settings: `search_kind` and `candidate_images`.
    """
    whole = [each.global_descriptor for each in by_turn if each.global_descriptor is not None]
    if not whole or not settings.is_two_stage(index):
        return index
    return NarrowedIndex.of(index, candidates(index, np.stack(whole), settings))


def candidates(index: Index, whole: np.ndarray, settings: RetrievalSettings) -> np.ndarray:
    """Return the images most like a query by their global descriptors, refined as in the fusion.

    Args:
        index: the index.
        whole: float32 [R, G], global descriptors of the query, upright first.
        settings: `candidate_images` says how many.

    Returns:
        int64, the most similar first.
    """
    nothing = np.zeros(index.image_count)
    similarities = best_similarities(index.globals, whole)
    scores = fused(nothing, whole, index.globals, settings, similarities)
    return np.argsort(-scores, kind="stable")[: settings.candidate_images]
