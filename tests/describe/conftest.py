"""What the tests of describing share."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(7):
        size = (60 + 10 * number, 150 - 10 * number, 3)
        image = rng.integers(0, 256, size).astype(np.uint8)
        Image.fromarray(image).save(folder / f"photo_{number}.png")
    # Photos are older than the features made of them, also where a file system counts in seconds.
    for file in folder.iterdir():
        os.utime(file, (1e9, 1e9))
    return folder
