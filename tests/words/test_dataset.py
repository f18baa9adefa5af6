from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.common.errors import UserError
from src.dataset import (
    EASY_MEDIUM_HARD,
    Query,
    judge_classic,
    judge_easy,
    judge_hard,
    judge_medium,
    read_ground_truth,
)
from tests.helpers.ground_truth import write_query

NAMES = ("a", "b", "c", "d", "e", "q")


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


def test_names_may_carry_the_suffix_of_a_photo(tmp_path):
    write_query(tmp_path, query="oxc1_q.jpg", good=["a.JPG", "b"], ok=["c.png"], junk=["d.jpg.jpg"])
    query = read_ground_truth(tmp_path, ("a", "b", "c", "d.jpg", "q")).queries[0]
    assert (query.name, query.image) == ("q", 4)
    assert (query.good.tolist(), query.ok.tolist(), query.junk.tolist()) == ([0, 1], [2], [3])


def test_a_photo_of_the_very_name_comes_first(tmp_path):
    write_query(tmp_path, good=["st.mary", "a.jpg", "v1.0"])
    query = read_ground_truth(tmp_path, ("a", "a.jpg", "q", "st.mary", "v1.0")).queries[0]
    assert query.good.tolist() == [1, 3, 4]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_the_same_in_every_normal_form(tmp_path, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    names = [unicodedata.normalize(form, name) for name in ("Hôtel-de-Ville", "naïve", "q")]
    listed = [unicodedata.normalize(other, name) for name in names]
    write_query(tmp_path, query=listed[1], good=[listed[0]])
    truth = read_ground_truth(tmp_path, names)
    assert (truth.queries[0].name, truth.queries[0].good.tolist()) == (names[1], [0])
    assert truth.missing == ()


def test_two_photos_that_look_alike_are_told_apart_or_refused(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
    write_query(tmp_path, good=[decomposed])
    names = (decomposed, composed, "q")
    assert read_ground_truth(tmp_path, names).queries[0].good.tolist() == [0]
    write_query(tmp_path, good=["Ǻ"])  # three ways to write it, and the photos have the other two
    with pytest.raises(UserError, match="either of two photos"):
        read_ground_truth(tmp_path, ("q", "A\u030a\u0301", "\u00c5\u0301"))


def test_missing_names_are_reported_once(tmp_path, caplog):
    write_query(tmp_path, "x_1", good=["gone"])
    write_query(tmp_path, "x_2", ok=["gone", "lost"])
    with caplog.at_level("WARNING"):
        truth = read_ground_truth(tmp_path, NAMES)
    assert (truth.missing, truth.listed) == (("gone", "lost"), 2)
    assert [query.lost for query in truth.queries] == [
        {"good": 1, "ok": 0, "junk": 0},
        {"good": 0, "ok": 2, "junk": 0},
    ]
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


def test_classic_counts_the_query_where_the_lists_do():
    oxford = a_query(image=5, good=[0, 5], ok=[2], junk=[3])
    paris = a_query(image=5, ok=[2, 5], junk=[3])
    assert both(judge_classic(oxford)) == ([0, 2, 5], [3])
    assert both(judge_classic(paris)) == ([2, 5], [3])
    listed_nowhere = a_query(image=5, good=[0], ok=[2], junk=[3])
    assert both(judge_classic(listed_nowhere)) == ([0, 2], [3, 5])
    junk_and_ok = a_query(image=5, good=[0], ok=[2, 3], junk=[3])
    assert both(judge_classic(junk_and_ok)) == ([0, 2], [3, 5])


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
    for judge in (*EASY_MEDIUM_HARD.values(), judge_classic):
        positives, ignored = both(judge(query))
        assert not set(positives) & set(ignored)
        assert set(positives) | set(ignored) <= {image, *good, *ok, *junk}
