"""Votes: which images of an index the descriptors of a query vote for, and how much.

Each query descriptor votes for the images of its nearest descriptors, by how much nearer they are
than the first one that has no vote: the distance to the neighbour after the last stands for what
is found by chance, as in local naive Bayes nearest neighbours (McCann and Lowe, CVPR 2012).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np

from src.feature_io import Features
from src.index.folder import Index
from src.index.part import IndexPart
from src.ranking.settings import RetrievalSettings

#: Descriptors searched in one call. A part of the result: the last bits of a distance may depend
#: on it, while the number of threads only says how many such calls run at once.
SEARCH_BLOCK = 256


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


def search_votes(
    index: Index | IndexPart, features: Features, settings: RetrievalSettings, threads: int = 1
) -> Votes:
    """Search an index for one query and return its matches with all images.

    Raises:
        UserError: when its descriptors are not as long as those of the index.
    """
    with thread_pool(threads) as pool:
        return cast_votes(index, features.descriptors, settings, pool)


def cast_votes(
    index: Index | IndexPart,
    descriptors: np.ndarray,
    settings: RetrievalSettings,
    pool: ThreadPoolExecutor,
) -> Votes:
    """Find the images that descriptors, float32 [N, D], vote for.

    Raises:
        UserError: when they are not as long as those of the index.
    """
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
    images = index.images_of(from_index)
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


@contextmanager
def thread_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads in which FAISS keeps to one thread each."""
    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        yield pool
