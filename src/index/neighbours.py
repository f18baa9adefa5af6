"""What every search for the nearest rows takes and gives: queries of one length, a fixed order."""

from __future__ import annotations

import numpy as np

from src.common.errors import UserError


def checked_queries(descriptors: np.ndarray, dimension: int, index: object, k: int) -> np.ndarray:
    """Return the descriptors of a query, float32 [N, D].

    Raises:
        UserError: they are not as long as those of the index.
        ValueError: no neighbours are asked for.
    """
    queries = np.ascontiguousarray(descriptors, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise UserError(
            f"the query's descriptors have {queries.shape[-1]} dimensions, those of the index "
            f"{index} have {dimension}; extract both with the same settings"
        )
    if k < 1:
        raise ValueError(f"{k} neighbours asked for")
    return queries


def in_order(squares: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squared distances float32 [N, k] and rows int64 [N, k] of what was found.

    Nearest first, of equal distances the lower row first. Where fewer were found (row -1), the
    distance is infinite.
    """
    squares = np.where(rows < 0, np.float32(np.inf), np.maximum(squares, 0))
    order = np.lexsort((rows, squares), axis=1)[:, :k]
    squares = np.take_along_axis(squares, order, axis=1)
    rows = np.take_along_axis(rows, order, axis=1)
    missing = ((0, 0), (0, k - rows.shape[1]))
    return (
        np.pad(squares, missing, constant_values=np.inf),
        np.pad(rows, missing, constant_values=-1),
    )
