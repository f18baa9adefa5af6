from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import src.ranking.one_query as ranking
from src.common.errors import UserError
from src.feature_io import Features, feature_path, read_features
from src.index.build import build_index
from src.index.folder import load_index
from src.ranking.one_query import (
    RetrievalSettings,
    rank_images,
)
from src.ranking.query_matches import QueryMatches
from tests.helpers.retrieval import features_of, folder_of, world

SMALL = RetrievalSettings(neighbours=12, expansion_inliers=15)
ALONE = replace(SMALL, expansion_images=0)
VOTES = replace(ALONE, inlier_weight=0.0)
PLAIN = replace(RetrievalSettings.plain(), neighbours=12)


def inlier_pairs(index, query, image, settings=ALONE):
    """The verified matches of a query with an image."""
    match = QueryMatches(index, query, settings)(image)
    return match.locations_a[match.inliers], match.locations_b[match.inliers]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    features = world(folder / "features")
    build_index(features, folder / "index")
    return folder


@pytest.fixture(scope="module")
def index(made):
    return load_index(made / "index")


@pytest.fixture(scope="module")
def query_of(made):
    return lambda name: read_features(feature_path(made / "features", name))


def index_of(folder, photos):
    build_index(folder_of(folder / "features", photos), folder / "index")
    return load_index(folder / "index")


def ranked_names(index, result):
    return [index.names[image] for image in result.ranks]


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


# ---------------------------------------------------------------- votes


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


def brute_force(index, query, k, single):
    """Return weights and counts of the votes by image, computed one by one."""
    scores, counts = np.zeros(index.image_count), np.zeros(index.image_count, int)
    for descriptor in query.descriptors.astype(np.float64):
        squared = ((index.descriptors - descriptor) ** 2).sum(axis=1)
        nearest = np.argsort(squared)[: k + 1]
        seen = set()
        for row in nearest[:k]:
            image = int(np.searchsorted(index.offsets, row, side="right") - 1)
            if single and image in seen:
                continue
            seen.add(image)
            scores[image] += squared[nearest[-1]] - squared[row]
            counts[image] += 1
    return scores, counts


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


# ---------------------------------------------------------------- verification


def spy_on_verify(monkeypatch):
    """Return a list that every verification adds its two arrays of locations to."""
    seen = []
    original = ranking.verify

    def spy(locations_a, locations_b, *others):
        seen.append((locations_a, locations_b))
        return original(locations_a, locations_b, *others)

    monkeypatch.setattr(ranking, "verify", spy)
    return seen


def images_at(index):
    pairs = zip(index.locations, index.image_of)
    return {tuple(location): int(image) for location, image in pairs}


def verified_images(index, seen):
    image_at = images_at(index)
    verified = [{image_at[tuple(location)] for location in pair[1]} for pair in seen]
    assert all(len(images) == 1 for images in verified)
    return [images.pop() for images in verified]


def test_plain_ranking_verifies_every_voted_image_with_all_its_matches(
    index, query_of, monkeypatch
):
    """The first and the last of the voted images too."""
    seen = spy_on_verify(monkeypatch)
    result = rank_images(index, query_of("tower_b"), replace(PLAIN, neighbours=3))
    images = verified_images(index, seen)
    assert sorted(images) == np.flatnonzero(result.votes).tolist()
    assert [len(pair[1]) for pair in seen] == result.votes[images].tolist()


def test_single_matches_are_the_nearest_of_each_feature(index, query_of, monkeypatch):
    seen = spy_on_verify(monkeypatch)
    query = query_of("tower_b")
    rank_images(index, query, ALONE)
    row_at = {tuple(location): row for row, location in enumerate(query.locations)}
    column_at = {tuple(location): row for row, location in enumerate(index.locations)}
    distances = np.linalg.norm(query.descriptors[:, None] - index.descriptors[None], axis=2)
    assert len(seen) > 8
    for image, (locations_a, locations_b) in zip(verified_images(index, seen), seen):
        rows = [row_at[tuple(location)] for location in locations_a]
        assert len(set(rows)) == len(rows)
        of_image = distances[:, index.offsets[image] : index.offsets[image + 1]]
        for row, location in zip(rows, locations_b):
            assert distances[row, column_at[tuple(location)]] == of_image[row].min()


