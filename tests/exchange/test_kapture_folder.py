"""A kapture folder, by its specification and by kapture's own reader."""

from __future__ import annotations

import numpy as np
import pytest

from src.exchange.kapture_folder import write_kapture


@pytest.fixture(scope="module")
def written(photos, matched, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kapture")
    write_kapture(folder, photos, matched)
    return folder


def test_the_files_are_those_of_the_specification(written, photos, matched):
    ours = photos.features("walk/view1.jpg")
    parts = written / "reconstruction"
    sensors = (written / "sensors" / "sensors.txt").read_text().splitlines()
    assert sensors[0] == "# kapture format: 1.1"
    assert sensors[2] == "cam0, , camera, SIMPLE_RADIAL, 640, 480, 768.0, 320.0, 240.0, 0"
    keypoints = np.fromfile(parts / "keypoints/delf/walk/view1.jpg.kpt", "<f4").reshape(-1, 4)
    np.testing.assert_allclose(keypoints[:, :2], ours.locations[:, ::-1] + 0.5, atol=1e-4)
    descriptors = np.fromfile(parts / "descriptors/delf/walk/view1.jpg.desc", "<f4")
    np.testing.assert_array_equal(descriptors.reshape(-1, 16), ours.descriptors)
    path = parts / "matches/delf/walk/view0.jpg.overlapping/walk/view1.jpg.matches"
    rows = np.fromfile(path, "<f8").reshape(-1, 3)
    np.testing.assert_array_equal(rows[:, :2], matched[0].verified)


def test_kapture_reads_it(written, photos):
    kapture = pytest.importorskip("kapture")
    from kapture.io.csv import kapture_from_dir
    from kapture.io.features import get_keypoints_fullpath, image_keypoints_from_file

    found = kapture_from_dir(str(written))
    assert sorted(name for *_, name in kapture.flatten(found.records_camera)) == list(photos.names)
    assert sorted(found.keypoints["delf"]) == sorted(found.descriptors["delf"])
    assert len(found.matches["delf"]) == 10
    assert (found.descriptors["delf"].dsize, found.descriptors["delf"].metric_type) == (16, "L2")
    path = get_keypoints_fullpath("delf", str(written), "walk/view3.jpg")
    keypoints = image_keypoints_from_file(path, np.float32, found.keypoints["delf"].dsize)
    ours = photos.features("walk/view3.jpg").locations
    np.testing.assert_allclose(keypoints[:, :2], ours[:, ::-1] + 0.5, atol=1e-4)
