from __future__ import annotations

import numpy as np

from src.index.image_table import ImageTable, extent


def test_extent():
    assert extent(np.array([[10.0, 0], [13, 2], [11, 4]])) == 5
    assert extent(np.array([[10.0, 0]])) == extent(np.zeros((0, 2))) == 1


def test_rows_that_images_use_and_where_they_are_when_packed():
    table = ImageTable(
        *(("a", "b", "c"), np.array([50, 70, 0]), np.array([10, 0, 20])),
        *(np.ones(3), ("x", "y", "z"), np.zeros((3, 2), np.int32), np.zeros((3, 0), np.float16)),
    )
    assert table.live_runs() == [(0, 20), (50, 60)]
    packed = table.packed()
    assert (packed.starts.tolist(), packed.counts.tolist()) == ([0, 10, 10], [10, 0, 20])
    assert packed.live_runs() == [(0, 30)]
    assert table.features == packed.features == 30
