from __future__ import annotations

import json

import numpy as np
import pytest

from src.common.errors import UserError
from src.dataset import REPORTED_RANKS, GroundTruth, Query
from src.evaluation.compare_maps import comparison
from src.evaluation.metrics import Metrics, evaluate
from src.evaluation.protocols import PROTOCOLS, Benchmark
from src.evaluation.report import (
    as_json,
    format_map_text,
    format_table,
    read_map_text,
    summary_line,
)
from src.evaluation.revisited import RevisitedQuery

EXAMPLE = """\
easy
  mAP=91.85
  mP@k[10 20 30 40 50 60 70 80 90] [91.07 83.47 78.89 74.85 71.79 69.44 67.51 65.84 64.65]
  mR@k[10 20 30 40 50 60 70 80 90] [61.07 75.89 83.06 86.52 89.47 91.94 93.47 94.39 95.32]
hard
  mAP=70.48
  mP@k[10 20 30 40 50 60 70 80 90] [78.18 67.34 60.84 56.26 52.63 49.89 47.63 45.85 44.29]
  mR@k[10 20 30 40 50 60 70 80 90] [46.36 59.41 66.55 71.33 74.33 76.97 79.62 81.93 82.98]
medium
  mAP=82.09
  mP@k[10 20 30 40 50 60 70 80 90] [89.36 84.21 78.45 74.3  70.04 66.04 62.77 59.81 57.25]
  mR@k[10 20 30 40 50 60 70 80 90] [40.62 55.01 63.5  69.98 74.58 77.81 80.85 82.99 84.58]
"""


def metrics_of(mean, precisions, recalls, ranks=REPORTED_RANKS):
    empty = np.zeros(0)
    shares = (np.array(items) / 100 for items in (precisions, recalls))
    return Metrics(mean / 100, np.array(ranks), *shares, empty, empty, empty, empty)


def test_the_published_example_to_the_letter(tmp_path):
    (tmp_path / "mAP.txt").write_text(EXAMPLE)
    read = read_map_text(tmp_path / "mAP.txt")
    assert read["medium"]["mAP"] == 82.09
    assert read["medium"]["mP"][3] == 74.3
    assert read["hard"]["ranks"] == list(range(10, 100, 10))
    again = {
        name: metrics_of(read[name]["mAP"], read[name]["mP"], read[name]["mR"])
        for name in ("medium", "easy", "hard")
    }
    with np.printoptions(precision=1, linewidth=20, suppress=False):
        assert format_map_text(again) == EXAMPLE


def test_extreme_numbers_stay_readable(tmp_path):
    text = format_map_text({"easy": metrics_of(100, [100, 0.01], [0, 5.126], [10, 20])})
    assert text == "easy\n  mAP=100.0\n  mP@k[10 20] [100.     0.01]\n  mR@k[10 20] [0.   5.13]\n"
    few = format_map_text({"easy": metrics_of(float("nan"), [], [], [])})
    assert few == "easy\n  mAP=nan\n  mP@k[] []\n  mR@k[] []\n"
    (tmp_path / "mAP.txt").write_text(few)
    assert read_map_text(tmp_path / "mAP.txt")["easy"]["mP"] == []


@pytest.mark.parametrize(
    "text", ["  mAP=1\n", "easy\n  mAP=x\n", "easy\n  mP@k[10] 5\n", "easy\n  ?\n"]
)
def test_something_else_is_not_map_text(tmp_path, text):
    (tmp_path / "mAP.txt").write_text(text)
    with pytest.raises(UserError, match=r"mAP\.txt, line"):
        read_map_text(tmp_path / "mAP.txt")


# ---------------------------------------------------------------- the other protocols


def array(*values):
    return np.array(values, dtype=np.int64)


