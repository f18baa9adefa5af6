"""How many lists have to be looked into, for a share of the nearest descriptors to be found."""

from __future__ import annotations

import faiss
import numpy as np

from src.index.image_table import ImageTable
from src.index.lists import SearchedLists, even_sample
from src.index.rows import Rows

#: Neighbours that `IndexSettings.recall` counts.
NEIGHBOURS = 60
#: Rows that are compared at a time.
_BLOCK = 65_536
#: Images, and descriptors of each, that the recall is measured with.
_PROBE_IMAGES = 10
_PROBE_DESCRIPTORS = 20
_ENOUGH = 0.005


def measure_probes(
    lists: SearchedLists, rows: Rows, images: ImageTable, recall: float
) -> tuple[int, float]:
    """Find how many lists have to be probed for a recall of the 60 nearest descriptors.

    The descriptors asked for are some of the index itself; those of their own photo do not count,
    for many of them are near doubles, which a query photo has not.

    Args:
        lists: all rows are in them.
        rows: float32 [rows, D].
        images: where each image's rows are.
        recall: share of the exact neighbours to be found.

    Returns:
        Number of lists, and the recall they give: less than asked for where more lists do not help,
        because the codes are too coarse.
    """
    groups = _probe_groups(images)
    exact = [_exact_neighbours(rows, queries, own) for queries, own in groups]
    tried: list[tuple[int, float]] = []
    for probes in _probe_counts(lists.list_count):
        found = [
            _found(lists, np.ascontiguousarray(rows[queries]), own, probes, len(wanted[0]))
            for (queries, own), wanted in zip(groups, exact)
        ]
        hits = sum(
            len(np.intersect1d(*pair)) for a, b in zip(exact, found) for pair in zip(a, b)
        )  # fmt: skip
        tried.append((probes, hits / sum(wanted.size for wanted in exact)))
        if tried[-1][1] >= recall:
            return tried[-1]
        if len(tried) > 2 and tried[-1][1] - tried[-3][1] < _ENOUGH and tried[-1][1] > 0.5:
            return tried[-3]
    return tried[-1]


def _probe_groups(images: ImageTable) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Return rows to ask for, and the range of all rows of their image, for some images."""
    full = np.flatnonzero(images.counts)
    groups = []
    for image in full[even_sample(len(full), _PROBE_IMAGES, 0)]:
        start, count = int(images.starts[image]), int(images.counts[image])
        own = (start, start + count) if len(full) > 1 else (0, 0)
        groups.append((start + even_sample(count, _PROBE_DESCRIPTORS, 0), own))
    return groups


def _probe_counts(lists: int) -> list[int]:
    counts = sorted({2**i for i in range(2, 20)} | {3 * 2**i for i in range(1, 19)})
    return [count for count in counts if count < lists] + [lists]


def _exact_neighbours(rows: Rows, queries: np.ndarray, own: tuple[int, int]) -> np.ndarray:
    """Return int64 [queries, k], the nearest rows that are not the image's own."""
    wanted = np.ascontiguousarray(rows[queries])
    distances, numbers = [], []
    for start in range(0, len(rows), _BLOCK):
        end = min(start + _BLOCK, len(rows))
        for first, last in ((start, min(end, own[0])), (max(start, own[1]), end)):
            if first < last:
                found = faiss.knn(wanted, rows[first:last], min(NEIGHBOURS, last - first))
                distances.append(found[0])
                numbers.append(found[1] + first)
    order = np.argsort(np.concatenate(distances, axis=1), axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.take_along_axis(np.concatenate(numbers, axis=1), order, axis=1)


def _found(
    lists: SearchedLists, queries: np.ndarray, own: tuple[int, int], probes: int, count: int
) -> np.ndarray:
    own_rows = faiss.IDSelectorRange(*own)
    centres = lists.centres(queries, probes)
    return lists.search(queries, count, centres, faiss.IDSelectorNot(own_rows))[1]
