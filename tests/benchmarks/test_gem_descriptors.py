from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import benchmarks.gem_descriptors as yardstick
from benchmarks.ablate_ranking import Remembering, difference, halves
from benchmarks.gem_descriptors import (
    describe,
    extract_gem,
    gem,
    rank_by_similarity,
    read_descriptors,
)
from src.common.errors import UserError
from src.dataset import Query
from src.delf_config import DelfConfig
from src.index.build import build_index
from src.index.folder import load_index
from tests.helpers.retrieval import world


def test_generalised_mean_by_hand():
    features = np.array([[[1.0, 3.0]], [[2.0, 2.0]]])  # two channels on a map of 1×2
    pooled = np.array([((1 + 27) / 2) ** (1 / 3), 2.0])
    np.testing.assert_allclose(gem(features), pooled / np.linalg.norm(pooled))
    np.testing.assert_allclose(gem(features, power=1), np.ones(2) / np.sqrt(2))


def network(level):
    """Two channels: the mean colour, and one."""
    return np.stack([level[0, :1, ::8, ::8] + 1, np.ones_like(level[0, :1, ::8, ::8])])[:, 0]


def test_a_photo_is_the_sum_over_its_scales():
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    config = DelfConfig(image_scales=(0.5, 1.0), max_level_side=64, min_level_side=1)
    one = describe(image, network, config)
    parts = [
        describe(image, network, DelfConfig(image_scales=(scale,), max_level_side=round(64 * scale),
                                            min_level_side=1)).descriptors[0]
        for scale in (0.5, 1.0)
    ]  # fmt: skip
    total = np.sum(parts, axis=0)
    np.testing.assert_allclose(one.descriptors, [total / np.linalg.norm(total)], atol=1e-6)


def test_a_folder_is_described_once_and_bad_photos_are_like_none(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        picture = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(picture).save(photos / f"{name}.png")
    (photos / "c.png").write_bytes(b"no picture")
    calls = []
    wide = np.ones((yardstick.DIMENSION, 2, 2))

    def stand_in(checkpoint):
        return lambda level: calls.append(1) or wide * (1 + level.mean() ** 2), "weights"

    monkeypatch.setattr(yardstick, "load_conv5", stand_in)
    extract_gem(photos, tmp_path / "out", "none.h5", 64)
    names, descriptors = read_descriptors(tmp_path / "out")
    assert names == ("a", "b", "c")
    assert descriptors.shape == (3, yardstick.DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), [1, 1, 0], atol=1e-6)
    before = len(calls)
    extract_gem(photos, tmp_path / "out", "none.h5", 64)
    assert len(calls) == before
    with pytest.raises(UserError, match="max_level_side"):
        extract_gem(photos, tmp_path / "out", "none.h5", 128)


def test_ranks_by_similarity():
    descriptors = np.array([[1.0, 0], [0, 1], [0.8, 0.6], [0, 0]])
    ranks = rank_by_similarity(descriptors[[2, 1]], descriptors)
    assert ranks.tolist() == [[2, 0, 1, 3], [1, 2, 0, 3]]


def test_remembered_neighbours_are_those_of_the_index(tmp_path):
    build_index(world(tmp_path / "features"), tmp_path / "index")
    index = load_index(tmp_path / "index")
    remembering = Remembering(index)
    queries = np.array(index.descriptors[:30])
    remembering.nearest(queries[:20], 5)
    for k in (1, 7):
        found, expected = remembering.nearest(queries[10:], k), index.nearest(queries[10:], k)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    assert remembering.names == index.names


def test_paired_differences_and_halves():
    text = difference(np.array([50.0, 60, 70]), np.array([40.0, 60, 72]))
    assert text == "+2.67 ± 3.71 | 1 / 1"
    nothing = np.zeros(0, dtype=np.int64)
    queries = [
        Query(label, label, 0, (0, 0, 1, 1), nothing, nothing, nothing)
        for label in ("a_b_1", "a_b_2", "c_1", "d_10")
    ]
    assert halves(queries).tolist() == [True, True, False, True]
