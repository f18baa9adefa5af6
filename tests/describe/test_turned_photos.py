"""Photos described turned: the same features as of a file that lies so, located upright."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from src.delf_config import DelfConfig
from src.describe.one_photo import described
from src.describe.tasks import PhotoTask, read_cropped
from src.feature_io import Features
from tests.helpers.features import features_of
from tests.helpers.toy_engine import FakeEngine

CONFIG = DelfConfig(image_scales=(1.0,), use_pca=False, max_feature_num=50)
#: What OpenCV calls a turn by so many quarters, counter-clockwise.
CODES = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@pytest.fixture
def photo(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (150, 230, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    return image


def features(folder, task):
    (found,) = described(FakeEngine(), folder, [task], CONFIG)
    return found.features


@pytest.mark.parametrize("turn", CODES)
@pytest.mark.parametrize("box", [None, (20.0, 10.0, 180.0, 140.0)])
def test_as_if_the_file_lay_so(photo, tmp_path, turn, box):
    left, top, right, bottom = map(int, box or (0, 0, 230, 150))
    lying = cv2.rotate(photo[top:bottom, left:right], CODES[turn])
    cv2.imwrite(str(tmp_path / "lying.png"), lying)
    turned = features(tmp_path, PhotoTask("t", "photo.png", box, turn))
    as_file = features(tmp_path, PhotoTask("t", "lying.png"))
    np.testing.assert_array_equal(turned.descriptors, as_file.descriptors)
    # Where a point of the upright part goes, OpenCV says by turning a picture of its coordinates.
    rows, columns = np.mgrid[top:bottom, left:right]
    places = cv2.rotate(np.stack([rows, columns], axis=2).astype(np.float32), CODES[turn])
    there = as_file.locations.round().astype(int)
    off = as_file.locations - there
    expected = places[there[:, 0], there[:, 1]]
    assert np.abs(turned.locations - expected).max() <= np.abs(off).max() + 1e-3


@pytest.mark.parametrize("turn", CODES)
def test_a_part_and_a_turn_are_read(photo, tmp_path, turn):
    part = read_cropped(tmp_path / "photo.png", (20, 10, 180, 140), turn=turn)
    assert part.size == part.pixels.shape[:2]
    assert part.origin == (10, 20) and part.photo_size == (150, 230)
    expected = cv2.rotate(photo[10:140, 20:180, ::-1], CODES[turn])
    np.testing.assert_array_equal(part.pixels, expected)


def test_four_quarters_are_none():
    rng = np.random.default_rng(1)
    original = features_of(rng.uniform(0, 99, (9, 2)), rng.normal(size=(9, 4)))
    found: Features = original
    for size in ((100, 160), (160, 100), (100, 160), (160, 100)):
        found = found.turned_back(1, size)
    np.testing.assert_allclose(found.locations, original.locations, atol=1e-4)
    assert original.turned_back(0, (1, 1)) is original
