from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.spatial import cKDTree

from src.index.image_table import extent
from src.ranking.geometry import Frames, VerifySettings, match_descriptors, verify


def unit(rng, count, dimension=16):
    vectors = rng.normal(size=(count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def descriptors():
    rng = np.random.default_rng(0)
    a = unit(rng, 200)
    b = np.concatenate([a[:80] + 0.2 * rng.normal(size=(80, 16)) / 4, unit(rng, 150)])
    return a, b[rng.permutation(len(b))].astype(np.float32)


def test_nearest_neighbours_are_those_of_a_tree(descriptors):
    a, b = descriptors
    _, nearest = cKDTree(b).query(a)
    np.testing.assert_array_equal(match_descriptors(a, b), np.stack([np.arange(200), nearest], 1))


def test_distance_ratio_and_mutual_check_against_trees(descriptors):
    a, b = descriptors
    distances, nearest = cKDTree(b).query(a, k=2)
    _, back = cKDTree(a).query(b)
    rows = np.arange(len(a))
    for options, keep in (
        ({"max_distance": 0.4}, distances[:, 0] <= 0.4),
        ({"ratio": 0.8}, distances[:, 0] < 0.8 * distances[:, 1]),
        ({"mutual": True}, back[nearest[:, 0]] == rows),
        (
            {"max_distance": 0.9, "ratio": 0.9, "mutual": True},
            (distances[:, 0] <= 0.9)
            & (distances[:, 0] < 0.9 * distances[:, 1])
            & (back[nearest[:, 0]] == rows),
        ),
    ):
        expected = np.stack([rows, nearest[:, 0]], 1)[keep]
        assert 10 < len(expected) < 200
        np.testing.assert_array_equal(match_descriptors(a, b, **options), expected)


def test_matching_nothing():
    empty, one = np.zeros((0, 4), np.float32), np.ones((1, 4), np.float32)
    for a, b in ((empty, one), (one, empty), (empty, empty)):
        assert match_descriptors(a, b, 0.8, 0.8, True).shape == (0, 2)
    assert match_descriptors(one, one, 0.0, 0.8, True).tolist() == [[0, 0]]


def test_duplicates_match_once_when_mutual():
    same = np.tile(np.eye(3, dtype=np.float32)[0], (5, 1))
    assert match_descriptors(same, same, mutual=True).tolist() == [[0, 0]]
    assert match_descriptors(same, same, ratio=0.9).size == 0  # nothing tells them apart


def known_map(seed, inliers=60, outliers=90, noise=1.0):
    """Matches of which the first `inliers` follow a known affine map, in (y, x)."""
    rng = np.random.default_rng(seed)
    linear = np.array([[1.2, 0.3], [-0.2, 0.8]])  # on (x, y)
    shift = np.array([40.0, -25.0])
    points = rng.uniform(0, 1000, (inliers + outliers, 2))
    mapped = points @ linear.T + shift + rng.normal(scale=noise, size=points.shape)
    mapped[inliers:] = rng.uniform(0, 1000, (outliers, 2))
    truth = np.zeros(len(points), bool)
    truth[:inliers] = True
    order = rng.permutation(len(points))
    return points[order, ::-1], mapped[order, ::-1], truth[order], np.c_[linear, shift]


@pytest.mark.parametrize("seed", range(5))
def test_a_known_map_is_found_among_outliers(seed):
    a, b, truth, affine = known_map(seed)
    found = verify(a, b)
    assert found.inliers[truth].mean() > 0.97
    assert found.inliers[~truth].mean() < 0.08  # a 20 px disc in 1000×1000 catches some by chance
    assert found.count == found.inliers.sum()
    corners = np.array([[0, 0, 1], [1000, 0, 1], [0, 1000, 1], [1000, 1000, 1]])
    error = np.linalg.norm(corners @ (found.affine - affine).T, axis=1)
    assert error.max() < 20


def test_inliers_are_within_the_threshold_of_the_map():
    a, b, _, _ = known_map(1, noise=6)
    settings = VerifySettings(threshold=12)
    found = verify(a, b, settings)
    mapped = np.c_[a[:, ::-1], np.ones(len(a))] @ found.affine.T
    distance = np.linalg.norm(mapped - b[:, ::-1], axis=1)
    assert (distance[found.inliers] <= 12 + 1e-6).all()
    assert found.count < verify(a, b, VerifySettings(threshold=20)).count


def test_same_result_in_any_order_of_calls_and_any_thread():
    cases = [known_map(seed, inliers=15)[:2] for seed in range(20)]
    alone = [verify(*case).inliers for case in cases]
    backwards = [verify(*case).inliers for case in reversed(cases)][::-1]
    with ThreadPoolExecutor(4) as pool:
        threads = list(pool.map(lambda case: verify(*case).inliers, cases))
    for first, second, third in zip(alone, backwards, threads):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)


def test_a_scale_is_counted_from_the_sizes_of_the_images():
    """The same view of a building in a photo and in its eightfold enlargement."""
    a = np.random.default_rng(0).uniform(0, 500, (60, 2))
    b = 8 * a
    assert verify(a, b).count == 0
    assert verify(a, b, frames=Frames(extent(b) / extent(a))).count == 60
    assert verify(a, a, frames=Frames(extent(b) / extent(a))).count == 0


@pytest.mark.parametrize("times", [0.25, 0.5, 1, 2, 4])
def test_a_photo_has_as_many_inliers_whatever_its_size(times):
    """Places are off by shares of the photo, not by pixels."""
    rng = np.random.default_rng(0)
    size = (768, 1024)
    a = rng.uniform(0, size, (200, 2))
    b = a + rng.normal(0, 10, a.shape)
    b[100:] = rng.uniform(0, size, (100, 2))
    larger = tuple(round(side * times) for side in size)
    there = verify(a, times * b, frames=Frames.of(size, larger, 0)).inliers
    back = verify(times * b, a, frames=Frames.of(larger, size, 0)).inliers
    assert there[:100].sum() >= 95 and back[:100].sum() >= 95
    pixels = VerifySettings(diagonal=0)
    assert (verify(a, 4 * b, pixels, Frames(4.0)).inliers[:100].sum()) < 90


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_part_of_a_photo_finds_the_photo(share):
    """The features of a box are seen in the frame of the photo it was cut from."""
    a = np.random.default_rng(0).uniform(0, 768 * share, (60, 2))
    assert verify(a, a, frames=Frames.of((768, 1024), (768, 1024), share)).count == 60


@pytest.mark.parametrize("share", [0.25, 1 / 3, 0.5])
def test_a_part_that_was_cut_out_finds_the_photo(share):
    """A file of its own: as many pixels of the building, in a smaller photo."""
    size, part = (768, 1024), (round(768 * share), round(1024 * share))
    a = np.random.default_rng(0).uniform(0, part, (60, 2))
    whole = a + np.array([200, 300])
    assert verify(a, whole, frames=Frames.of(part, size, 0)).count == 60
    assert verify(whole, a, frames=Frames.of(size, part, 0)).count == 60
    # Neither by size nor by pixels: four times smaller than it would be in either.
    assert verify(a, whole / 4, frames=Frames.of(size, size, 0)).count == 0


def test_sizes_that_are_not_known():
    assert Frames.of(None, (768, 1024), 3.0) == Frames.of((768, 1024), (0, 0), 3.0) == Frames(3.0)


line = np.linspace(0, 900, 40)[:, None] * [1.0, 0.5]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2))),
        (np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 2], [3, 4]])),
        (line, line),
        (np.ones((30, 2)), np.ones((30, 2))),
        (np.repeat([[1.0, 2], [500, 3]], 20, 0), np.repeat([[1.0, 2], [500, 3]], 20, 0)),
        (np.random.default_rng(0).uniform(0, 900, (30, 2)), np.ones((30, 2))),
        (np.ones((30, 2)), np.random.default_rng(0).uniform(0, 900, (30, 2))),
    ],
    ids=["none", "two", "line", "one point", "two points", "many to one", "one to many"],
)
@pytest.mark.parametrize("max_scale", [0, 3])
def test_degenerate_matches_have_no_inliers(a, b, max_scale):
    found = verify(a, b, VerifySettings(max_scale=max_scale))
    assert (found.count, found.affine) == (0, None)
    assert found.inliers.shape == (len(a),)


@pytest.mark.parametrize(
    ("linear", "plausible"),
    [
        ([[1, 0], [0, 1]], True),
        ([[0, -2], [2, 0]], True),  # turned and doubled
        ([[-1, 0], [0, 1]], False),  # mirrored
        ([[0.1, 0], [0, 0.1]], False),  # everything in one spot
        ([[6, 0], [0, 6]], False),
        ([[1, 0], [0, 0.15]], False),  # squeezed to a line
    ],
)
def test_maps_no_camera_makes_can_be_refused(linear, plausible):
    a = np.random.default_rng(0).uniform(0, 1000, (60, 2))
    b = (a[:, ::-1] @ np.array(linear, float).T)[:, ::-1]
    assert verify(a, b, VerifySettings(max_scale=0)).count == 60
    assert verify(a, b, VerifySettings(max_scale=4)).count == (60 if plausible else 0)
