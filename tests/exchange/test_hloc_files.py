"""hloc's files, read as hloc reads them: by h5py, in its layout."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from src.common.errors import UserError
from src.exchange.hloc_files import check_hloc_names, read_hloc_features, write_hloc
from src.exchange.pairs import all_pairs, match_pairs
from src.exchange.photo_set import PhotoSet
from src.feature_io import DamagedFeaturesError, Features, feature_path, read_features
from tests.helpers.features import write_features_folder


@pytest.fixture(scope="module")
def written(photos, matched, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hloc")
    write_hloc(folder, photos, matched)
    return folder


def test_a_group_of_a_photo_has_what_hloc_makes(written, scene):
    ours = read_features(feature_path(scene.folder, "walk/view2"))
    with h5py.File(written / "features.h5") as file:
        group = file["walk/view2.jpg"]
        assert group["keypoints"].shape == (150, 2)
        assert group["descriptors"].shape == (16, 150)
        assert group["image_size"][:].tolist() == [640, 480]
        # hloc: x, y; the column 7 of row 3 is (7, 3).
        np.testing.assert_array_equal(group["keypoints"][:, 0], ours.locations[:, 1])
        np.testing.assert_array_equal(group["keypoints"][:, 1], ours.locations[:, 0])
        np.testing.assert_array_equal(group["descriptors"][:, 4], ours.descriptors[4])
        np.testing.assert_array_equal(group["scores"], ours.attention)
        # Half of 16 pixels to both sides, evenly: 16 / √12 at scale 1, more in a smaller copy.
        wanted = 4.6188 * (1 / ours.scales).mean()
        assert group["keypoints"].attrs["uncertainty"] == pytest.approx(wanted, rel=1e-4)


def test_all_arrays_of_a_group_can_become_floats_of_a_batch(written):
    # hloc's matchers load whatever a group holds.
    with h5py.File(written / "features.h5") as file:
        for array in file["walk/view0.jpg"].values():
            assert np.asarray(array).astype(np.float32).shape == array.shape


def test_matches_are_found_under_the_name_of_the_pair(written, matched):
    pairs = [line.split() for line in (written / "pairs.txt").read_text().splitlines()]
    assert len(pairs) == 10
    with h5py.File(written / "matches.h5") as file:
        for (first, second), ours in zip(pairs, matched):
            group = file[f"{first.replace('/', '-')}/{second.replace('/', '-')}"]
            rows = np.asarray(group["matches0"])
            at = np.flatnonzero(rows != -1)
            np.testing.assert_array_equal(np.stack([at, rows[at]], 1), ours.verified)
            assert len(at) > 50
            assert np.asarray(group["matching_scores0"])[at].min() > 0.9


def test_matched_points_show_the_same_point_of_the_scene(written, scene):
    # A camera that moves sideways sees a point in the same row.
    with h5py.File(written / "features.h5") as file, h5py.File(written / "matches.h5") as pairs:
        rows = np.asarray(pairs["walk-view0.jpg/walk-view1.jpg/matches0"])
        at = np.flatnonzero(rows != -1)
        one = np.asarray(file["walk/view0.jpg/keypoints"])[at]
        other = np.asarray(file["walk/view1.jpg/keypoints"])[rows[at]]
    moved = scene.centres[1] - scene.centres[0]
    rise = 700 * moved[1] / 10.5
    assert np.abs((one - other)[:, 1] - rise).max() < 25
    assert (one - other)[:, 0].mean() == pytest.approx(700 * moved[0] / 10.5, rel=0.15)


def test_what_hloc_hands_colmap_is_reconstructed(written, tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    path = tmp_path / "database.db"
    database = pycolmap.Database.open(str(path))
    pairs = [line.split() for line in (written / "pairs.txt").read_text().splitlines()]
    numbers = {}
    with h5py.File(written / "features.h5") as file:
        for name in sorted({name for pair in pairs for name in pair}):
            width, height = map(int, file[name]["image_size"])
            camera = pycolmap.Camera.create_from_model_name(
                len(numbers) + 1, "SIMPLE_RADIAL", 1.2 * width, width, height
            )
            number = database.write_camera(camera)
            numbers[name] = database.write_image(pycolmap.Image(name=name, camera_id=number))
            # As hloc does: half a pixel, for COLMAP's origin.
            database.write_keypoints(numbers[name], np.asarray(file[name]["keypoints"]) + 0.5)
    with h5py.File(written / "matches.h5") as file:
        for one, other in pairs:
            group = file["/".join(name.replace("/", "-") for name in (one, other))]
            rows = np.asarray(group["matches0"])
            at = np.flatnonzero(rows != -1)
            found = np.stack([at, rows[at]], axis=1).astype(np.uint32)
            database.write_matches(numbers[one], numbers[other], found)
    database.close()
    pycolmap.verify_matches(str(path), str(written / "pairs.txt"))
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1
    options.extract_colors = False
    made = pycolmap.incremental_mapping(str(path), str(tmp_path), str(tmp_path), options=options)
    assert made[0].num_reg_images() == 5
    assert made[0].num_points3D() > 100
    assert made[0].compute_mean_reprojection_error() < 0.5


def test_features_come_back(written, photos):
    found = read_hloc_features(written / "features.h5")
    assert sorted(found) == sorted(photos.names)
    for name, features in found.items():
        ours = photos.features(name)
        assert features.size == (480, 640)
        for array in ("locations", "scales", "attention"):
            np.testing.assert_array_equal(getattr(features, array), getattr(ours, array))
        np.testing.assert_allclose(features.descriptors, ours.descriptors, atol=1e-6)


def test_features_of_another_extractor_in_half_precision_are_read(tmp_path):
    rng = np.random.default_rng(2)
    with h5py.File(tmp_path / "superpoint.h5", "w", libver="latest") as file:
        group = file.create_group("db/1.jpg")
        group["keypoints"] = np.array([[7, 3], [10, 20]], np.float16)
        group["descriptors"] = rng.normal(size=(256, 2)).astype(np.float16)
        group["scores"] = np.array([0.5, 0.25], np.float16)
        group["image_size"] = np.array([64, 48])
    features = read_hloc_features(tmp_path / "superpoint.h5")["db/1.jpg"]
    assert features.locations.tolist() == [[3, 7], [20, 10]]
    assert features.size == (48, 64)
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", None])
def test_something_else_is_refused_in_a_line(tmp_path, content):
    path = tmp_path / "x.h5"
    if content is None:
        h5py.File(path, "w").close()
    else:
        path.write_bytes(content)
    with pytest.raises(DamagedFeaturesError, match=r"x\.h5"):
        read_hloc_features(path)


def test_global_descriptors_go_into_a_file_of_their_own(tmp_path):
    rng = np.random.default_rng(1)
    whole = rng.normal(size=8)
    whole /= np.linalg.norm(whole)
    locals_ = (np.zeros((1, 2)), np.ones(1), np.eye(1, 4), np.ones(1))
    features = Features(*locals_, size=(9, 9), global_descriptor=whole)
    folder = write_features_folder(tmp_path / "f", {"a": features})
    write_hloc(tmp_path, PhotoSet(folder), [])
    with h5py.File(tmp_path / "global-features.h5") as file:
        found = np.asarray(file["a.jpg/global_descriptor"])
    np.testing.assert_allclose(found, whole, atol=1e-3)  # kept in half precision
    assert not (tmp_path / "matches.h5").exists()


def test_a_pair_without_matches_is_there_with_none(tmp_path):
    one = Features(np.zeros((1, 2)), np.ones(1), np.eye(1, 4), np.ones(1), (9, 9))
    none = Features(*Features.empty(4).arrays().values(), size=(9, 9))
    photos = PhotoSet(write_features_folder(tmp_path / "f", {"a": one, "b": none}))
    write_hloc(tmp_path, photos, list(match_pairs(photos, all_pairs(photos))))
    with h5py.File(tmp_path / "matches.h5") as file:
        assert np.asarray(file["a.jpg/b.jpg/matches0"]).tolist() == [-1]


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a b.jpg", "c.jpg"], "'a b.jpg'"), (["a/b.jpg", "a-b.jpg"], "cannot tell a/b.jpg from")],
)
def test_names_that_hloc_would_confuse_are_refused(names, said):
    with pytest.raises(UserError, match=said):
        check_hloc_names(names)