def revisited(crop=True):
    """Two queries over six images, the second without hard ones."""
    queries = (
        RevisitedQuery("a", "qa", (1, 2, 3, 4), array(0), array(1), array(2)),
        RevisitedQuery("b", "qb", (5, 6, 7, 8), array(3), array(), array()),
    )
    benchmark = Benchmark(
        PROTOCOLS["revisited"], crop, GroundTruth(queries, 6, ("lost",)), tuple("uvwxyz"), 2
    )
    ranks = np.array([[0, 2, 1, 3, 4, 5], [4, 3, 0, 1, 2, 5]])
    protocol = benchmark.protocol
    return benchmark, evaluate(ranks, benchmark.ground_truth, protocol.setups, protocol.ranks)


def oxford(protocol, crop):
    query = Query("a_1", "a", 0, (0, 0, 9, 9), array(0, 1), array(2), array(3))
    benchmark = Benchmark(PROTOCOLS[protocol], crop, GroundTruth((query,), 4, ()), tuple("abcd"), 0)
    ranks = np.array([[0, 1, 2, 3]])
    setups, reported = benchmark.protocol.setups, benchmark.protocol.ranks
    return benchmark, evaluate(ranks, benchmark.ground_truth, setups, reported)


def test_table_of_revisited_says_protocol_crop_and_queries(tmp_path):
    text = format_table(*revisited())
    assert text == (
        "revisited easy (queries cropped)\n  mAP=62.5\n  mP@k[1 5] [50. 75.]\n  queries=2 of 2\n"
        "revisited medium (queries cropped)\n  mAP=62.5\n  mP@k[1 5] [50. 75.]\n  queries=2 of 2\n"
        "revisited hard (queries cropped)\n  mAP=100.0\n  mP@k[1 5] [100. 100.]\n"
        "  queries=1 of 2\n"
    )
    (tmp_path / "mAP.txt").write_text(text)
    read = read_map_text(tmp_path / "mAP.txt")
    assert read["revisited hard (queries cropped)"] == {
        "mAP": 100.0,
        "ranks": [1, 5],
        "mP": [100.0, 100.0],
        "queries": 1,
        "of": 2,
    }
    table = comparison({"one": read, "two": read}).splitlines()
    assert table[1].split() == ["revisited", "easy", "(queries", "cropped)", "62.50", "62.50"]


def test_table_of_classic_has_one_map():
    text = "classic (queries cropped)\n  mAP=100.0\n  queries=1 of 1\n"
    assert format_table(*oxford("classic", True)) == text
    assert format_table(*oxford("classic", False)) == text.replace("cropped", "not cropped")


def test_bare_levels_mean_queries_that_are_not_cropped():
    plain = format_table(*oxford("levels", False))
    assert [line for line in plain.splitlines() if line[0] != " "] == ["easy", "hard", "medium"]
    assert "queries" not in plain
    assert format_table(*oxford("levels", True)).startswith("easy (queries cropped)\n  mAP=")


def test_summary_names_protocol_crop_and_counts():
    line = summary_line(*revisited())
    assert "\n" not in line
    for part in (
        "revisited protocol",
        "queries cropped",
        "not in the index",
        "2 queries",
        "6 images",
        "2 of them distractors",
        "1 listed images missing",
        "1 (hard) queries without positives",
    ):
        assert part in line
    assert "queries not cropped" in summary_line(*revisited(crop=False))
    assert "no queries without positives" in summary_line(*oxford("levels", False))


def test_json_has_every_query_and_no_nan():
    values = as_json(*revisited())
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert (values["protocol"], values["crop_queries"], values["distractors"]) == (
        "revisited",
        True,
        2,
    )
    assert values["queries"][1] == {"label": "b", "photo": "qb", "box": [5, 6, 7, 8]}
    hard = values["setups"]["hard"]
    assert hard["queries_without_positives"] == 1
    assert hard["queries"]["b"] == {
        "positives": 0,
        "AP": None,
        "P": [None, None],
        "R": [None, None],
    }
    assert hard["queries"]["a"]["AP"] == 1.0
    assert values["setups"]["easy"]["queries"]["b"]["AP"] == pytest.approx(1 / 4)
