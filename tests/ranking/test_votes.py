"""Votes, worked by hand and by brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from src.ranking import votes
from src.ranking.one_query import rank_images
from tests.helpers.retrieval import (
    ALONE,
    PLAIN,
    SMALL,
    VOTES,
    brute_force,
    features_of,
    index_of,
    ranked_names,
)


def test_votes_worked_by_hand(tmp_path):
    """Six features on a circle, two in each photo; the query's one votes for its three nearest.

    Squared distances are 2 − 2 cos of the angles between them.
    """
    angles = {"a": (10, 40), "b": (20, 50), "c": (25, 90)}

    def on_circle(*degrees):
        radians = np.radians(degrees)
        return features_of(
            np.arange(2.0 * len(degrees)).reshape(-1, 2), np.c_[np.cos(radians), np.sin(radians)]
        )

    index = index_of(tmp_path, {name: on_circle(*pair) for name, pair in angles.items()})
    squared = {angle: 2 - 2 * np.cos(np.radians(angle)) for angle in (10, 20, 25, 40)}
    result = rank_images(index, on_circle(0), replace(ALONE, neighbours=3))
    expected = [squared[40] - squared[angle] for angle in (10, 20, 25)]
    np.testing.assert_allclose(result.scores, expected, atol=1e-6)
    assert (result.votes.tolist(), result.ranks.tolist()) == ([1, 1, 1], [0, 1, 2])
    # Of four neighbours two are in photo a, and only the nearer one counts unless all do.
    once = rank_images(index, on_circle(0), replace(ALONE, neighbours=4))
    every = rank_images(index, on_circle(0), replace(ALONE, neighbours=4, single_match=False))
    chance = 2 - 2 * np.cos(np.radians(50))
    assert (once.votes.tolist(), every.votes.tolist()) == ([1, 1, 1], [2, 1, 1])
    np.testing.assert_allclose(once.scores[0], chance - squared[10], atol=1e-6)
    np.testing.assert_allclose(every.scores[0], 2 * chance - squared[10] - squared[40], atol=1e-6)


@pytest.mark.parametrize("single", [True, False])
def test_votes_are_those_of_a_brute_force_search(index, query_of, single):
    query = query_of("tower_b")
    result = rank_images(index, query, replace(VOTES, single_match=single))
    scores, counts = brute_force(index, query, 12, single)
    assert result.votes.tolist() == counts.tolist()
    np.testing.assert_allclose(result.scores, scores, atol=1e-4)


def test_more_neighbours_than_features_in_the_index(index, query_of):
    query = query_of("tower_a")
    every = rank_images(index, query, replace(VOTES, neighbours=10_000, single_match=False))
    assert every.votes[index.names.index("tower_b")] == 80 * 80
    assert ranked_names(index, every)[0] == "tower_a"
    single = rank_images(index, query, replace(SMALL, neighbours=10_000))
    assert set(single.votes.tolist()) == {0, 80}  # all but the photo without features
    assert ranked_names(index, single)[0] == "tower_a"


def test_many_descriptors_are_searched_in_blocks_of_one_size(index, query_of, monkeypatch):
    rng = np.random.default_rng(0)
    query = features_of(rng.uniform(0, 900, (600, 2)), rng.normal(size=(600, 16)))
    whole = rank_images(index, query, SMALL, threads=2)
    monkeypatch.setattr(votes, "SEARCH_BLOCK", 7)
    blocks = rank_images(index, query, SMALL)
    np.testing.assert_array_equal(whole.votes, blocks.votes)
    np.testing.assert_allclose(whole.scores, blocks.scores, atol=1e-4)


class WithRemoved:
    """An index in which FAISS no longer finds the features of some images."""

    def __init__(self, index, removed):
        self._index = index
        self._removed = removed

    def __getattr__(self, name):
        return getattr(self._index, name)

    def nearest(self, descriptors, k):
        distances, rows = self._index.nearest(descriptors, k)
        gone = np.isin(self._index.images_of(np.maximum(rows, 0)), self._removed) | (rows < 0)
        for line, missing in enumerate(gone):
            kept = np.flatnonzero(~missing)
            for array, filler in ((distances, np.inf), (rows, -1)):
                array[line] = np.r_[array[line, kept], np.full(missing.sum(), filler)]
        return distances, rows


def test_rows_that_were_not_found_have_no_vote(index, query_of):
    tower_b = index.names.index("tower_b")
    left = WithRemoved(index, [tower_b])
    for how in (SMALL, PLAIN):
        result = rank_images(left, query_of("tower_a"), how)
        assert (result.votes[tower_b], result.scores[tower_b]) == (0, 0)
        assert np.isfinite(result.scores).all()
        assert [index.names[image] for image in result.ranks[:2]] == ["tower_a", "tower_c"]
    nothing = WithRemoved(index, np.arange(index.image_count))
    assert rank_images(nothing, query_of("tower_a"), SMALL).ranks.tolist() == list(range(12))
