"""Some images of an index, in memory and searched exactly: the second of two stages.

Nothing here grows with the number of images of the index that they are taken from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np

from src.index.neighbours import checked_queries, in_order


class Similar(NamedTuple):
    """The images whose global descriptors are most like a query's.

    Attributes:
        images: int64 [K], their numbers, ascending.
        globals: float32 [K, G], their global descriptors.
    """

    images: np.ndarray
    globals: np.ndarray


class LocalFeatures(NamedTuple):
    """The local features of an image, as an index has them.

    Attributes:
        descriptors: float32 [N, D].
        locations: float32 [N, 2], (y, x).
        extent: `image_table.extent` of the locations.
        size: (height, width) of the photo; 0 where it is not known.
    """

    descriptors: np.ndarray
    locations: np.ndarray
    extent: float
    size: tuple[int, int]


@dataclass(frozen=True)
class IndexPart:
    """Images of an index, which ranking takes for an index; numbers of images count in it.

    Attributes:
        folder: of the index.
        offsets: int64 [K + 1]; the features of image i are rows offsets[i]:offsets[i + 1].
        descriptors: float32 [features, D].
        locations: float32 [features, 2].
        extents: float64 [K].
        sizes: int32 [K, 2].
        globals: float32 [K, G].
    """

    folder: Path
    offsets: np.ndarray
    descriptors: np.ndarray
    locations: np.ndarray
    extents: np.ndarray
    sizes: np.ndarray
    globals: np.ndarray

    @classmethod
    def of(
        cls,
        folder: Path,
        dimension: int,
        similar: Similar,
        featured: np.ndarray,
        features_of: Callable[[int], LocalFeatures],
    ) -> IndexPart:
        """Put images together.

        Args:
            folder: of the index.
            dimension: length D of a descriptor.
            similar: the images.
            featured: bool [K], those whose local features are to be compared.
            features_of: reads these of an image, by its number.
        """
        features = [
            features_of(image) if wanted else None
            for image, wanted in zip(similar.images.tolist(), featured)
        ]
        count = len(features)
        there = [each for each in features if each is not None and len(each.descriptors)]
        extents, sizes = np.ones(count), np.zeros((count, 2), dtype=np.int32)
        counts = np.zeros(count, dtype=np.int64)
        for position, each in enumerate(features):
            if each is not None:
                counts[position] = len(each.descriptors)
                extents[position], sizes[position] = each.extent, each.size
        nothing = [np.zeros((0, dimension), dtype=np.float32), np.zeros((0, 2), dtype=np.float32)]
        rows = [
            np.concatenate([none, *parts])
            for none, parts in zip(
                nothing, ([f.descriptors for f in there], [f.locations for f in there])
            )
        ]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(folder, offsets, *rows, extents, sizes, similar.globals)

    @property
    def image_count(self) -> int:
        """Number of images, those without features included."""
        return len(self.offsets) - 1

    def images_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the image of each of some features, int32 [N], by their rows, int64 [N]."""
        return (np.searchsorted(self.offsets, rows, side="right") - 1).astype(np.int32)

    def nearest(self, descriptors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest features; as `Index.nearest`, exactly."""
        queries = checked_queries(descriptors, self.descriptors.shape[1], self.folder, k)
        if not len(queries) or not len(self.descriptors):
            shape = len(queries), k
            return np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int64)
        squares, rows = faiss.knn(queries, self.descriptors, min(k, len(self.descriptors)))
        return in_order(squares, rows, k)
