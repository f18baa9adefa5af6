from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.common.errors import UserError
from src.dataset import (
    EASY_MEDIUM_HARD,
    GroundTruth,
    Judgement,
    Query,
    judge_classic,
    judge_medium,
)
from src.evaluation.metrics import (
    average_precision,
    evaluate,
    precision_at,
    ranks_without_junk,
    recall_at,
)
from src.evaluation.revisited import PRECISION_RANKS, SETUPS, RevisitedQuery


def a_query(image=5, good=(), ok=(), junk=()):
    lists = (np.array(sorted(items), dtype=np.int64) for items in (good, ok, junk))
    return Query("house_1", "q", image, (0, 0, 1, 1), *lists)


@pytest.mark.parametrize(
    ("ranks", "count", "expected"),
    [
        ([0], 1, 1.0),
        ([0, 1, 2], 3, 1.0),
        ([1], 1, 1 / 4),  # precision 0 before, 1/2 with it
        ([0, 2], 2, (1 + (1 / 2 + 2 / 3) / 2) / 2),
        ([1, 3], 2, ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2),
        ([0], 2, 1 / 2),  # the other was never found
        ([], 3, 0.0),
    ],
)
def test_average_precision_by_hand(ranks, count, expected):
    assert average_precision(ranks, count) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("ranks", "count"), [([0, 0], 2), ([-1], 1), ([0, 1], 1), ([], 0)])
def test_impossible_ranks_are_refused(ranks, count):
    with pytest.raises(ValueError):
        average_precision(ranks, count)


def test_junk_is_taken_out_wherever_it_stands():
    judgement = Judgement(positives=np.array([7, 8]), junk=np.array([1, 2, 3]))
    ranked = np.array([1, 7, 2, 0, 3, 8, 4])
    assert ranks_without_junk(ranked, judgement).tolist() == [0, 2]


def test_precision_goes_no_further_than_the_last_positive():
    found = np.array([0, 7])
    assert precision_at(found, np.array([1, 5, 10])).tolist() == [1.0, 1 / 5, 2 / 8]
    assert recall_at(found, 2, np.array([1, 5, 10])).tolist() == [0.5, 0.5, 1.0]


def naive(ranked, positives, junk, ks):
    """The same numbers from the definition: walk down the list and draw the curve."""
    curve = []  # (recall, precision) after each image that counts
    hits = seen = 0
    hits_at = []
    for image in ranked:
        if image in junk:
            continue
        seen += 1
        hits += image in positives
        curve.append((hits / len(positives), hits / seen))
        hits_at.append(hits)
    area, recall, precision = 0.0, 0.0, 1.0
    for new_recall, new_precision in curve:
        area += (new_recall - recall) * (precision + new_precision) / 2
        recall, precision = new_recall, new_precision
    last = max(place for place, image in enumerate(i for i in ranked if i not in junk)
               if image in positives) + 1  # fmt: skip
    at = [min(k, last) for k in ks]
    return (
        area,
        [hits_at[k - 1] / k for k in at],
        [hits_at[min(k, len(hits_at)) - 1] / len(positives) for k in ks],
    )


@st.composite
def ranked_queries(draw):
    count = draw(st.integers(1, 130))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.02, 0.2, 0.6]))
    label = rng.choice(4, count, p=[1 - share, share / 3, share / 3, share / 3])
    lists = [np.flatnonzero(label == kind) for kind in (1, 2, 3)]
    query = a_query(int(rng.integers(count)), *lists)
    return rng.permutation(count).astype(np.int32), query


@settings(max_examples=150, deadline=None)
@given(ranked_queries())
def test_metrics_agree_with_the_definition(case):
    ranked, query = case
    results = evaluate(ranked[None], GroundTruth((query,), len(ranked), ()))
    for name, metrics in results.items():
        judgement = EASY_MEDIUM_HARD[name](query)
        ks = [k for k in range(10, 100, 10) if k <= len(ranked)]
        assert metrics.ranks.tolist() == ks
        positives, junk = set(judgement.positives.tolist()), set(judgement.junk.tolist())
        if not positives:
            assert np.isnan(metrics.mean_average_precision)
            continue
        area, precisions, recalls = naive(ranked.tolist(), positives, junk, ks)
        assert metrics.mean_average_precision == pytest.approx(area, abs=1e-12)
        assert metrics.mean_average_precision <= 1 + 1e-12
        np.testing.assert_allclose(metrics.mean_precisions, precisions, atol=1e-12)
        np.testing.assert_allclose(metrics.mean_recalls, recalls, atol=1e-12)


