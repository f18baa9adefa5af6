"""COLMAP's files, read and reconstructed from by pycolmap."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from src.exchange.colmap_database import read_database, write_database
from src.exchange.colmap_text import write_keypoint_texts, write_match_list
from src.feature_io import DamagedFeaturesError


@pytest.fixture(scope="module")
def database(photos, matched, tmp_path_factory):
    path = tmp_path_factory.mktemp("colmap") / "database.db"
    write_database(path, photos, matched)
    return path


@pytest.fixture
def opened(database, tmp_path):
    """A copy, opened by COLMAP itself, which brings it to its own version."""
    pycolmap = pytest.importorskip("pycolmap")
    copy = tmp_path / "copy.db"
    copy.write_bytes(database.read_bytes())
    found = pycolmap.Database.open(str(copy))
    yield found
    found.close()


def test_colmap_finds_photos_cameras_and_keypoints(opened, photos):
    images = {image.name: image for image in opened.read_all_images()}
    assert sorted(images) == sorted(photos.names)
    for name, image in images.items():
        camera = opened.read_camera(image.camera_id)
        assert (camera.width, camera.height) == (640, 480)
        assert camera.params.tolist() == [1.2 * 640, 320, 240, 0]
        assert not camera.has_prior_focal_length
        keypoints = opened.read_keypoints(image.image_id)
        ours = photos.features(name)
        np.testing.assert_allclose(keypoints[:, :2], ours.locations[:, ::-1] + 0.5, atol=1e-4)


def test_colmap_projects_the_scene_onto_the_keypoints(opened, scene):
    pycolmap = pytest.importorskip("pycolmap")
    # Its camera, with the principal point where COLMAP has the middle of 640 × 480 pixels.
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=640, height=480, params=[700, 320, 240])
    for number, centre in enumerate(scene.centres):
        image = opened.read_image_with_name(f"walk/view{number}.jpg")
        keypoints = opened.read_keypoints(image.image_id)[:, :2]
        wanted = np.array([camera.img_from_cam(point) for point in scene.points - centre])
        # Told from the nearest one, since each photo has them in another order.
        offsets = keypoints[None] - wanted[:, None]
        nearest = (offsets**2).sum(axis=2).argmin(axis=1)
        error = offsets[np.arange(len(wanted)), nearest].mean(axis=0)
        assert np.abs(error).max() < 0.1  # half a pixel where the convention is another


def test_colmap_finds_matches_and_verified_matches(opened, matched):
    pycolmap = pytest.importorskip("pycolmap")
    number = {image.name: image.image_id for image in opened.read_all_images()}
    assert opened.num_verified_image_pairs() == len(matched) == 10
    for pair in matched:
        numbers = (number[pair.first], number[pair.second])
        np.testing.assert_array_equal(opened.read_matches(*numbers), pair.matches)
        geometry = opened.read_two_view_geometry(*numbers)
        np.testing.assert_array_equal(geometry.inlier_matches, pair.verified)
        planar = pycolmap.TwoViewGeometryConfiguration.PLANAR_OR_PANORAMIC
        assert geometry.config == planar


def test_the_homography_maps_colmaps_points(opened, matched, photos):
    number = {image.name: image.image_id for image in opened.read_all_images()}
    for pair in matched:
        numbers = (number[pair.first], number[pair.second])
        one, other = (opened.read_keypoints(n)[:, :2] for n in numbers)
        mapped = np.column_stack([one[pair.verified[:, 0]], np.ones(len(pair.verified))])
        mapped = mapped @ opened.read_two_view_geometry(*numbers).H.T
        errors = np.linalg.norm(mapped[:, :2] - other[pair.verified[:, 1]], axis=1)
        assert errors.max() < 20.5


def test_colmap_reconstructs_where_the_cameras_stood(database, scene, tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    copy = tmp_path / "copy.db"
    copy.write_bytes(database.read_bytes())
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1
    options.extract_colors = False
    output = tmp_path / "sparse"
    output.mkdir()
    made = pycolmap.incremental_mapping(str(copy), str(tmp_path), str(output), options=options)
    assert len(made) == 1
    assert made[0].num_reg_images() == 5
    assert made[0].num_points3D() > 120
    assert made[0].compute_mean_reprojection_error() < 0.5  # they were moved by 0.2 each way
    found = np.array(
        [
            made[0].find_image_with_name(f"walk/view{i}.jpg").projection_center()
            for i in range(len(scene.centres))
        ]
    )
    # Up to a similarity: distances between cameras, in units of the longest.
    one, other = (np.linalg.norm(c[:, None] - c, axis=2) for c in (found, scene.centres))
    np.testing.assert_allclose(one / one.max(), other / other.max(), atol=0.05)


def test_keypoints_come_back(database, photos):
    found = read_database(database)
    assert sorted(found) == sorted(photos.names)
    for name, features in found.items():
        ours = photos.features(name)
        assert (features.size, features.dimension) == ((480, 640), 0)
        np.testing.assert_allclose(features.locations, ours.locations, atol=1e-4)
        np.testing.assert_allclose(features.scales, ours.scales, rtol=1e-6)


def test_keypoints_that_colmap_wrote_are_read(tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    path = tmp_path / "database.db"
    written = pycolmap.Database.open(str(path))
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=64, height=48, params=[50, 32, 24])
    number = written.write_camera(camera)
    image = written.write_image(pycolmap.Image(name="a/b.jpg", camera_id=number))
    # x, y, and a shape: twice as large as the unit circle, upright.
    written.write_keypoints(image, np.array([[10.5, 4.5, 2, 0, 0, 2]], np.float32))
    written.close()
    features = read_database(path)["a/b.jpg"]
    assert features.locations.tolist() == [[4, 10]]
    assert features.scales.tolist() == [0.5]
    assert features.size == (48, 64)


def test_a_damaged_database_is_refused_in_a_line(database, tmp_path):
    wrong = tmp_path / "x.db"
    wrong.write_bytes(b"no database at all, and long enough to be looked at" * 20)
    with pytest.raises(DamagedFeaturesError, match=r"x\.db"):
        read_database(wrong)
    wrong.write_bytes(database.read_bytes()[:4096])
    with pytest.raises(DamagedFeaturesError, match=r"x\.db"):
        read_database(wrong)
    with pytest.raises(DamagedFeaturesError, match="there is no file"):
        read_database(tmp_path / "nowhere.db")
    assert not (tmp_path / "nowhere.db").exists()


def test_numbers_of_pairs_are_colmaps(database):
    rows = sqlite3.connect(database).execute("SELECT pair_id FROM matches ORDER BY 1").fetchall()
    assert rows[0] == (1 * 2147483647 + 2,)
    assert rows[-1] == (4 * 2147483647 + 5,)


def test_text_files_have_the_lines_that_the_importers_read(photos, matched, tmp_path):
    write_keypoint_texts(tmp_path / "keypoints", photos)
    write_match_list(tmp_path / "matches.txt", matched)
    lines = (tmp_path / "keypoints" / "walk" / "view3.jpg.txt").read_text().splitlines()
    assert lines[0] == "150 128"
    assert len(lines) == 151
    assert all(len(line.split()) == 4 + 128 for line in lines[1:])
    x, y = map(float, lines[1].split()[:2])
    assert photos.features("walk/view3.jpg").locations[0].tolist() == pytest.approx(
        [y - 0.5, x - 0.5]
    )
    blocks = (tmp_path / "matches.txt").read_text().rstrip("\n").split("\n\n")
    assert len(blocks) == len(matched)
    head, *rows = blocks[0].split("\n")
    assert head.split() == [matched[0].first, matched[0].second]
    assert [list(map(int, row.split())) for row in rows] == matched[0].verified.tolist()
