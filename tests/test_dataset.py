from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.dataset import (
    EASY_MEDIUM_HARD,
    REPORTED_RANKS,
    GroundTruth,
    Judgement,
    Metrics,
    Query,
    average_precision,
    evaluate,
    format_map_text,
    judge_easy,
    judge_hard,
    judge_medium,
    precision_at,
    ranks_without_junk,
    read_ground_truth,
    read_map_text,
    recall_at,
)
from src.errors import UserError

NAMES = ("a", "b", "c", "d", "e", "q")


def write_query(folder, label="house_1", query="q", good=(), ok=(), junk=(), box="1 2 30.5 40"):
    folder.mkdir(exist_ok=True)
    (folder / f"{label}_query.txt").write_text(f"{query} {box}\n")
    for kind, names in (("good", good), ("ok", ok), ("junk", junk)):
        (folder / f"{label}_{kind}.txt").write_text("".join(f"{name}\n" for name in names))


def a_query(image=5, good=(), ok=(), junk=()):
    lists = (np.array(sorted(items), dtype=np.int64) for items in (good, ok, junk))
    return Query("house_1", "q", image, (0, 0, 1, 1), *lists)


def both(judgement):
    return judgement.positives.tolist(), judgement.junk.tolist()


# ---------------------------------------------------------------- reading


def test_oxford_layout_is_read(tmp_path):
    write_query(tmp_path, "b_1", query="oxc1_q", good=["a", "q"], ok=["b"], junk=["d", "c"])
    write_query(tmp_path, "a_2", query="e", ok=["b", "gone", "b"])
    (tmp_path / "._a_2_query.txt").write_bytes(b"\x00\x05\x16\x07")  # macOS leaves such files
    truth = read_ground_truth(tmp_path, NAMES)
    assert [query.label for query in truth.queries] == ["a_2", "b_1"]
    first, second = truth.queries
    assert (second.name, second.image, second.box) == ("q", 5, (1.0, 2.0, 30.5, 40.0))
    assert (second.good.tolist(), second.ok.tolist(), second.junk.tolist()) == ([0, 5], [1], [2, 3])
    assert (first.name, first.ok.tolist(), first.good.size) == ("e", [1], 0)
    assert truth.missing == ("gone",)
    assert truth.image_count == 6


def test_prefix_stays_where_it_belongs_to_the_name(tmp_path):
    write_query(tmp_path, query="oxc1_q")
    truth = read_ground_truth(tmp_path, ("oxc1_q", "q"))
    assert (truth.queries[0].name, truth.queries[0].image) == ("oxc1_q", 0)


def test_windows_line_ends_blank_lines_and_byte_order_mark(tmp_path):
    write_query(tmp_path)
    (tmp_path / "house_1_ok.txt").write_bytes(b"\xef\xbb\xbfa\r\n\r\n  b \r\n")
    assert read_ground_truth(tmp_path, NAMES).queries[0].ok.tolist() == [0, 1]


def test_missing_names_are_reported_once(tmp_path, caplog):
    write_query(tmp_path, "x_1", good=["gone"])
    write_query(tmp_path, "x_2", ok=["gone", "lost"])
    with caplog.at_level("WARNING"):
        assert read_ground_truth(tmp_path, NAMES).missing == ("gone", "lost")
    assert "2 image(s)" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "",
        "q",
        "q 1 2 3",
        "q 1 2 3 4 5",
        "q 1 2 x 4",
        "q 5 2 5 4",
        "q 1 2 nan 4",
        "q 1 2 3 4\nq 1 2 3 4",
    ],
)
def test_malformed_query_names_file_and_line(tmp_path, line):
    write_query(tmp_path)
    (tmp_path / "house_1_query.txt").write_text(line + "\n")
    with pytest.raises(UserError, match=r"house_1_query\.txt, line 1"):
        read_ground_truth(tmp_path, NAMES)


def test_malformed_list_names_file_and_line(tmp_path):
    write_query(tmp_path)
    (tmp_path / "house_1_ok.txt").write_text("a\n\nb c\n")
    with pytest.raises(UserError, match=r"house_1_ok\.txt, line 3"):
        read_ground_truth(tmp_path, NAMES)


@pytest.mark.parametrize("kind", ["good", "ok", "junk"])
def test_missing_list_is_named(tmp_path, kind):
    write_query(tmp_path)
    (tmp_path / f"house_1_{kind}.txt").unlink()
    with pytest.raises(UserError, match=rf"house_1_{kind}\.txt"):
        read_ground_truth(tmp_path, NAMES)


def test_missing_query_image_names_file_and_image(tmp_path):
    write_query(tmp_path, query="oxc1_gone")
    with pytest.raises(UserError, match=r"house_1_query\.txt, line 1.* gone "):
        read_ground_truth(tmp_path, NAMES)


def test_binary_list_is_named(tmp_path):
    write_query(tmp_path)
    (tmp_path / "house_1_ok.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"house_1_ok\.txt"):
        read_ground_truth(tmp_path, NAMES)


def test_empty_or_missing_folder(tmp_path):
    with pytest.raises(UserError, match="holds no"):
        read_ground_truth(tmp_path, NAMES)
    with pytest.raises(UserError, match="nowhere"):
        read_ground_truth(tmp_path / "nowhere", NAMES)


# ---------------------------------------------------------------- protocols


def test_easy_medium_hard_of_an_oxford_query():
    query = a_query(image=5, good=[0, 1], ok=[2], junk=[3])
    assert both(judge_easy(query)) == ([0, 1, 5], [2, 3])
    assert both(judge_medium(query)) == ([0, 1, 2, 5], [3])
    assert both(judge_hard(query)) == ([2], [0, 1, 3, 5])


def test_query_in_its_own_good_list_changes_nothing():
    without = a_query(good=[0, 1], ok=[2], junk=[3])
    within = a_query(good=[0, 1, 5], ok=[2], junk=[3])
    for judge in EASY_MEDIUM_HARD.values():
        assert both(judge(without)) == both(judge(within))


@pytest.mark.parametrize("good", [[], [5]])
def test_paris_query_stands_in_ok_and_good_is_empty(good):
    query = a_query(image=5, good=good, ok=[2, 4, 5], junk=[3])
    assert both(judge_easy(query)) == both(judge_hard(query)) == ([2, 4], [3, 5])
    assert both(judge_medium(query)) == ([2, 4, 5], [3])


def test_an_image_is_never_both():
    query = a_query(image=5, good=[0, 1], ok=[1, 2, 5], junk=[2, 3])
    assert both(judge_easy(query)) == ([0], [1, 2, 3, 5])
    assert both(judge_medium(query)) == ([0, 1, 5], [2, 3])
    assert both(judge_hard(query)) == ([], [0, 1, 2, 3, 5])
    in_junk = a_query(image=5, good=[0], ok=[1], junk=[5])
    assert both(judge_medium(in_junk)) == ([0, 1], [5])


index_lists = st.lists(st.integers(0, 11), max_size=8).map(lambda items: sorted(set(items)))


@given(st.integers(0, 11), index_lists, index_lists, index_lists)
def test_positives_and_junk_never_meet(image, good, ok, junk):
    query = a_query(image, good, ok, junk)
    for judge in EASY_MEDIUM_HARD.values():
        positives, ignored = both(judge(query))
        assert not set(positives) & set(ignored)
        assert set(positives) | set(ignored) <= {image, *good, *ok, *junk}


# ---------------------------------------------------------------- average precision


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


# ---------------------------------------------------------------- mAP.txt

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
    return Metrics(mean / 100, np.array(ranks), *shares, empty, empty, empty)


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
