from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from src.evaluation.metrics import average_precision
from src.evaluation.precision_recall import (
    area,
    draw_protocol,
    draw_query,
    mean_curve,
    precision_recall,
)

found = st.sets(st.integers(0, 40), max_size=12).map(sorted)
queries = st.tuples(found, st.integers(0, 5)).map(lambda pair: (pair[0], len(pair[0]) + pair[1]))
some_queries = st.lists(queries.filter(lambda query: query[1] > 0), min_size=1, max_size=5)


def test_a_curve_by_hand():
    # ranked: wrong, right, wrong, right; one more right one is never found
    recalls, precisions = precision_recall([1, 3], 3)
    assert recalls == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3])
    assert precisions == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert area((recalls, precisions)) == pytest.approx((1 / 4 + 5 / 12) / 3)


def test_the_mean_by_hand():
    perfect, half = precision_recall([0], 1), precision_recall([0, 2], 2)
    recalls, precisions = mean_curve([perfect, half])
    assert recalls == pytest.approx([0, 0.5, 0.5, 1])
    assert precisions == pytest.approx([1, 1, (1 + 1 / 2) / 2, (1 + 2 / 3) / 2])


@given(some_queries)
def test_the_areas_are_the_average_precisions_and_their_mean(drawn):
    curves = [precision_recall(*query) for query in drawn]
    precisions = [average_precision(*query) for query in drawn]
    assert [area(curve) for curve in curves] == pytest.approx(precisions)
    mean = mean_curve(curves)
    assert area(mean) == pytest.approx(np.mean(precisions))
    assert (np.diff(mean[0]) >= 0).all()


@given(some_queries, st.floats(0.001, 0.999))
def test_the_mean_is_the_mean_at_every_recall(drawn, recall):
    curves = [curve for curve in (precision_recall(*query) for query in drawn) if len(curve[0])]
    if curves and not any(np.isclose(recall, recalls).any() for recalls, _ in curves):
        each = [np.interp(recall, *curve, right=0.0) for curve in curves]
        assert np.interp(recall, *mean_curve(curves), right=0.0) == pytest.approx(np.mean(each))


def test_pictures_are_the_same_every_time(tmp_path):
    curves = [precision_recall([0, 3, 4], 4), precision_recall([2], 1)]
    for name in ("a", "b"):
        draw_protocol(tmp_path / name / "easy.png", "easy: 2 queries", curves)
        draw_query(tmp_path / name / "query.png", {"easy": curves[0], "hard": curves[1]})
    draw_protocol(tmp_path / "nothing.png", "no query has positives", [])
    draw_query(tmp_path / "nothing_2.png", {})
    for name in ("easy.png", "query.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with Image.open(tmp_path / "a" / "easy.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (pixels == (0x00, 0x72, 0xB2)).all(axis=1).sum() > 300  # the line of the mean