def test_the_shortlist_is_what_has_most_votes(index, query_of, monkeypatch):
    query = query_of("tower_a")
    by_votes = rank_images(index, query, VOTES)
    seen = spy_on_verify(monkeypatch)
    result = rank_images(index, query, replace(ALONE, shortlist=4))
    assert verified_images(index, seen) == by_votes.ranks[:4].tolist()
    assert sorted(result.ranks[:4]) == sorted(by_votes.ranks[:4])
    assert result.ranks[4:].tolist() == by_votes.ranks[4:].tolist()
    assert not result.inliers[result.ranks[4:]].any()


def test_inliers_count_again_and_are_what_inlier_pairs_returns(index, query_of):
    query = query_of("bridge_a")
    votes = rank_images(index, query, VOTES)
    result = rank_images(index, query, replace(ALONE, inlier_weight=1.5))
    row_at = {tuple(location): row for row, location in enumerate(query.locations)}
    column_at = {tuple(location): row for row, location in enumerate(index.locations)}
    squared = ((query.descriptors[:, None] - index.descriptors[None]) ** 2).sum(axis=2)
    chance = np.sort(squared, axis=1)[:, 12]
    for image in range(index.image_count):
        of_query, of_image = inlier_pairs(index, query, image, ALONE)
        assert len(of_query) == len(of_image) == result.inliers[image]
        assert of_image.shape[1:] == (2,)
        rows = [row_at[tuple(location)] for location in of_query]
        columns = [column_at[tuple(location)] for location in of_image]
        assert set(index.image_of[columns].tolist()) <= {image}
        again = (chance[rows] - squared[rows, columns]).sum()
        np.testing.assert_allclose(
            result.scores[image] - votes.scores[image], 1.5 * again, atol=1e-4
        )


@pytest.mark.parametrize("how", [SMALL, PLAIN, replace(SMALL, shortlist=3)])
def test_inlier_pairs_of_several_images_agree_with_the_counts(index, query_of, how):
    query = query_of("tower_c")
    result = rank_images(index, query, how)
    pairs = [inlier_pairs(index, query, image, how) for image in range(index.image_count)]
    assert [len(a) for a, _ in pairs] == [len(b) for _, b in pairs] == result.inliers.tolist()


# ---------------------------------------------------------------- expansion


def chain(folder, seed=0):
    """Write photos of two halves of a facade: left, both, right, and the left again; and others.

    The query sees the left half, the third photo only the right: the second one connects them.
    """
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 500, (60, 2))
    looks = rng.normal(size=(60, 16))
    photos = {}

    def view(rows):
        around = rng.uniform(0, 1000, (30, 2))
        noisy = looks[rows] + 0.3 * rng.normal(size=(len(rows), 16))
        return features_of(
            np.r_[points[rows] * 1.1 + 5, around], np.r_[noisy, rng.normal(size=(30, 16))]
        )

    left, right = np.arange(30), np.arange(30, 60)
    photos["z_both"] = view(np.arange(60))
    photos["z_right"] = view(right)
    for number in range(8):
        photos[f"other_{number}"] = features_of(
            rng.uniform(0, 1000, (60, 2)), rng.normal(size=(60, 16))
        )
    return view(left), index_of(folder, photos)


