"""Levels in the one array of a network that takes no other shape."""

from __future__ import annotations

import numpy as np
import pytest

from src.common.errors import UserError
from src.extract_utils_np import LevelSize, crop_static, pad_to_static


def test_static_array_repeats_the_border_of_each_level():
    rng = np.random.default_rng(0)
    levels = [
        rng.normal(size=(1, 3, h, w)).astype(np.float32) for h, w in ((5, 9), (8, 12), (3, 1))
    ]
    batch = pad_to_static(levels, (4, 3, 8, 12))
    for place, level in zip(batch, levels):
        h, w = level.shape[2:]
        assert (place == np.pad(level[0], ((0, 0), (0, 8 - h), (0, 12 - w)), mode="edge")).all()
    assert not batch[3].any()


def test_static_array_refuses_what_does_not_fit():
    level = np.zeros((1, 3, 8, 12), np.float32)
    with pytest.raises(UserError, match="2 places"):
        pad_to_static([level] * 3, (2, 3, 8, 12))
    with pytest.raises(UserError, match="max_level_side"):
        pad_to_static([level], (2, 3, 8, 11))


def test_cells_centred_on_the_padding_are_dropped():
    features = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    scores = features[..., 0]
    sizes = [LevelSize(1.0, 33, 128), LevelSize(0.5, 32, 65)]
    first, second = crop_static(features, scores, sizes, 32)
    assert first.features.shape == (2, 4, 3)  # rows 0 and 32 lie on 33 pixels
    assert second.features.shape == (1, 3, 3)  # columns 0, 32 and 64 lie on 65 pixels
    assert (second.scores == scores[1, :1, :3]).all()
