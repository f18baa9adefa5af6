from __future__ import annotations

import numpy as np
import pytest

from benchmarks.synthetic_features import VIEWS, FeatureWorld
from src.feature_io import feature_path, read_features, read_manifest
from src.ranking.geometry import match_descriptors, verify


def test_a_larger_world_holds_the_smaller_one():
    small, large = FeatureWorld(7, 50, 16), FeatureWorld(12, 50, 16)
    assert small.names == large.names[:7]
    for a, b in zip(small, large):
        np.testing.assert_array_equal(a.descriptors, b.descriptors)
        np.testing.assert_array_equal(a.locations, b.locations)
    assert len(list(small)) == 7
    assert len({features.descriptors.tobytes() for features in large}) == 12


def test_the_folder_holds_the_world(tmp_path):
    world = FeatureWorld(6, 50, 16, seed=3)
    world.write(tmp_path)
    assert read_manifest(tmp_path).names == tuple(world.names)
    for name, features in zip(world.names, world):
        read = read_features(feature_path(tmp_path, name))
        np.testing.assert_array_equal(read.descriptors, features.descriptors)
        np.testing.assert_allclose(np.linalg.norm(read.descriptors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("uniform", [False, True])
def test_views_of_a_building_agree_on_an_affine_map_and_others_do_not(uniform):
    world = FeatureWorld(2 * VIEWS, 400, 40, uniform=uniform)
    query = world.query(1)
    inliers = []
    for features in world:
        pairs = match_descriptors(query.descriptors, features.descriptors, mutual=True)
        found = verify(query.locations[pairs[:, 0]], features.locations[pairs[:, 1]])
        inliers.append(found.count)
    assert min(inliers[VIEWS:]) > 2 * max(inliers[:VIEWS])