def test_expansion_finds_what_only_a_verified_image_shows(tmp_path):
    query, index = chain(tmp_path)
    both, right = index.names.index("z_both"), index.names.index("z_right")
    alone = rank_images(index, query, ALONE)
    assert alone.ranks[0] == both
    assert not alone.inliers[right]
    with_it = rank_images(index, query, SMALL)
    assert with_it.ranks[:2].tolist() == [both, right]
    gains = with_it.scores - alone.scores
    assert gains[both] == 0  # nobody votes for himself
    # What is added is what the features in the box around the inliers vote for.
    _, inliers = inlier_pairs(index, query, both, SMALL)
    start, end = index.offsets[both : both + 2]
    inside = [
        row
        for row in range(start, end)
        if (inliers.min(0) <= index.locations[row]).all()
        and (index.locations[row] <= inliers.max(0)).all()
    ]
    assert 30 < len(inside) < end - start
    sub = features_of(index.locations[inside], np.array(index.descriptors[inside]))
    expected, _ = brute_force(index, sub, 12, single=True)
    expected[both] = 0
    np.testing.assert_allclose(gains, expected, atol=1e-4)


def test_expansion_needs_inliers_and_can_be_limited(tmp_path):
    query, index = chain(tmp_path)
    both, right = index.names.index("z_both"), index.names.index("z_right")
    alone = rank_images(index, query, ALONE)
    many = replace(SMALL, expansion_inliers=int(alone.inliers[both]) + 1)
    np.testing.assert_array_equal(rank_images(index, query, many).scores, alone.scores)
    few = rank_images(index, query, replace(SMALL, expansion_features=20))
    whole = rank_images(index, query, SMALL)
    assert alone.scores[right] < few.scores[right] < whole.scores[right]


def test_the_query_itself_and_its_copies_expand_nothing(index, query_of, tmp_path):
    query = query_of("tower_a")
    others = {name: query_of(name) for name in ("tower_b", "tower_c", "other_1")}
    copies = index_of(tmp_path, {"copy_1": query, "copy_2": query, **others})
    assert rank_images(copies, query, SMALL).ranks[:2].tolist() == [0, 1]
    how = replace(SMALL, expansion_images=1)
    gains = rank_images(copies, query, how).scores - rank_images(copies, query, ALONE).scores
    # Of the images on the building only the one expanded by gains nothing: no copy was chosen.
    assert (gains[:2] > 0).all()
    views = [gains[copies.names.index(name)] for name in ("tower_b", "tower_c")]
    assert min(views) == 0 < max(views)


# ---------------------------------------------------------------- independence and nasty cases


def test_the_number_of_threads_changes_nothing(index, query_of):
    for name, how in itertools.product(("tower_a", "bridge_c", "other_2"), (SMALL, PLAIN)):
        one, two = (rank_images(index, query_of(name), how, threads) for threads in (1, 2))
        for field in ("ranks", "scores", "inliers", "votes"):
            assert getattr(one, field).tobytes() == getattr(two, field).tobytes()


def test_many_descriptors_are_searched_in_blocks_of_one_size(index, query_of, monkeypatch):
    rng = np.random.default_rng(0)
    query = features_of(rng.uniform(0, 900, (600, 2)), rng.normal(size=(600, 16)))
    whole = rank_images(index, query, SMALL, threads=2)
    monkeypatch.setattr(ranking, "SEARCH_BLOCK", 7)
    blocks = rank_images(index, query, SMALL)
    np.testing.assert_array_equal(whole.votes, blocks.votes)
    np.testing.assert_allclose(whole.scores, blocks.scores, atol=1e-4)


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


class WithRemoved:
    """An index in which FAISS no longer finds the features of some images."""

    def __init__(self, index, removed):
        self._index = index
        self._removed = removed

    def __getattr__(self, name):
        return getattr(self._index, name)

    def nearest(self, descriptors, k):
        distances, rows = self._index.nearest(descriptors, k)
        gone = np.isin(self._index.image_of[np.maximum(rows, 0)], self._removed) | (rows < 0)
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("neighbours", 0),
        ("shortlist", -1),
        ("inlier_weight", float("nan")),
        ("expansion_images", -2),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(UserError, match=name):
        RetrievalSettings(**{name: value})


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
