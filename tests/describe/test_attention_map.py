"""The map of scores over a photo: each cell's score stands where the cell looks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from src.delf_config import DelfConfig
from src.describe.attention_map import attention_map
from src.extract_utils_np import LevelOutput, pyramid_level_sizes, select_features

SIZE = (320, 480)


def outputs(config, at, scores=1.0):
    """Levels of nothing but one cell of one level."""
    found = []
    for number, level in enumerate(pyramid_level_sizes(*SIZE, config)):
        cells = (-(-level.height // 32), -(-level.width // 32))
        features = np.full((*cells, 8), 0.01, np.float32)
        attention = np.full(cells, 0.01, np.float32)
        if number == at[0]:
            features[at[1], at[2]] = scores
            attention[at[1], at[2]] = scores
        found.append(LevelOutput(features, attention))
    return found


@pytest.mark.parametrize("score", ["norm", "attention"])
@pytest.mark.parametrize("at", [(0, 2, 3), (1, 4, 6), (1, 9, 14), (1, 0, 0)])
def test_the_highest_score_stands_where_the_feature_is_located(at, score):
    config = DelfConfig(
        image_scales=(0.5, 1.0), use_pca=False, score=score, max_feature_num=1, nms_iou=1.0
    )
    levels = outputs(config, at)
    location = select_features(levels, *SIZE, config).locations[0]
    heat = attention_map(levels, SIZE, SIZE, config)
    assert heat.shape == SIZE and heat.dtype == np.float32
    for ratio, map_of in ((1, heat), (2, attention_map(levels, SIZE, (160, 240), config))):
        peaks = ratio * np.argwhere(map_of >= 0.95 * map_of.max())
        distances = np.abs(peaks - location).max(axis=1)
        assert distances.min() < 4 and distances.max() < 34  # at a border it goes on to the edge


def test_of_several_levels_the_highest_score_counts():
    config = DelfConfig(image_scales=(0.5, 1.0), use_pca=False, score="attention")
    both = [
        LevelOutput(one.features, one.scores + other.scores)
        for one, other in zip(outputs(config, (0, 2, 3), 5.0), outputs(config, (1, 7, 12), 3.0))
    ]
    heat = attention_map(both, SIZE, SIZE, config)
    assert heat[2 * 64, 3 * 64] == pytest.approx(5.01, abs=0.2)
    assert heat[7 * 32, 12 * 32] == pytest.approx(3.01, abs=0.2)
    assert heat.min() >= 0


def test_a_photo_without_texture_has_a_map_of_nothing():
    config = dataclasses.replace(DelfConfig(), use_pca=False)
    assert not attention_map([], SIZE, (32, 48), config).any()
