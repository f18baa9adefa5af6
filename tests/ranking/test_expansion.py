from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from src.ranking.one_query import rank_images
from tests.helpers.features import features_of
from tests.helpers.retrieval import ALONE, KINDS, SMALL, brute_force, index_of, inlier_pairs


def chain(folder, kind="flat", seed=0):
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
    return view(left), index_of(folder, photos, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_expansion_finds_what_only_a_verified_image_shows(tmp_path, kind):
    query, index = chain(tmp_path, kind)
    both, right = index.names.index("z_both"), index.names.index("z_right")
    alone = rank_images(index, query, ALONE)
    assert alone.ranks[0] == both
    assert not alone.inliers[right]
    with_it = rank_images(index, query, SMALL)
    assert with_it.ranks[:2].tolist() == [both, right]
    gains = with_it.scores - alone.scores
    assert gains[both] == 0  # nobody votes for himself
    assert gains[right] == gains.max() > 0
    if kind not in ("flat", "ivf"):  # the others know distances to what their codes say only
        return
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


@pytest.mark.parametrize("kind", KINDS)
def test_the_query_itself_and_its_copies_expand_nothing(index, query_of, tmp_path, kind):
    """By whatever distance the index finds them: a lossy one gives none near zero."""
    query = query_of("tower_a")
    others = {name: query_of(name) for name in ("tower_b", "tower_c", "other_1")}
    copies = index_of(tmp_path, {"copy_1": query, "copy_2": query, **others}, kind)
    how = replace(SMALL, expansion_images=1)
    alone = replace(how, expansion_images=0)
    assert set(rank_images(copies, query, how).ranks[:2].tolist()) == {0, 1}
    gains = rank_images(copies, query, how).scores - rank_images(copies, query, alone).scores
    # Of the images on the building only the one expanded by gains nothing: no copy was chosen.
    assert (gains[:2] > 0).all()
    views = [gains[copies.names.index(name)] for name in ("tower_b", "tower_c")]
    assert min(views) == 0 < max(views)