@given(ranked_queries())
@settings(max_examples=40, deadline=None)
def test_perfect_ranking_is_perfect(case):
    ranked, query = case
    judgement = judge_medium(query)
    if not judgement.positives.size:
        return
    worth = np.isin(ranked, judgement.positives) * 1
    best = ranked[np.argsort(-worth, kind="stable")]
    metrics = evaluate(best[None], GroundTruth((query,), len(ranked), ()))["medium"]
    assert metrics.mean_average_precision == pytest.approx(1, abs=1e-12)


def test_queries_without_positives_are_left_out_of_the_mean(caplog):
    with_ok = a_query(image=5, ok=[0], junk=[1])
    without = a_query(image=4, good=[3])
    ranks = np.array([[2, 0, 1, 3, 4, 5], [0, 1, 2, 3, 4, 5]])
    with caplog.at_level("WARNING"):
        metrics = evaluate(ranks, GroundTruth((with_ok, without), 6, ()))["hard"]
    assert caplog.messages == [
        "hard: 1 of 2 queries have no positives and are left out of the mean"
    ]
    assert metrics.mean_average_precision == pytest.approx(1 / 4)
    assert np.isnan(metrics.average_precisions[1])


def test_paris_easy_equals_hard():
    rng = np.random.default_rng(3)
    queries = tuple(a_query(i, ok=[i, 50 + i, 60 + i], junk=[70 + i]) for i in range(5))
    ranks = np.stack([rng.permutation(100) for _ in queries])
    results = evaluate(ranks, GroundTruth(queries, 100, ()))
    easy, hard = results["easy"], results["hard"]
    np.testing.assert_array_equal(easy.average_precisions, hard.average_precisions)
    np.testing.assert_array_equal(easy.precisions, hard.precisions)


@pytest.mark.parametrize(
    "ranks", [np.zeros((1, 6)), np.arange(5)[None], np.tile(np.arange(6), (2, 1)), np.arange(6)]
)
def test_ranks_of_something_else_are_refused(ranks):
    with pytest.raises(UserError, match="run the retrieval again"):
        evaluate(ranks, GroundTruth((a_query(good=[1]),), 6, ()))


# ---------------------------------------------------------------- a second computation


def shoelace(ranked, positives, ignored):
    """Average precision as the area of a polygon with exact corners, from sets of images.

    The corners are recall and precision after each image that counts; below recall 0 the curve
    starts at precision 1.
    """
    corners = [(Fraction(0), Fraction(1))]
    hits = 0
    for place, image in enumerate((image for image in ranked if image not in ignored), 1):
        hits += image in positives
        corners.append((Fraction(hits, len(positives)), Fraction(hits, place)))
    polygon = [*corners, (corners[-1][0], Fraction(0)), (Fraction(0), Fraction(0))]
    return abs(sum(
        x1 * y2 - x2 * y1
        for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1])
    )) / 2  # fmt: skip


def share_of_first(ranked, positives, ignored, k):
    """Precision at k, or at the place of the last positive where that comes earlier."""
    left = [image for image in ranked if image not in ignored]
    while left and left[-1] not in positives:
        left.pop()
    first = left[:k]
    return Fraction(sum(image in positives for image in first), len(first))


RULES = {  # positives, ignored; an image in both lists is ignored
    "classic": lambda q: ({*q["good"], *q["ok"]}, {*q["junk"], *unlisted(q)}),
    "easy": lambda q: ({*q["easy"]}, {*q["junk"], *q["hard"]}),
    "medium": lambda q: ({*q["easy"], *q["hard"]}, {*q["junk"]}),
    "hard": lambda q: ({*q["hard"]}, {*q["junk"], *q["easy"]}),
}


def unlisted(query):
    return {query["image"]} - {*query["good"], *query["ok"], *query["junk"]}


