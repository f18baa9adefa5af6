"""Two stages: global descriptors choose images, local features of those alone are matched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from src.index.choice import TWO_STAGE_IMAGES
from src.index.part import Similar
from src.ranking.candidates import find_candidates
from src.ranking.one_query import rank_images
from src.ranking.query_matches import QueryMatches
from src.ranking.settings import RetrievalSettings
from tests.helpers.retrieval import index_of
from tests.helpers.things import photos_of_things

TWO_STAGE = RetrievalSettings(
    neighbours=12, search_kind="two_stage", rerank_images=0, query_rotations="0"
)


@pytest.fixture(scope="module", params=["flat", "ivf"])
def world(request, tmp_path_factory):
    made = photos_of_things(24, 4, "p", around=30)
    return made, index_of(tmp_path_factory.mktemp("world"), made, request.param)


def test_neighbours_are_those_of_the_chosen_images_alone(world):
    made, index = world
    chosen = [17, 3, 8]
    similar = Similar(np.array([3, 5, 8, 17]), index.globals[[3, 5, 8, 17]])
    part = index.part(similar, similar.images != 5)  # whose local features are not compared
    queries = made["p05"].descriptors
    squares, rows = part.nearest(queries, 20)
    inside = np.concatenate([np.arange(*index.offsets[i : i + 2]) for i in sorted(chosen)])
    wanted = ((queries[:, None] - np.asarray(index.descriptors)[inside]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(rows, np.argsort(wanted, axis=1)[:, :20])
    np.testing.assert_allclose(squares, np.sort(wanted, axis=1)[:, :20], atol=1e-4)
    assert set(part.images_of(rows.ravel()).tolist()) == {0, 2, 3}
    np.testing.assert_array_equal(part.descriptors, index.descriptors[inside])
    np.testing.assert_array_equal(part.locations, index.locations[inside])
    # More neighbours than there are features, and a part of nothing.
    squares, rows = index.part(similar, similar.images == 3).nearest(queries, 100)
    assert (rows[:, 70:] == -1).all() and np.isinf(squares[:, 70:]).all()
    assert (index.part(similar, similar.images < 0).nearest(queries, 2)[1] == -1).all()


def test_all_images_as_candidates_give_the_ranking_of_one_stage(world):
    made, index = world
    for name in ("p00", "p07"):
        both = [
            rank_images(index, made[name], replace(TWO_STAGE, search_kind=kind))
            for kind in ("local", "two_stage")
        ]
        np.testing.assert_allclose(both[0].scores, both[1].scores, rtol=1e-6)
        np.testing.assert_array_equal(both[0].inliers, both[1].inliers)


def test_only_candidates_are_matched_and_all_images_are_ranked(world):
    made, index = world
    settings = replace(TWO_STAGE, candidate_images=8)
    query = made["p02"]
    found = find_candidates(index, [query], settings.fitted(index, query))
    chosen = found.images[np.diff(found.part.offsets) > 0]
    wanted = np.argsort(-(index.globals @ query.global_descriptor), kind="stable")[:8]
    np.testing.assert_array_equal(chosen, np.sort(wanted))
    found = rank_images(index, query, settings)
    others = np.setdiff1d(np.arange(24), chosen)
    assert found.votes[chosen].all() and not found.votes[others].any()
    assert sorted(found.ranks.tolist()) == list(range(24))
    assert {index.names[i] for i in found.ranks[:6]} == {f"p{n:02}" for n in range(2, 24, 4)}
    # What is drawn is what was ranked by.
    matches = QueryMatches(index, query, settings)
    for image in chosen[:3].tolist():
        assert matches(image).inlier_count == found.inliers[image]
    assert not len(matches(int(others[0])).inliers)


def test_when_there_are_two_stages(world):
    made, index = world
    query = made["p00"]

    def is_narrow(settings, by_turn=(query,), of=index):
        return find_candidates(of, by_turn, settings) is not None

    assert is_narrow(TWO_STAGE)
    assert not is_narrow(replace(TWO_STAGE, search_kind="local"))
    assert not is_narrow(replace(TWO_STAGE, search_kind="auto"))
    assert not is_narrow(replace(TWO_STAGE, global_weight=0.0))
    assert not is_narrow(TWO_STAGE, [replace(query, global_descriptor=None)])
    assert not RetrievalSettings.plain().is_two_stage(index)

    class Many:
        image_count, has_globals, is_two_stage = TWO_STAGE_IMAGES + 1, True, False

    assert RetrievalSettings().is_two_stage(Many)
    assert not RetrievalSettings(search_kind="local").is_two_stage(Many)
