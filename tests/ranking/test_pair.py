"""Matching two photos by their features."""

from __future__ import annotations

import numpy as np
import pytest

from src.common.errors import UserError
from src.feature_io import Features
from src.ranking.pair import MatchSettings, match_pair
from tests.helpers.features import features_of
from tests.helpers.retrieval import LINEAR, SHIFT, two_views


def test_common_points_are_the_inliers():
    match = match_pair(*two_views(), MatchSettings(max_distance=0.8))
    assert 28 <= match.inlier_count <= 32
    mapped = np.c_[match.locations_a[:, ::-1], np.ones(len(match.inliers))] @ match.affine.T
    distance = np.linalg.norm(mapped - match.locations_b[:, ::-1], axis=1)
    assert distance[match.inliers].max() <= 20
    np.testing.assert_allclose(match.affine, np.c_[LINEAR, SHIFT], atol=0.5)


def test_settings_decide_what_matches():
    views = two_views()
    counts = [
        len(match_pair(*views, MatchSettings(distance, ratio, mutual)).inliers)
        for distance, ratio, mutual in (
            (None, None, False),
            (None, None, True),
            (0.8, None, False),
            (None, 0.7, False),
        )
    ]
    assert counts[0] == 50
    assert all(30 <= count < 50 for count in counts[1:])


def test_photos_without_features_have_no_matches():
    view = two_views()[0]
    for pair in ((view, Features.empty(24)), (Features.empty(24), view), (Features.empty(1), view)):
        match = match_pair(*pair)
        assert (match.inlier_count, match.affine) == (0, None)


def test_descriptors_of_two_lengths_are_refused():
    other = features_of(np.ones((3, 2)), np.ones((3, 8)))
    with pytest.raises(UserError, match="24 and 8"):
        match_pair(two_views()[0], other)