@st.composite
def several_queries(draw):
    """Ranked lists, and for each query random lists that may overlap or be empty."""
    images = draw(st.integers(2, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = ("good", "ok", "junk", "easy", "hard")
    share = draw(st.sampled_from([0.0, 0.03, 0.3]))
    queries = [
        {"image": int(rng.integers(images))}
        | {kind: np.flatnonzero(rng.random(images) < share).tolist() for kind in kinds}
        for _ in range(draw(st.integers(1, 4)))
    ]
    ranks = np.stack([rng.permutation(images) for _ in queries])
    return ranks, queries


@settings(max_examples=120, deadline=None)
@given(several_queries())
def test_classic_and_revisited_agree_with_a_second_computation(case):
    ranks, lists = case
    array = np.array
    classic = [a_query(q["image"], q["good"], q["ok"], q["junk"]) for q in lists]
    revisited = [
        RevisitedQuery(
            "q",
            "q",
            (0, 0, 1, 1),
            *(array(q[kind], dtype=np.int64) for kind in ("easy", "hard", "junk")),
        )
        for q in lists
    ]
    count = ranks.shape[1]
    results = {
        **evaluate(ranks, GroundTruth(tuple(classic), count, ()), {"classic": judge_classic}, ()),
        **evaluate(ranks, GroundTruth(tuple(revisited), count, ()), SETUPS, PRECISION_RANKS),
    }
    assert results.keys() == RULES.keys()
    for name, metrics in results.items():
        areas, shares = [], []
        for row, query in enumerate(lists):
            positives, ignored = RULES[name](query)
            positives -= ignored
            assert metrics.positives[row] == len(positives)
            if not positives:
                assert np.isnan(metrics.average_precisions[row])
                continue
            ranked = ranks[row].tolist()
            areas.append(shoelace(ranked, positives, ignored))
            ks = () if name == "classic" else [k for k in (1, 5, 10) if k <= count]
            shares.append([share_of_first(ranked, positives, ignored, k) for k in ks])
            assert metrics.average_precisions[row] == pytest.approx(float(areas[-1]), abs=1e-12)
        assert metrics.without_positives == len(lists) - len(areas)
        if not areas:
            assert np.isnan(metrics.mean_average_precision)
            continue
        assert metrics.mean_average_precision == pytest.approx(
            float(sum(areas) / len(areas)), abs=1e-12
        )
        means = [float(sum(column) / len(shares)) for column in zip(*shares)]
        np.testing.assert_allclose(metrics.mean_precisions, means, atol=1e-12)


def test_revisited_by_hand():
    query = RevisitedQuery("q", "q", (0, 0, 1, 1), *map(np.array, ([1, 4], [2], [0, 3])))
    # easy: 2 is ignored too, so the list reads n 1 n 4; hard: n 2 n; medium: n 2 1 n 4
    ranks = np.array([[0, 5, 2, 3, 1, 6, 4]])
    results = evaluate(ranks, GroundTruth((query,), 7, ()), SETUPS, PRECISION_RANKS)
    easy, medium, hard = (results[name] for name in ("easy", "medium", "hard"))
    assert easy.mean_average_precision == pytest.approx(((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert medium.mean_average_precision == pytest.approx(
        ((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 4 + 3 / 5) / 2) / 3
    )
    assert hard.mean_average_precision == pytest.approx((0 + 1 / 2) / 2)
    assert easy.ranks.tolist() == [1, 5]  # there are no ten images
    assert easy.mean_precisions.tolist() == [0, 2 / 4]
    assert medium.mean_precisions.tolist() == [0, 3 / 5]
    assert hard.mean_precisions.tolist() == [0, 1 / 2]  # its only positive is second


def test_classic_by_hand():
    query = a_query(image=5, good=[0, 5], ok=[1], junk=[2])
    ranks = np.array([[5, 2, 3, 0, 4, 1]])  # without junk: + n + n +
    result = evaluate(ranks, GroundTruth((query,), 6, ()), {"classic": judge_classic}, ())[
        "classic"
    ]
    expected = (1 + (1 / 2 + 2 / 3) / 2 + (2 / 4 + 3 / 5) / 2) / 3
    assert result.mean_average_precision == pytest.approx(expected)
    assert result.ranks.size == 0
