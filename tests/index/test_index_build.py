"""Building an index: what it holds, what it is kept for, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from src.common.errors import UserError
from src.feature_io import Features, feature_path, write_features
from src.index.build import build_index
from src.index.choice import IndexSettings
from src.index.folder import load_index
from tests.helpers.index import contents, write_folder


def test_arrays_hold_the_features_in_the_order_of_the_images(tmp_path):
    counts = {"d": 7, "a": 30, "b": 0, "c": 50}
    written = write_folder(tmp_path / "features", counts)
    build_index(tmp_path / "features", tmp_path / "index")
    index = load_index(tmp_path / "index")
    assert index.names == ("a", "b", "c", "d")
    assert index.offsets.tolist() == [0, 30, 30, 80, 87]
    for position, name in enumerate(index.names):
        rows = slice(index.offsets[position], index.offsets[position + 1])
        np.testing.assert_array_equal(index.descriptors[rows], written[name].descriptors)
        np.testing.assert_array_equal(index.locations[rows], written[name].locations)
        if len(written[name]):
            corners = written[name].locations.max(axis=0) - written[name].locations.min(axis=0)
            assert index.extents[position] == pytest.approx(np.hypot(*corners))
    assert index.images_of(np.arange(87)).tolist() == [0] * 30 + [2] * 50 + [3] * 7
    assert not index.descriptors[:].flags.owndata  # they lie on the disk
    assert (index.dimension, index.image_count) == (8, 4)
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == [
        "descriptors-1.bin", "images-1.npz", "index.json", "locations-1.bin"
    ]  # fmt: skip


def test_same_features_give_the_same_bytes_and_no_temporary_files(tmp_path, features):
    build_index(features, tmp_path / "one")
    build_index(features, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features", "one", "two"]


def test_a_complete_index_is_kept(tmp_path, features):
    build_index(features, tmp_path / "index")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    build_index(features, tmp_path / "index")
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    assert before == after


def test_another_index_is_refused_by_the_names_of_the_differences(tmp_path, features):
    build_index(features, tmp_path / "index")
    kept = contents(tmp_path / "index")
    with pytest.raises(UserError, match=r'index: .*"kind": "ivf"'):
        build_index(features, tmp_path / "index", IndexSettings("ivf"))
    write_folder(features, {"a": 30, "b": 0, "c": 50, "d": 7}, seed=1)
    with pytest.raises(UserError, match="features_checksum") as caught:
        build_index(features, tmp_path / "index")
    assert "pca_dim" not in str(caught.value)
    write_folder(features, {"a": 30, "b": 0, "c": 50, "d": 7}, settings={"pca_dim": 9})
    with pytest.raises(UserError, match=r'features: \{"pca_dim": 8\} there'):
        build_index(features, tmp_path / "index")
    assert contents(tmp_path / "index") == kept


def test_what_describes_the_index_is_written_down(folder):
    build_index(folder / "features", folder / "index", IndexSettings("ivf", lists=4))
    content = json.loads((folder / "index" / "index.json").read_text())
    assert content["search"]["plan"] == {
        "kind": "ivf", "lists": 4, "code": "Flat", "code_bytes": 32
    }  # fmt: skip
    assert 1 <= content["search"]["probes"] <= 4
    assert content["search"]["recall"] >= 0.95
    assert content["settings"]["index"]["seed"] == 0


def test_several_feature_folders_are_one_index(tmp_path):
    one = write_folder(tmp_path / "one", {"b": 5, "d": 7, "f": 3}, seed=1, failed=["f"])
    two = write_folder(tmp_path / "two", {"a": 4, "c": 6, "e": 8}, seed=2)
    folders = [tmp_path / "one", tmp_path / "two"]
    build_index(folders, tmp_path / "index", names=["f", "e", "a", "d"])
    index = load_index(tmp_path / "index")
    assert index.names == ("a", "d", "e", "f")
    assert np.diff(index.offsets).tolist() == [4, 7, 8, 0]
    written = {**one, **two}
    for position, name in enumerate("ade"):
        rows = slice(index.offsets[position], index.offsets[position + 1])
        np.testing.assert_array_equal(index.descriptors[rows], written[name].descriptors)
    build_index(folders[::-1], tmp_path / "other", names=["a", "d", "e", "f"])
    assert contents(tmp_path / "other") == contents(tmp_path / "index")
    with pytest.raises(UserError, match="features_checksum"):
        build_index(folders, tmp_path / "index")


def test_feature_folders_that_do_not_go_together(tmp_path):
    write_folder(tmp_path / "one", {"a": 5, "b": 5}, failed=["b"])
    write_folder(tmp_path / "same", {"b": 5, "c": 5}, failed=["b"])
    write_folder(tmp_path / "other", {"d": 5}, settings={"pca_dim": 7})
    for second, names, message in (
        ("same", None, r"an image b is in .*one and in .*same"),
        ("other", None, r"other, unlike those in .*one, .*pca_dim: 7 there, 8 wanted"),
        ("one", ["a", "x"], "there are no features of x in"),
    ):
        folders = [tmp_path / "one"] + [tmp_path / second] * (second != "one")
        with pytest.raises(UserError, match=message):
            build_index(folders, tmp_path / "index", names=names)
    assert not (tmp_path / "index").exists()


def test_some_images_of_a_folder(tmp_path, features):
    build_index(features, tmp_path / "index", names=["d", "a"])
    assert load_index(tmp_path / "index").names == ("a", "d")
    build_index(features, tmp_path / "index", names=["a", "d"])  # complete
    with pytest.raises(UserError, match="features_checksum"):
        build_index(features, tmp_path / "index", names=["a"])
    with pytest.raises(UserError, match="no features of x in"):
        build_index(features, tmp_path / "index2", names=["a", "x"])


def test_failed_photos_stay_in_the_list(tmp_path):
    write_folder(tmp_path / "features", {"a": 5, "b": 5, "c": 5}, failed=("b",))
    build_index(tmp_path / "features", tmp_path / "index")
    index = load_index(tmp_path / "index")
    assert (index.names, index.offsets.tolist()) == (("a", "b", "c"), [0, 5, 5, 10])


def test_duplicates_are_said_and_kept(tmp_path, caplog):
    written = write_folder(tmp_path / "features", {"a": 6, "b": 0, "c": 0, "d": 6})
    write_features(feature_path(tmp_path / "features", "d"), written["a"])
    build_index(tmp_path / "features", tmp_path / "index")
    assert "1 images have exactly the features of another one" in caplog.text
    assert "d = a" in caplog.text
    assert load_index(tmp_path / "index").image_count == 4


@pytest.mark.parametrize("counts", [{}, {"a": 0}])
def test_nothing_to_search(tmp_path, counts):
    write_folder(tmp_path / "features", counts)
    with pytest.raises(UserError, match="nothing to search"):
        build_index(tmp_path / "features", tmp_path / "index")


def test_missing_or_damaged_feature_files_are_named(tmp_path, features):
    whole = feature_path(features, "c").read_bytes()
    feature_path(features, "c").unlink()
    with pytest.raises(UserError, match=r"c\.npz"):
        build_index(features, tmp_path / "index")
    feature_path(features, "c").write_bytes(whole[:1000])
    with pytest.raises(UserError, match=r"c\.npz"):
        build_index(features, tmp_path / "index")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features"]


def test_descriptors_of_two_lengths_are_refused(tmp_path, features):
    odd = Features(np.zeros((2, 2)), np.ones(2), np.eye(2, 5), np.ones(2))
    write_features(feature_path(features, "c"), odd)
    with pytest.raises(UserError, match=r"5 in c, 8 in a"):
        build_index(features, tmp_path / "index")
