import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.box_list_np import BoxList
from src.box_list_ops_np import (
    concatenate,
    intersection_over_union,
    non_max_suppression,
    top_by_score,
)


def _random_boxes(rng, count, side=100.0):
    corner = rng.random((count, 2)) * side
    return BoxList(np.hstack((corner, corner + rng.random((count, 2)) * 40)).astype(np.float32), {})


def test_areas_centres_and_gather():
    boxes = BoxList(
        np.array([[0, 0, 2, 3], [1, 1, 1, 5], [-1, -2, 3, 4]], np.float32),
        {"scores": np.array([0.1, 0.2, 0.3])},
    )
    assert boxes.areas().tolist() == [6, 0, 24]
    assert boxes.centres().tolist() == [[1, 1.5], [1, 3], [1, 1]]
    some = boxes.gather(np.array([2, 0]))
    assert some.boxes.tolist() == [[-1, -2, 3, 4], [0, 0, 2, 3]]
    assert some.fields["scores"].tolist() == [0.3, 0.1]
    assert len(boxes.gather(np.array([], int))) == 0


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\[N, 4\]"):
        BoxList(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="scores"):
        BoxList(np.zeros((2, 4)), {"scores": np.zeros(3)})
    with pytest.raises(ValueError, match="ymin, xmin"):
        BoxList(np.array([[0, 5, 5, 0]]))


def test_concatenate_keeps_order_and_fields():
    first = BoxList(np.zeros((1, 4)), {"scores": np.array([1.0])})
    second = BoxList(np.ones((2, 4)), {"scores": np.array([2.0, 3.0])})
    joined = concatenate([first, second])
    assert joined.boxes[:, 0].tolist() == [0, 1, 1]
    assert joined.fields["scores"].tolist() == [1, 2, 3]


def test_overlap_by_hand():
    a = BoxList(np.array([[0, 0, 10, 10]], np.float32))
    b = BoxList(
        np.array(
            [
                [0, 0, 10, 10],  # itself
                [0, 5, 10, 15],  # half: 50 / 150
                [5, 5, 15, 15],  # a quarter: 25 / 175
                [10, 0, 20, 10],  # touches
                [20, 20, 30, 30],  # apart in both axes
                [2, 2, 4, 4],  # inside: 4 / 100
                [5, 5, 5, 5],  # a point
            ],
            np.float32,
        )
    )
    expected = [1, 1 / 3, 1 / 7, 0, 0, 0.04, 0]
    assert intersection_over_union(a, b)[0] == pytest.approx(expected)
    point = b.gather(np.array([6]))
    assert intersection_over_union(point, point)[0, 0] == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 45))
def test_top_by_score_is_a_stable_sort(values, limit):
    scores = np.array(values, np.float32)
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:limit]
    assert top_by_score(scores, limit).tolist() == expected


def _naive_suppression(boxes, scores, threshold, limit):
    """One pair of boxes after the other, in plain Python."""

    def overlap(a, b):
        height = min(a[2], b[2]) - max(a[0], b[0])
        width = min(a[3], b[3]) - max(a[1], b[1])
        if height <= 0 or width <= 0:
            return 0.0
        area_a, area_b = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
        return height * width / (area_a + area_b - height * width)

    rows = [[float(value) for value in row] for row in boxes]
    kept = []
    for i in sorted(range(len(rows)), key=lambda i: (-scores[i], i)):
        if len(kept) < limit and all(overlap(rows[i], rows[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("count", [0, 1, 7, 255, 700])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.62, 0.95])
@pytest.mark.parametrize("limit", [1, 20, 100, 1000])
def test_suppression_agrees_with_the_naive_one(count, threshold, limit):
    rng = np.random.default_rng(count)
    boxes = _random_boxes(rng, count)
    scores = rng.integers(0, 50, count).astype(np.float32)  # many ties
    expected = _naive_suppression(boxes.boxes, scores, threshold, limit)
    assert non_max_suppression(boxes, scores, threshold, limit).tolist() == expected


def test_suppression_of_equal_boxes_keeps_the_best():
    boxes = BoxList(np.tile(np.array([[0, 0, 9, 9]], np.float32), (3000, 1)))
    scores = np.zeros(3000, np.float32)
    scores[[2500, 700]] = 5
    assert non_max_suppression(boxes, scores, 0.5, 10).tolist() == [700]


def test_neighbouring_receptive_fields():
    """Squares of 290 at a distance of 32 overlap by 258 / 322 = 0.801."""
    x = np.arange(10, dtype=np.float32) * 32
    boxes = BoxList(np.stack((np.zeros(10), x, np.full(10, 290), x + 290), 1).astype(np.float32))
    scores = np.arange(10, 0, -1).astype(np.float32)
    assert len(non_max_suppression(boxes, scores, 0.81, 10)) == 10
    assert non_max_suppression(boxes, scores, 0.80, 10).tolist() == [0, 2, 4, 6, 8]
