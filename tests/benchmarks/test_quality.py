"""The scoreboard's own arithmetic."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.quality import parse_set, table, without_queries
from src.common.errors import UserError
from src.dataset import Judgement

HALVES = np.array([0, 1, 1, 0])


def test_differences_are_paired_and_queries_without_positives_are_left_out():
    """Differences 10, 20, 0: mean 10, standard deviation 10, standard error 10/√3."""
    local = np.array([0.5, 0.5, np.nan, 0.5])
    other = np.array([0.6, 0.7, np.nan, 0.5])
    lines = table({"local": local, "other": other}, {"local": (0.1, 8), "other": (0.2, 9)}, HALVES)
    row = lines.splitlines()[-1]
    assert row == "| other | 60.00 | +10.00 ± 5.77 | 2, 0 | +5.00, +20.00 | 0.200 | 9 |"


def test_one_query_has_no_second_half():
    lines = table({"local": np.array([0.5])}, {"local": (0.1, 8)}, np.zeros(1, int))
    assert "| +0.00, – |" in lines.splitlines()[-1]


def test_the_querys_own_photo_is_junk():
    judge = without_queries(lambda query: Judgement(np.array([1, 4]), np.array([7])))
    found = judge(SimpleNamespace(image=4))
    assert (found.positives.tolist(), found.junk.tolist()) == ([1], [4, 7])
    elsewhere = judge(SimpleNamespace())
    assert (elsewhere.positives.tolist(), elsewhere.junk.tolist()) == ([1, 4], [7])


def test_a_set_is_a_name_photos_and_truth():
    assert parse_set("dev=my photos,b/gt.pkl") == ("dev", "my photos", "b/gt.pkl")
    for text in ("dev", "dev=photos", "=a,b", "dev=,b"):
        with pytest.raises(UserError, match="NAME=PHOTOS,GROUND_TRUTH"):
            parse_set(text)
