"""Operations on box lists: joining, overlap, the best by score, non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from src.box_list_np import BoxList

_BLOCK = 256  # boxes compared with the kept ones at once; bounds the size of the overlap matrix


def concatenate(box_lists: Sequence[BoxList]) -> BoxList:
    """Join box lists that have the same fields into one, in order."""
    return BoxList(
        np.concatenate([box_list.boxes for box_list in box_lists]),
        {
            name: np.concatenate([box_list.fields[name] for box_list in box_lists])
            for name in box_lists[0].fields
        },
    )


def intersection_over_union(first: BoxList, second: BoxList) -> np.ndarray:
    """Return the overlap of each box of one list with each of another, float32 [N, M].

    Two boxes without any area have an overlap of 0.
    """
    a, b = first.boxes[:, None], second.boxes[None]
    # Working in place and one axis at a time is twice as fast as one expression.
    overlap = np.minimum(a[..., 2], b[..., 2])
    overlap -= np.maximum(a[..., 0], b[..., 0])
    np.maximum(overlap, 0, out=overlap)
    width = np.minimum(a[..., 3], b[..., 3])
    width -= np.maximum(a[..., 1], b[..., 1])
    np.maximum(width, 0, out=width)
    overlap *= width
    union = np.add.outer(first.areas(), second.areas())
    union -= overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def top_by_score(scores: np.ndarray, limit: int) -> np.ndarray:
    """Return the indices of the `limit` largest scores, best first, equal ones by index.

    Takes a partition before it sorts, so that the cost is linear in the number of scores.
    """
    if limit < len(scores):
        least = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        better = np.flatnonzero(scores > least)
        equal = np.flatnonzero(scores == least)[: limit - len(better)]
        indices = np.concatenate((better, equal))
    else:
        indices = np.arange(len(scores))
    return indices[np.lexsort((indices, -scores[indices]))]


def non_max_suppression(
    box_list: BoxList, scores: np.ndarray, iou_threshold: float, limit: int
) -> np.ndarray:
    """Keep the best boxes of which no two overlap by more than a threshold.

    Goes through the boxes from the best score down (equal ones by index) and keeps each that does
    not overlap a kept one by more than `iou_threshold`, until `limit` are kept.

    Returns:
        Indices of the kept boxes, best first.
    """
    # Mostly a few times `limit` boxes are enough; the order of the rest is found when it is needed.
    looked_at = min(4 * limit, len(scores))
    while True:
        order = top_by_score(scores, looked_at)
        kept = _suppress_in_order(box_list.gather(order), iou_threshold, limit)
        if len(kept) == limit or looked_at == len(scores):
            return order[kept]
        looked_at = len(scores)


def _suppress_in_order(box_list: BoxList, iou_threshold: float, limit: int) -> np.ndarray:
    """Suppress boxes that stand in the order of their scores; return the kept indices."""
    kept = np.zeros(0, dtype=np.intp)
    for start in range(0, len(box_list), _BLOCK):
        indices = np.arange(start, min(start + _BLOCK, len(box_list)))
        overlap = intersection_over_union(box_list.gather(indices), box_list.gather(kept))
        indices = indices[~(overlap > iou_threshold).any(axis=1)]
        block = box_list.gather(indices)
        overlaps = intersection_over_union(block, block) > iou_threshold
        alive = np.ones(len(indices), dtype=bool)
        for row in np.flatnonzero(np.triu(overlaps, 1).any(axis=1)):
            if alive[row]:
                alive[row + 1 :] &= ~overlaps[row, row + 1 :]
        kept = np.concatenate((kept, indices[alive]))
        if len(kept) >= limit:
            return kept[:limit]
    return kept
