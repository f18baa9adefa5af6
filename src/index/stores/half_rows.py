"""Rows of float16 in a file: what is taken out has been compared with its sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from src.index.summed_files import SummedFile


class HalfRows:
    """Rows of a file, float16 [rows, width], taken out as float32 by slices or row numbers.

    Args:
        file: row after row.
        width: numbers of a row.

    Attributes:
        shape: (rows, width).
    """

    def __init__(self, file: SummedFile, width: int):
        self._file = file
        self._stored = file.mapped(np.float16).reshape(-1, width)
        self._bytes = 2 * width
        self.shape = self._stored.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        return self.stored(key).astype(np.float32)

    def stored(self, key: Any) -> np.ndarray:
        """Return rows as they are stored, float16; those of a slice are not copied.

        Raises:
            DamagedError: they are not what was written.
        """
        if isinstance(key, slice):
            start, end, _ = key.indices(len(self))
            self._file.check(start * self._bytes, max(start, end) * self._bytes)
        else:
            key = np.asarray(key, dtype=np.int64)
            self._file.check(key * self._bytes, (key + 1) * self._bytes)
        return self._stored[key]

    def nearest(
        self, queries: np.ndarray, count: int, start: int, chosen: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare queries with all rows from one of them on.

        Args:
            queries: float32 [queries, width].
            count: of the best rows.
            start: the first row that is looked at.
            chosen: bool [rows], which of all rows count; None: all.

        Returns:
            Inner products float32 [queries, count] and rows int64, in no order; the row is -1 and
            the product -inf where there are fewer.
        """
        best = _Best(len(queries), count)
        step = max(1, 2**25 // (2 * self._bytes))  # 32 MB of float32 at a time
        for first in range(start, len(self), step):
            last = min(first + step, len(self))
            rows = np.arange(first, last)
            if chosen is not None:
                rows = rows[chosen[first:last]]
                if not len(rows):
                    continue
            whole = len(rows) == last - first
            best.add(queries @ self[slice(first, last) if whole else rows].T, rows)
        return best.scores, best.rows


class _Best:
    """The best rows of each query so far."""

    def __init__(self, queries: int, count: int):
        self.scores = np.full((queries, count), -np.inf, dtype=np.float32)
        self.rows = np.full((queries, count), -1, dtype=np.int64)

    def add(self, scores: np.ndarray, rows: np.ndarray) -> None:
        """Take in the scores float32 [queries, rows] of some rows."""
        count = self.scores.shape[1]
        scores = np.concatenate([self.scores, scores], axis=1)
        rows = np.concatenate([self.rows, np.broadcast_to(rows, (len(scores), len(rows)))], axis=1)
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        self.scores = np.take_along_axis(scores, best, axis=1)
        self.rows = np.take_along_axis(rows, best, axis=1)
