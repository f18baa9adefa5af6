"""The first of two stages: the images whose global descriptors are most like the query's.

Voting with every local feature of an index costs the more the more images it has. In two stages
only the features of the images that look most like the query as a whole are read, matched exactly
among themselves, verified and fused as always; all other images rank behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.feature_io import Features
from src.index.folder import AnyIndex
from src.index.part import IndexPart, Similar
from src.ranking.fusion import best_similarities, fused, refined_images
from src.ranking.settings import RetrievalSettings


@dataclass(frozen=True)
class Candidates:
    """What of an index is looked at for a query.

    Attributes:
        images: int64 [K], numbers of the images in the index, ascending.
        part: these images by themselves; local features only of the candidates among them.
        refined: `refined_images` of these images; None where not all of them are refined.
    """

    images: np.ndarray
    part: IndexPart
    refined: np.ndarray | None = None

    def position(self, image: int) -> int | None:
        """Return the number of an image in the part; None where it is not in there."""
        position = int(np.searchsorted(self.images, image))
        is_there = position < len(self.images) and self.images[position] == image
        return position if is_there else None

    def spread(self, values: np.ndarray, images: int, rest: float = 0) -> np.ndarray:
        """Return values of the images of the part for all images of the index, `rest` for others.

        Args:
            values: [K].
            images: number of images in the index.
            rest: value of the others.
        """
        spread = np.full(images, rest, dtype=values.dtype)
        spread[self.images] = values
        return spread


def find_candidates(
    index: AnyIndex, by_turn: Sequence[Features], settings: RetrievalSettings
) -> Candidates | None:
    """Return what of an index is looked at; None: all of it, in one stage.

    Args:
        index: the index.
        by_turn: features of the query, upright first.
        settings: `search_kind`, `candidate_images` and `rerank_images`.

    Raises:
        UserError: the index can be searched in two stages only, and settings or query do not
            allow that.
        DamagedFeaturesError: the features of a candidate cannot be read.
    """
    whole = [each.global_descriptor for each in by_turn if each.global_descriptor is not None]
    if not whole and index.is_two_stage and not any(map(len, by_turn)):  # nothing to ask by
        nothing = Similar(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
        return Candidates(nothing.images, index.part(nothing, np.zeros(0, dtype=bool)))
    if not settings.is_two_stage(index, bool(whole)):
        return None
    whole = np.stack(whole)
    similar = index.similar(whole, max(settings.candidate_images, settings.rerank_images))
    refined = None
    if 0 < len(similar.images) <= settings.rerank_images:
        refined = refined_images(similar.globals, index.image_count)
    featured = np.zeros(len(similar.images), dtype=bool)
    featured[_most_alike(similar, whole, settings, index.image_count, refined)] = True
    return Candidates(similar.images, index.part(similar, featured), refined)


def _most_alike(
    similar: Similar,
    whole: np.ndarray,
    settings: RetrievalSettings,
    collection: int,
    refined: np.ndarray | None,
) -> np.ndarray:
    """Return the candidates among similar images, by global descriptors refined as in the fusion.

    Args:
        similar: the images.
        whole: float32 [R, G], global descriptors of the query, upright first.
        settings: `candidate_images` says how many.
        collection: number of images in the index.
        refined: `refined_images` of these.

    Returns:
        int64, their positions, the most similar first.
    """
    nothing = np.zeros(len(similar.images))
    similarities = best_similarities(similar.globals, whole)
    scores = fused(nothing, whole, similar.globals, settings, similarities, collection, refined)
    return np.argsort(-scores, kind="stable")[: settings.candidate_images]
