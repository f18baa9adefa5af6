"""Local and global scores together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from src.index.folder import load_index
from src.ranking.fusion import fused
from src.ranking.one_query import rank_images
from src.ranking.settings import RetrievalSettings
from tests.helpers.retrieval import ALONE, index_of

AS_THEY_ARE = RetrievalSettings(global_weight=2.0, rerank_images=0)


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def test_a_score_worked_by_hand():
    """√(9/4), √(4/4), √(1/4) and twice the cosines 0.6, 0, 1."""
    images = np.float32([[0.6, 0.8], [0, 1], [1, 0]])
    scores = fused(np.array([9.0, 4.0, 1.0]), np.float32([[1, 0]]), images, AS_THEY_ARE)
    np.testing.assert_allclose(scores, [1.5 + 1.2, 1, 0.5 + 2])


def test_the_best_rotation_of_an_image_counts():
    images = np.float32([[0.6, 0.8], [0, 1], [1, 0]])
    scores = fused(np.zeros(3), np.float32([[1, 0], [0, 1]]), images, AS_THEY_ARE)
    np.testing.assert_allclose(scores, [1.6, 2, 2])


def test_nothing_found_by_local_features_and_one_image_alone():
    alone = fused(np.array([3.0]), np.float32([[1, 0]]), np.float32([[1, 0]]), AS_THEY_ARE)
    np.testing.assert_allclose(alone, [np.sqrt(3 / 3) + 2])
    nothing = fused(np.zeros(2), np.float32([[1, 0]]), np.zeros((2, 2), np.float32), AS_THEY_ARE)
    np.testing.assert_array_equal(nothing, [0, 0])


def crowd(seed=0, count=120):
    """Images of three buildings, each seen from a wide range, among others; and a query of one."""
    rng = np.random.default_rng(seed)
    buildings = rng.normal(size=(3, 64))
    turns = rng.normal(size=(3, 64))
    views = [
        buildings[i % 3] + np.linspace(-1, 1, 10)[i // 3] * turns[i % 3] + rng.normal(size=64) * 0.4
        for i in range(30)
    ]
    images = unit(np.concatenate([views, rng.normal(size=(count - 30, 64))]))
    query = unit(buildings[:1] - turns[:1])
    return images, query, np.arange(30) % 3 == 0


def mean_rank(scores, shown):
    ranks = np.argsort(np.argsort(-scores, kind="stable"))
    return ranks[: len(shown)][shown].mean()


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_lead_to_views_that_the_query_does_not_resemble(seed):
    images, query, shown = crowd(seed)
    local = np.zeros(len(images))
    plain = fused(local, query, images, AS_THEY_ARE)
    refined = fused(local, query, images, RetrievalSettings())
    assert mean_rank(refined, shown) < min(5, 0.8 * mean_rank(plain, shown))


def test_the_order_of_the_images_does_not_matter():
    images, query, _ = crowd()
    local = np.random.default_rng(1).uniform(0, 5, len(images))
    order = np.random.default_rng(2).permutation(len(images))
    straight = fused(local, query, images, RetrievalSettings())
    mixed = fused(local[order], query, images[order], RetrievalSettings())
    np.testing.assert_allclose(mixed, straight[order], rtol=1e-5)


@pytest.fixture
def features(index, query_of):
    return {name: query_of(name) for name in index.names}


@pytest.fixture
def photos(features):
    rng = np.random.default_rng(5)
    return {
        name: replace(found, size=(700, 1000), global_descriptor=unit(rng.normal(size=32)))
        for name, found in features.items()
    }


def test_images_are_found_by_what_they_look_like_as_a_whole(tmp_path, photos):
    """One without any local feature, too."""
    index = index_of(tmp_path, photos)
    query = replace(photos["tower_a"], global_descriptor=photos["nothing"].global_descriptor)
    strong = replace(ALONE, global_weight=50.0)
    assert index.names[rank_images(index, query, strong).ranks[0]] == "nothing"
    weak = replace(ALONE, global_weight=0.1)
    assert index.names[rank_images(index, query, weak).ranks[0]] == "tower_a"


def test_without_weight_and_without_descriptors_ranks_are_those_of_local_features(
    tmp_path, features, photos
):
    (tmp_path / "plain").mkdir()
    plain = index_of(tmp_path / "plain", features)
    index = index_of(tmp_path, photos)
    for name in ("tower_a", "other_1", "nothing"):
        expected = rank_images(plain, features[name], ALONE)
        whole = replace(photos[name], size=None)
        for ranked in (
            rank_images(index, whole, replace(ALONE, global_weight=0.0)),
            rank_images(index, features[name], ALONE),
            rank_images(plain, whole, ALONE),
        ):
            np.testing.assert_array_equal(ranked.ranks, expected.ranks)
            np.testing.assert_array_equal(ranked.scores, expected.scores)


def test_an_index_keeps_sizes_and_global_descriptors(tmp_path, photos):
    index = load_index(index_of(tmp_path, photos).folder)
    for image, name in enumerate(index.names):
        half = photos[name].global_descriptor.astype(np.float16)
        np.testing.assert_array_equal(index.globals[image], half.astype(np.float32))
        assert tuple(index.sizes[image]) == (700, 1000)


def test_fewer_neighbours_vote_in_small_collections(tmp_path, photos):
    index = index_of(tmp_path, photos)
    query = photos["tower_a"]
    assert RetrievalSettings().fitted(index, query).neighbours == 5
    assert RetrievalSettings(global_weight=0.0).fitted(index, query).neighbours == 60
    assert replace(RetrievalSettings(), neighbours=3).fitted(index, query).neighbours == 3
