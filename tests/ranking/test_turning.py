"""Queries that lie on their side: which turns are asked for, and what becomes of their scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from src.common.errors import UserError
from src.feature_io import Features
from src.ranking import turning
from src.ranking.one_query import rank_images
from src.ranking.query_matches import QueryMatches
from src.ranking.settings import RetrievalSettings
from src.ranking.turning import rank_turned
from tests.helpers.features import features_of
from tests.helpers.retrieval import ALONE, index_of

RIGHT_ANGLES = replace(ALONE, query_rotations="0,90,180,270")


@pytest.fixture
def photos():
    """A scene of 70 points, another one, and four of nothing in common."""
    rng = np.random.default_rng(0)
    return {
        f"photo_{number}": features_of(rng.uniform(0, 500, (70, 2)), rng.normal(size=(70, 16)))
        for number in range(6)
    }


@pytest.fixture
def index(photos, tmp_path):
    return index_of(tmp_path, photos)


def strange(seed):
    """Features that belong to no photo: of a turn by which the network knows nothing again."""
    rng = np.random.default_rng(seed)
    return features_of(rng.uniform(0, 500, (70, 2)), rng.normal(size=(70, 16)))


def never():
    raise AssertionError("a turn was asked for")


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("0", ()),
        ("auto", (1, 2, 3)),
        ("0,90,180,270", (1, 2, 3)),
        ("270, 90", (1, 3)),
        ("180", (2,)),
    ],
)
def test_degrees_become_turns(text, turns):
    assert RetrievalSettings(query_rotations=text).turns == turns


@pytest.mark.parametrize("text", ["", "45", "90;180", "up", "0,,90", "360"])
def test_other_angles_are_refused(text):
    with pytest.raises(UserError, match=r"query_rotations is .*; give auto, or some of 0, 90"):
        RetrievalSettings(query_rotations=text)


def test_the_published_ranking_asks_upright_only():
    assert RetrievalSettings.plain().turns == ()


def test_the_turn_that_fits_an_image_counts_for_it(index, photos):
    by_turn = [strange(1), photos["photo_2"], strange(3), photos["photo_4"]]
    result = rank_images(index, by_turn, ALONE)
    alone = [rank_images(index, each, ALONE) for each in by_turn]
    expected = alone[0].scores.copy()  # by chance votes of a turn nothing is gained
    expected[2], expected[4] = alone[1].scores[2], alone[3].scores[4]
    np.testing.assert_array_equal(result.scores, expected)
    assert set(result.ranks[:2].tolist()) == {2, 4}
    assert (result.turns[2], result.turns[4]) == (1, 3)
    assert result.inliers[2] == alone[1].inliers[2] == 70
    assert result.votes[4] == alone[3].votes[4]


def test_one_turn_is_the_query_itself(index, photos):
    one, several = (rank_images(index, each, ALONE) for each in (strange(1), [strange(1)]))
    np.testing.assert_array_equal(one.scores, several.scores)
    assert not several.turns.any()


def test_a_query_is_turned_only_where_nothing_convinces(index, photos):
    auto = replace(ALONE, query_rotations="auto")
    upright = photos["photo_2"]
    np.testing.assert_array_equal(
        rank_turned(index, upright, never, auto).ranks, rank_images(index, upright, ALONE).ranks
    )
    asked = []

    def turned():
        asked.append(1)
        return [photos["photo_4"]]

    found = rank_turned(index, strange(1), turned, auto)
    assert asked and found.ranks[0] == 4 and found.turns[4] == 1
    # What convinces is the query itself: that says nothing.
    found = rank_turned(index, upright, turned, auto, itself="photo_2")
    assert len(asked) == 2 and found.inliers[4] == 70


def test_upright_only_and_always(index, photos):
    rank_turned(index, strange(1), never, replace(ALONE, query_rotations="0"))
    found = rank_turned(index, photos["photo_2"], lambda: [photos["photo_4"]], RIGHT_ANGLES)
    assert set(found.ranks[:2].tolist()) == {2, 4}


def test_a_turn_without_features_changes_nothing(index, photos):
    with_it = rank_images(index, [photos["photo_2"], Features.empty(16)], ALONE)
    np.testing.assert_array_equal(
        with_it.scores, rank_images(index, photos["photo_2"], ALONE).scores
    )


def test_matches_are_those_of_the_turn_that_counted(index, photos):
    by_turn = [strange(1), photos["photo_4"]]
    found = rank_images(index, by_turn, ALONE)
    match = QueryMatches(index, by_turn, ALONE, found.turns)(4)
    assert match.inlier_count == found.inliers[4] == 70
    np.testing.assert_allclose(match.locations_a, match.locations_b)
    assert turning.CONVINCING_INLIERS <= 70
