"""Which photos are matched with which."""

from __future__ import annotations

import numpy as np
import pytest

from src.common.errors import UserError
from src.exchange.pairs import all_pairs, read_pairs, retrieved_pairs
from src.exchange.photo_set import PhotoSet
from src.feature_io import Features
from tests.helpers.features import write_features_folder


@pytest.fixture(scope="module")
def two_things(tmp_path_factory):
    """Photos a0, a1, a2 of one thing, b0, b1 of another, and one of nothing."""
    rng = np.random.default_rng(0)
    written = {"void": Features(*Features.empty(16).arrays().values(), size=(90, 90))}
    for thing, count in (("a", 3), ("b", 2)):
        looks, places = rng.normal(size=(40, 16)), rng.uniform(0, 80, (40, 2))
        for number in range(count):
            seen = looks + rng.normal(0, 0.05, looks.shape)
            seen /= np.linalg.norm(seen, axis=1, keepdims=True)
            written[f"{thing}{number}"] = Features(
                places + number, np.ones(40), seen, np.ones(40), (90, 90)
            )
    folder = tmp_path_factory.mktemp("things") / "features"
    return PhotoSet(write_features_folder(folder, written, failed=["broken"]))


def test_photos_that_could_not_be_described_are_left_out(two_things):
    assert two_things.names == ("a0.jpg", "a1.jpg", "a2.jpg", "b0.jpg", "b1.jpg", "void.jpg")


def test_all_are_every_two_once(two_things):
    assert len(all_pairs(two_things)) == len(set(map(frozenset, all_pairs(two_things)))) == 15


def test_retrieval_pairs_photos_of_one_thing(two_things):
    pairs = retrieved_pairs(two_things, top=1)
    assert ("b0.jpg", "b1.jpg") in pairs
    assert len({name for pair in pairs for name in pair}) == 5
    assert all(one[0] == other[0] and one < other for one, other in pairs)
    assert len(set(pairs)) == len(pairs)


def test_more_are_paired_where_more_are_asked_for(two_things):
    pairs = retrieved_pairs(two_things, top=2)
    things = {("a0.jpg", "a1.jpg"), ("a0.jpg", "a2.jpg"), ("a1.jpg", "a2.jpg")}
    assert things <= set(pairs)


def test_a_list_names_files_or_features(two_things, tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("# two names\na1.jpg a0.jpg\n\nb0 b1\na0.jpg a1\n")
    assert read_pairs(path, two_things) == [("a0.jpg", "a1.jpg"), ("b0.jpg", "b1.jpg")]


def test_names_in_a_list_may_have_spaces(tmp_path):
    one = Features(np.zeros((1, 2)), np.ones(1), np.eye(1, 4), np.ones(1), (9, 9))
    folder = write_features_folder(tmp_path / "f", {"my photo": one, "b": one})
    path = tmp_path / "pairs.txt"
    path.write_text("my photo.jpg b.jpg\n")
    assert read_pairs(path, PhotoSet(folder)) == [("b.jpg", "my photo.jpg")]


@pytest.mark.parametrize("line", ["a0.jpg", "a0.jpg nobody.jpg", "a0.jpg a0.jpg", "a0 a1 a2"])
def test_a_line_that_names_no_pair_is_said_with_its_number(two_things, tmp_path, line):
    path = tmp_path / "pairs.txt"
    path.write_text(f"a0 a1\n{line}\n")
    with pytest.raises(UserError, match="line 2"):
        read_pairs(path, two_things)


def test_a_list_that_is_not_there_is_said(two_things, tmp_path):
    with pytest.raises(UserError, match="there is no list of pairs"):
        read_pairs(tmp_path / "no.txt", two_things)
