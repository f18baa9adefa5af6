"""Fitting verdicts: a known logistic is found again, halves and buildings stay apart."""

from __future__ import annotations

import numpy as np

from benchmarks.calibrate import Hit, draw_reliability, fitted, probabilities, table
from benchmarks.quality import same_buildings

TRUTH = np.array([-3.0, 0.7, 6.0])


def hits(count, seed, truth=TRUTH, half=None, absent=False):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        inliers, similarity = int(rng.exponential(20)), float(rng.uniform(0, 0.6))
        logit = truth @ [1, np.log1p(inliers), similarity]
        right = bool(rng.random() < 1 / (1 + np.exp(-logit))) and not absent
        of_half = int(rng.integers(2)) if half is None else half
        found.append(Hit(inliers, similarity, right, True, absent, of_half))
    return found


def test_a_known_logistic_is_found_again():
    groups = {"a": hits(8000, 0), "b": hits(800, 1)}
    found = probabilities(groups["a"], fitted(groups))
    assert np.abs(found - probabilities(groups["a"], TRUTH)).mean() < 0.04


def test_a_group_counts_as_much_as_another():
    """What is always wrong weighs half, though it is a tenth of the hits."""
    groups = {"a": hits(2000, 0, TRUTH + np.array([9, 0, 0])), "b": hits(200, 1, absent=True)}
    everything = [*groups["a"], *groups["b"]]
    mean = np.mean([probabilities(group, fitted(groups)).mean() for group in groups.values()])
    assert abs(mean - 0.5) < 0.02 < 0.3 < probabilities(everything, fitted(groups)).mean()


def test_a_half_is_left_out():
    one, other = hits(3000, 0, half=0), hits(3000, 1, -TRUTH, half=1)
    alone = fitted({"a": one})
    np.testing.assert_allclose(fitted({"a": one + other}, not_half=1), alone)
    assert not np.allclose(fitted({"a": one + other}), alone, atol=0.5)


def test_queries_that_share_positives_are_of_one_building():
    rights = [{"a", "b"}, {"c"}, {"d"}, set(), {"b", "d"}]
    assert sorted(same_buildings(rights)) == [[0, 2, 4], [1]]


def test_the_table_counts_by_the_fit_of_the_other_half(tmp_path):
    sure, never = np.array([9.0, 0.0, 0.0]), np.array([-9.0, 0.0, 0.0])
    group = [
        *(Hit(1, 0.0, True, True, False, 0), Hit(1, 0.0, True, True, False, 1)),
        *(Hit(1, 0.0, False, True, True, 0), Hit(1, 0.0, False, False, False, 0)),
    ]
    last = table({"a": group}, [sure, never], 0.7).splitlines()[-1]
    assert last == "| a | 100.0 % | 1 of 2 (50.0 %) | 0 of 0 (–) | 1 of 1 (100.0 %) |"
    draw_reliability(tmp_path / "r.png", group, [sure, never])
    assert (tmp_path / "r.png").stat().st_size > 1000
