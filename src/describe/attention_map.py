"""Where the network looks: the scores of all levels of a photo as one map over it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from src.delf_config import DelfConfig
from src.extract_utils_np import LevelOutput, pyramid_level_sizes


def attention_map(
    outputs: Sequence[LevelOutput],
    size: tuple[int, int],
    shape: tuple[int, int],
    config: DelfConfig,
) -> np.ndarray:
    """Return the score of each place of a photo: the highest of its levels.

    That is what features are chosen by (`select_features`). Between the centres of the receptive
    fields of neighbouring cells it is interpolated.

    Args:
        outputs: one for each level, or none for a photo without texture.
        size: (height, width) of the photo.
        shape: (height, width) of the map.
        config: the settings; `score` says which scores.

    Returns:
        float32 `shape`; 0 everywhere without outputs.
    """
    highest = np.zeros(shape, np.float32)
    ys, xs = ((np.arange(length) + 0.5) / length for length in shape)
    centre = (config.receptive_field - 1) / 2 - config.padding  # of the first cell
    for level, output in zip(pyramid_level_sizes(*size, config), outputs):
        scores = output.feature_norms() if config.score == "norm" else output.scores
        rows = ((ys * level.height - 0.5) - centre) / config.stride
        columns = ((xs * level.width - 0.5) - centre) / config.stride
        at_columns, at_rows = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
        seen = cv2.remap(
            np.ascontiguousarray(scores, np.float32),
            at_columns,
            at_rows,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        np.maximum(highest, seen, out=highest)
    return highest
