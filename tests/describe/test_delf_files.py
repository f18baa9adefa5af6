"""Feature files of the DELF releases: bytes worked out by hand, and real ones where they are."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.datum_io import read_datum_pca
from src.describe.delf_files import delf_bytes, export_delf, import_delf, parse_delf, read_delf
from src.extract_utils_np import pyramid_level_sizes, receptive_boxes, to_photo_pixels
from src.feature_io import (
    DamagedFeaturesError,
    Features,
    feature_path,
    read_features,
    read_manifest,
)
from src.photos.reading import read_image
from tests.helpers.datum import datum, field

DELF_V1 = Path(__file__).parents[3] / "shared" / "data" / "delf_v1"
real = pytest.mark.skipif(not DELF_V1.is_dir(), reason="the files of the release are not here")
NAMES = ("f0", "f1", "f4")


def by_hand(x, y, scale, score, descriptor):
    """A feature in the release's format, field by field."""
    numbers = ((0x15, x), (0x1D, y), (0x25, scale), (0x2D, 0), (0x35, score))
    tail = b"".join(bytes([tag]) + struct.pack("<f", value) for tag, value in numbers)
    return field(1, field(1, datum(np.array(descriptor))) + tail)


def test_a_file_by_hand():
    data = by_hand(64, 32, 2, 7.5, [0.6, 0.8]) + by_hand(0, 16, 0.5, 1, [1, 0])
    features = parse_delf(data)
    np.testing.assert_array_equal(features.locations, [[32, 64], [16, 0]])  # (y, x)
    np.testing.assert_array_equal(features.scales, [0.5, 2])  # one over theirs
    np.testing.assert_array_equal(features.attention, [7.5, 1])
    np.testing.assert_array_equal(features.descriptors, np.float32([[0.6, 0.8], [1, 0]]))
    assert delf_bytes(features) == data


def test_folders_there_and_back(tmp_path):
    source, photos = tmp_path / "delf", tmp_path / "photos"
    (source / "sub").mkdir(parents=True)
    (photos / "sub").mkdir(parents=True)
    one = by_hand(64, 32, 2, 7.5, [0.6, 0.8])
    (source / "a.delf").write_bytes(one)
    (source / "sub" / "b.delf").write_bytes(b"")  # a photo without features
    for name in ("a.png", "sub/b.JPG"):
        Image.new("RGB", (90, 60)).save(photos / name, "PNG")
    command = [sys.executable, str(PROJECT_ROOT / "src/describe/delf_files.py")]
    command += ["--delf", source, "--features", tmp_path / "features", "--images_path", photos]
    for _ in range(2):  # again: the same
        subprocess.run(command, check=True, capture_output=True)
    manifest = read_manifest(tmp_path / "features")
    assert manifest.images == (("a", "a.png"), ("sub/b", "sub/b.JPG"))
    assert read_features(feature_path(tmp_path / "features", "a")).size == (60, 90)
    empty = read_features(feature_path(tmp_path / "features", "sub/b"))
    assert empty.descriptors.shape == (0, 2)  # as long as those of the others
    assert export_delf(tmp_path / "features", tmp_path / "back") == 2
    assert (tmp_path / "back" / "a.delf").read_bytes() == one
    assert (tmp_path / "back" / "sub" / "b.delf").read_bytes() == b""
    (source / "a.delf").write_bytes(by_hand(1, 2, 1, 1, [1, 0]))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "holds other features" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "data",
    [
        by_hand(1, 2, 1, 1, [1, 0])[:-3],
        by_hand(1, 2, 0, 1, [1, 0]),
        by_hand(1, 2, 1, 1, [1, 0]) + by_hand(1, 2, 1, 1, [1]),
        b"<html>404</html>",
        field(1, b"\x15\0\0\x80\x3f"),
    ],
    ids=["cut short", "scale 0", "lengths", "html", "no descriptor"],
)
def test_damaged_files_are_refused(tmp_path, data):
    (tmp_path / "a.delf").write_bytes(data)
    with pytest.raises(DamagedFeaturesError, match=r"a\.delf"):
        read_delf(tmp_path / "a.delf")


