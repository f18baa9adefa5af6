"""The ranking of one query: order, ties, threads, nasty cases."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.common.errors import UserError
from src.feature_io import Features
from src.ranking.one_query import rank_images
from tests.helpers.retrieval import (
    ALONE,
    PLAIN,
    SMALL,
    VOTES,
    features_of,
    index_of,
    inlier_pairs,
    ranked_names,
)


@pytest.mark.parametrize("how", [SMALL, ALONE, VOTES, PLAIN])
@pytest.mark.parametrize("building", ["tower", "bridge"])
def test_views_of_the_same_building_come_first(index, query_of, building, how):
    result = rank_images(index, query_of(f"{building}_a"), how)
    names = ranked_names(index, result)
    assert names[0] == f"{building}_a"
    assert set(names[:3]) == {f"{building}_{view}" for view in "abc"}
    assert result.inliers[result.ranks[0]] >= 80  # itself: every feature
    assert result.inliers[result.ranks[2]] >= 25 > result.inliers[result.ranks[3]]


def test_every_list_is_a_permutation_sorted_by_score_and_order(index, query_of):
    for name, how in itertools.product(index.names, (SMALL, ALONE, VOTES, PLAIN)):
        result = rank_images(index, query_of(name), how)
        assert result.ranks.dtype == np.int32
        assert sorted(result.ranks) == list(range(index.image_count))
        keys = [(-result.scores[i], i) for i in result.ranks]
        assert keys == sorted(keys)


def test_plain_ranking_is_by_inliers_then_votes_then_order(index, query_of):
    for name in index.names:
        result = rank_images(index, query_of(name), PLAIN)
        keys = [(-result.inliers[i], -result.votes[i], i) for i in result.ranks]
        assert keys == sorted(keys)


def test_the_number_of_threads_changes_nothing(index, query_of):
    for name, how in itertools.product(("tower_a", "bridge_c", "other_2"), (SMALL, PLAIN)):
        one, two = (rank_images(index, query_of(name), how, threads) for threads in (1, 2))
        for field in ("ranks", "scores", "inliers", "votes"):
            assert getattr(one, field).tobytes() == getattr(two, field).tobytes()


@pytest.mark.parametrize("how", [SMALL, PLAIN])
def test_query_without_features_keeps_the_order_of_the_index(index, how):
    result = rank_images(index, Features.empty(16), how)
    assert result.ranks.tolist() == list(range(index.image_count))
    assert not result.votes.any()
    assert not result.inliers.any()
    assert [len(part) for part in inlier_pairs(index, Features.empty(16), 0, how)] == [0, 0]


def test_an_image_without_features_ranks_last(index, query_of):
    for how in (ALONE, PLAIN):
        result = rank_images(index, query_of("tower_a"), replace(how, neighbours=400))
        assert index.names[result.ranks[-1]] == "nothing"
    assert inlier_pairs(index, query_of("tower_a"), index.names.index("nothing"))[0].shape == (0, 2)


@pytest.mark.parametrize("count", [1, 2, 80])
@pytest.mark.parametrize("how", [SMALL, PLAIN])
def test_an_index_of_one_image(tmp_path, query_of, how, count):
    some = query_of("tower_a")
    one = Features(*(getattr(some, part)[:count] for part in
                     ("locations", "scales", "descriptors", "attention")))  # fmt: skip
    index = index_of(tmp_path, {"only": one})
    result = rank_images(index, query_of("tower_b"), how)
    assert result.ranks.tolist() == [0]
    assert result.votes[0] >= 80
    assert np.isfinite(result.scores).all()


def test_query_of_another_dimension_is_refused(index):
    query = features_of(np.ones((3, 2)), np.ones((3, 8)))
    with pytest.raises(UserError, match="8 dimensions"):
        rank_images(index, query, SMALL)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 30), st.integers(0, 3))
def test_random_features_give_permutations(index, seed, count, neighbours, shortlist):
    rng = np.random.default_rng(seed)
    locations = rng.integers(0, 4, (count, 2)) * 100.0  # many coincide
    query = features_of(locations, rng.normal(size=(count, 16)))
    how = replace(SMALL, neighbours=neighbours, shortlist=shortlist, expansion_inliers=3)
    result = rank_images(index, query, how)
    assert sorted(result.ranks) == list(range(index.image_count))
    assert count <= result.votes.sum() <= count * neighbours
    assert (result.inliers <= result.votes).all()
    assert (np.diff(result.scores[result.ranks]) <= 0).all()
    if shortlist:
        assert (result.inliers > 0).sum() <= shortlist
