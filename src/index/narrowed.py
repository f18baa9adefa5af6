"""Some images of an index, searched exactly and by themselves: the second of two stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import faiss
import numpy as np

from src.index.folder import Index


@dataclass(frozen=True)
class NarrowedIndex(Index):
    """An index of which only some images have neighbours to offer; all else is as it was.

    Only what these images have is read: nothing here grows with the number of images but what the
    index knows of each.

    Attributes:
        rows: int64 [R], the rows of these images.
        near: float32 [R, D], their descriptors.
    """

    rows: np.ndarray
    near: np.ndarray

    @classmethod
    def of(cls, index: Index, images: Sequence[int]) -> NarrowedIndex:
        """Narrow an index to some of its images.

        Raises:
            DamagedError: what had to be read of it is not what was written.
        """
        spans = [index.offsets[image : image + 2].tolist() for image in sorted(images)]
        rows = [np.arange(start, end) for start, end in spans]
        near = [index.descriptors[start:end] for start, end in spans if end > start]
        return cls(
            **{field.name: getattr(index, field.name) for field in fields(Index)},
            rows=np.concatenate(rows).astype(np.int64) if rows else np.zeros(0, np.int64),
            near=np.concatenate(near) if near else np.zeros((0, index.dimension), np.float32),
        )

    def _in_lists(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return self._in_all(queries, k)

    def _in_all(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        squares, places = faiss.knn(queries, self.near, min(k, len(self.near)))
        return [(squares, self.rows[places])]

    def _numbered(self, stored: np.ndarray) -> np.ndarray:
        return stored
