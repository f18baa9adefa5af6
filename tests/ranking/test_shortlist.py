"""Which images are verified, with which matches, and what their inliers count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from src.ranking import shortlist
from src.ranking.one_query import rank_images
from tests.helpers.retrieval import ALONE, PLAIN, SMALL, VOTES, inlier_pairs


def spy_on_verify(monkeypatch):
    """Return a list that every verification adds its two arrays of locations to."""
    seen = []
    original = shortlist.verify

    def spy(locations_a, locations_b, *others):
        seen.append((locations_a, locations_b))
        return original(locations_a, locations_b, *others)

    monkeypatch.setattr(shortlist, "verify", spy)
    return seen


def images_at(index):
    pairs = zip(index.locations, index.images_of(np.arange(len(index.locations))))
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
    distances = np.linalg.norm(
        query.descriptors[:, None] - np.asarray(index.descriptors)[None], axis=2
    )
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
    squared = ((query.descriptors[:, None] - np.asarray(index.descriptors)[None]) ** 2).sum(axis=2)
    chance = np.sort(squared, axis=1)[:, 12]
    for image in range(index.image_count):
        of_query, of_image = inlier_pairs(index, query, image, ALONE)
        assert len(of_query) == len(of_image) == result.inliers[image]
        assert of_image.shape[1:] == (2,)
        rows = [row_at[tuple(location)] for location in of_query]
        columns = [column_at[tuple(location)] for location in of_image]
        assert set(index.images_of(np.array(columns)).tolist()) <= {image}
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
