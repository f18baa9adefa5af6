from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial import cKDTree

from src.build_feature_dataset import IndexSettings, build_index, load_index, main
from src.errors import UserError
from src.feature_io import Features, Manifest, feature_path, write_features, write_manifest


def write_folder(folder, counts, seed=0, dimension=8, settings=None, failed=()):
    """Write a feature folder: image name → number of features; return descriptors by name."""
    rng = np.random.default_rng(seed)
    written = {}
    for name, count in sorted(counts.items()):
        descriptors = rng.normal(size=(count, dimension))
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        features = Features(
            rng.uniform(0, 500, (count, 2)), np.ones(count), descriptors, np.ones(count)
        )
        if name not in failed:
            write_features(feature_path(folder, name), features)
            written[name] = features
    write_manifest(
        folder,
        Manifest(
            tuple((name, f"{name}.jpg") for name in sorted(counts)),
            settings or {"pca_dim": dimension},
            {name: "cannot be read" for name in failed},
        ),
    )
    return written


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def features(tmp_path):
    folder = tmp_path / "features"
    write_folder(folder, {"a": 30, "b": 0, "c": 50, "d": 7})
    return folder


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
        ("same", None, "the image b is in several feature folders"),
        ("other", None, "pca_dim: 7 there, 8 wanted"),
        ("one", ["a", "x"], "1 of the images for the index have no features, such as x"),
    ):
        folders = [tmp_path / "one"] + [tmp_path / second] * (second != "one")
        with pytest.raises(UserError, match=message):
            build_index(folders, tmp_path / "index", names=names)
    assert not (tmp_path / "index").exists()


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
    assert index.image_of.tolist() == [0] * 30 + [2] * 50 + [3] * 7
    assert isinstance(index.descriptors, np.memmap)
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == [
        "descriptors.npy", "index.faiss", "index.json", "locations.npy", "names.json", "offsets.npy"
    ]  # fmt: skip


def test_search_is_exact(tmp_path):
    write_folder(tmp_path / "features", {"a": 300, "b": 200})
    build_index(tmp_path / "features", tmp_path / "index")
    index = load_index(tmp_path / "index")
    queries = np.random.default_rng(9).normal(size=(20, 8)).astype(np.float32)
    distances, expected = cKDTree(index.descriptors).query(queries, k=15)
    squares, found = index.search.search(queries, 15)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(np.sqrt(squares), distances, atol=1e-4)


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
    with pytest.raises(UserError, match=r"index: .*HNSW8"):
        build_index(features, tmp_path / "index", IndexSettings("HNSW8"))
    write_folder(features, {"a": 30, "b": 0, "c": 50, "d": 7}, seed=1)
    with pytest.raises(UserError, match="features_checksum") as caught:
        build_index(features, tmp_path / "index")
    assert "pca_dim" not in str(caught.value)
    write_folder(features, {"a": 30, "b": 0, "c": 50, "d": 7}, settings={"pca_dim": 9})
    with pytest.raises(UserError, match=r'features: \{"pca_dim": 8\} there'):
        build_index(features, tmp_path / "index")
    assert contents(tmp_path / "index") == kept


def test_approximate_indexes_find_most_of_the_neighbours(tmp_path):
    write_folder(tmp_path / "features", {"a": 800, "b": 700})
    queries = np.random.default_rng(9).normal(size=(40, 8)).astype(np.float32)
    build_index(tmp_path / "features", tmp_path / "flat")
    exact = load_index(tmp_path / "flat").search.search(queries, 10)[1]

    def recall(factory, parameters):
        folder = tmp_path / f"{factory}{parameters}".replace(",", "_")
        build_index(tmp_path / "features", folder, IndexSettings(factory, parameters))
        found = load_index(folder).search.search(queries, 10)[1]
        return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found)])

    few, many = recall("IVF16,Flat", "nprobe=1"), recall("IVF16,Flat", "nprobe=16")
    assert few < 0.9 < many == 1.0  # the parameter is in force after loading
    assert recall("HNSW8", "efSearch=64") > 0.9


@pytest.mark.parametrize(
    ("factory", "parameters"), [("Nonsense", ""), ("Flat", "nprobe=3"), ("IVF4000,Flat", "")]
)
def test_an_impossible_index_is_one_line(tmp_path, features, factory, parameters):
    with pytest.raises(UserError, match=factory):
        build_index(features, tmp_path / "index", IndexSettings(factory, parameters))
    assert not (tmp_path / "index").exists()


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
    odd = Features(np.zeros((2, 2)), np.ones(2), np.ones((2, 5)), np.ones(2))
    write_features(feature_path(features, "c"), odd)
    with pytest.raises(UserError, match=r"5 in c, 8 in a"):
        build_index(features, tmp_path / "index")


def test_failed_photos_stay_in_the_list(tmp_path):
    write_folder(tmp_path / "features", {"a": 5, "b": 5, "c": 5}, failed=("b",))
    build_index(tmp_path / "features", tmp_path / "index")
    index = load_index(tmp_path / "index")
    assert (index.names, index.offsets.tolist()) == (("a", "b", "c"), [0, 5, 5, 10])


@pytest.mark.parametrize("counts", [{}, {"a": 0}])
def test_nothing_to_search(tmp_path, counts):
    write_folder(tmp_path / "features", counts)
    with pytest.raises(UserError, match="nothing to search"):
        build_index(tmp_path / "features", tmp_path / "index")


def test_foreign_folders_are_left_alone(tmp_path, features):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="is no index"):
        build_index(features, tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"letter.txt": b"dear"}
    (tmp_path / "empty").mkdir()
    build_index(features, tmp_path / "empty")
    assert load_index(tmp_path / "empty").image_count == 4


def test_left_overs_of_killed_builds_are_removed_but_not_those_of_running_ones(tmp_path, features):
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    dead = tmp_path / f".index.{finished}.tmp"
    running = tmp_path / f".index.{os.getppid()}.tmp"
    for folder in (dead, running):
        folder.mkdir()
        (folder / "descriptors.npy").write_bytes(b"half")
    build_index(features, tmp_path / "index")
    assert not dead.exists()
    assert running.exists()


@pytest.mark.parametrize("part", ["names.json", "offsets.npy", "descriptors.npy", "locations.npy",
                                  "index.faiss"])  # fmt: skip
@pytest.mark.parametrize("damage", ["gone", "short", "other"])
def test_a_damaged_index_is_refused(tmp_path, features, part, damage):
    build_index(features, tmp_path / "index")
    path = tmp_path / "index" / part
    whole = path.read_bytes()
    path.unlink()
    if damage == "short":
        path.write_bytes(whole[: len(whole) // 2])
    if damage == "other":
        write_folder(tmp_path / "other", {"a": 3, "b": 4})
        build_index(tmp_path / "other", tmp_path / "index2")
        path.write_bytes((tmp_path / "index2" / part).read_bytes())
    with pytest.raises(UserError, match="is damaged"):
        load_index(tmp_path / "index")


def test_no_index(tmp_path):
    with pytest.raises(UserError, match="no index"):
        load_index(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"format": 0}))
    with pytest.raises(UserError, match="format"):
        load_index(tmp_path)


def test_command_line(tmp_path, features):
    main(["--features_path", str(features), "--index_path", str(tmp_path / "index")])
    assert load_index(tmp_path / "index").settings["index"]["factory"] == "Flat"
    with pytest.raises(SystemExit) as caught:
        main(["--features_path", str(features)])
    assert caught.value.code == 2