def test_descriptors_of_two_lengths_are_refused(tmp_path):
    for name, descriptor in (("a", [1, 0]), ("b", [1, 0, 0])):
        (tmp_path / f"{name}.delf").write_bytes(by_hand(1, 2, 1, 1, descriptor))
    with pytest.raises(UserError, match=r"of 2 numbers and .*b\.delf of 3"):
        import_delf(tmp_path, tmp_path / "features", None)


def test_numbers_come_back_as_they_were():
    generator = np.random.default_rng(0)
    scales = np.float32([0.25, 0.3536, 0.5, 0.7071, 1, 1.4142, 2])
    features = Features(
        generator.uniform(0, 4000, (7, 2)), scales, generator.normal(size=(7, 40)), np.ones(7)
    )
    back = parse_delf(delf_bytes(features))
    for name in ("locations", "scales", "descriptors", "attention"):
        np.testing.assert_array_equal(getattr(back, name), getattr(features, name))


def test_the_pca_of_a_release(tmp_path):
    mean, matrix = np.float32([1, 2, 3]), np.float32([[1, 0, 0], [0, 0, 1]])
    (tmp_path / "mean.datum").write_bytes(datum(mean))
    with pytest.raises(UserError, match="no projection and no variances"):
        read_datum_pca(tmp_path)
    (tmp_path / "pca_proj_mat.datum").write_bytes(datum(matrix))
    (tmp_path / "pca_variances.datum").write_bytes(datum(np.float32([4, 1])))
    pca = read_datum_pca(tmp_path)
    # (x − mean) · matrixᵀ = (3, 4), of length 5; whitened (3 / 2, 4 / 1)
    x = np.float32([[4, 9, 7]])
    np.testing.assert_allclose(pca.project(x, 2, False), [[0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(
        pca.project(x, 2, True), [np.array([1.5, 4]) / np.hypot(1.5, 4)], rtol=1e-6
    )


@real
@pytest.mark.parametrize("name", NAMES)
def test_real_files_are_written_as_they_were(name):
    data = (DELF_V1 / f"{name}.delf").read_bytes()
    features = parse_delf(data)
    assert delf_bytes(features) == data
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)


@real
@pytest.mark.parametrize("name", NAMES)
def test_real_locations_lie_on_our_grid(name):
    """Each scale is one of our pyramid; each location within half a cell's rounding of a centre.

    Theirs is 32 i / scale; here a cell's centre is a pixel's, (32 i + 1/2) · ratio − 1/2, and the
    ratio that of whole pixels: so many tenths of a level's pixel apart, and never a whole cell.
    """
    features = read_delf(DELF_V1 / f"{name}.delf")
    height, width = read_image(DELF_V1 / f"{name}.jpg").shape[:2]
    config = DelfConfig(max_level_side=4096)
    levels = pyramid_level_sizes(height, width, config)
    assert {round(float(s), 4) for s in features.scales} <= set(config.image_scales)
    seen = 0
    for level in levels:
        mine = np.abs(features.scales - level.scale) < 1e-4
        rows, columns = -(-level.height // 32), -(-level.width // 32)
        boxes = receptive_boxes(rows, columns, 291, 32, 145)
        boxes = to_photo_pixels(boxes, level, height, width)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        cells = np.rint(features.locations[mine] * level.scale / 32).astype(int)
        assert (cells < (rows, columns)).all() and (cells >= 0).all()
        apart = features.locations[mine] - centres[cells[:, 0] * columns + cells[:, 1]]
        assert (
            np.abs(apart).max() * level.scale < 1.0
        )  # pixels of the level, of which a cell has 32
        seen += int(mine.sum())
    assert seen == len(features)
