from __future__ import annotations

import json

import faiss
import numpy as np
import pytest
from scipy.spatial import cKDTree

from src.build_feature_dataset import main
from src.common.errors import UserError
from src.feature_io import Features, Manifest, feature_path, write_features, write_manifest
from src.index import lists as index_lists
from src.index.build import build_index, remove_images, update_index
from src.index.choice import IndexSettings, choose_plan
from src.index.files import read_description
from src.index.folder import load_index


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
        ("same", None, r"an image b is in .*one and in .*same"),
        ("other", None, "pca_dim: 7 there, 8 wanted"),
        ("one", ["a", "x"], "there are no features of x in"),
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
    assert (index.dimension, index.image_count) == (8, 4)
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == [
        "descriptors-1.bin", "images-1.npz", "index.json", "locations-1.bin"
    ]  # fmt: skip


def test_search_is_exact(tmp_path):
    write_folder(tmp_path / "features", {"a": 300, "b": 200})
    build_index(tmp_path / "features", tmp_path / "index")
    index = load_index(tmp_path / "index")
    queries = np.random.default_rng(9).normal(size=(20, 8)).astype(np.float32)
    distances, expected = cKDTree(index.descriptors).query(queries, k=15)
    squares, found = index.nearest(queries, 15)
    assert (squares.dtype, found.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(np.sqrt(squares), distances, atol=1e-4)


def test_more_neighbours_than_there_are(tmp_path, features):
    for kind in ("flat", "ivf", "ivf_sq8"):
        build_index(features, tmp_path / kind, IndexSettings(kind, lists=4, probes=4))
        squares, rows = load_index(tmp_path / kind).nearest(np.ones((2, 8), np.float32), 90)
        assert sorted(rows[0, :87]) == list(range(87))
        assert (rows[:, 87:] == -1).all()
        assert np.isinf(squares[:, 87:]).all()
        assert (np.diff(squares[:, :87]) >= 0).all()


def test_of_equal_descriptors_the_first_image_comes_first(tmp_path):
    written = write_folder(tmp_path / "features", {"a": 5, "c": 5})
    write_features(feature_path(tmp_path / "features", "c"), written["a"])
    build_index(tmp_path / "features", tmp_path / "index")
    _, rows = load_index(tmp_path / "index").nearest(written["a"].descriptors, 2)
    assert rows.tolist() == [[i, i + 5] for i in range(5)]


def test_a_query_of_another_length_or_of_nothing(tmp_path, features):
    build_index(features, tmp_path / "index")
    index = load_index(tmp_path / "index")
    with pytest.raises(UserError, match=r"5 dimensions, those of the index .* have 8"):
        index.nearest(np.ones((3, 5), np.float32), 4)
    squares, rows = index.nearest(np.zeros((0, 8), np.float32), 4)
    assert squares.shape == rows.shape == (0, 4)


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


def test_listed_indexes_find_most_of_the_neighbours(tmp_path):
    write_folder(tmp_path / "features", {"a": 800, "b": 700})
    queries = np.random.default_rng(9).normal(size=(40, 8)).astype(np.float32)
    build_index(tmp_path / "features", tmp_path / "flat")
    exact = load_index(tmp_path / "flat").nearest(queries, 10)[1]

    def recall(kind, probes):
        folder = tmp_path / f"{kind}-{probes}"
        build_index(tmp_path / "features", folder, IndexSettings(kind, lists=16, probes=probes))
        found = load_index(folder).nearest(queries, 10)[1]
        return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found)])

    few, many = recall("ivf", 1), recall("ivf", 16)
    assert few < 0.9 < many == 1.0
    assert recall("ivf_fp16", 16) > 0.98
    assert recall("ivf_sq8", 16) > 0.9
    assert 0.3 < recall("ivf_pq", 16) < recall("ivf_sq8", 16)  # a byte for two dimensions


def test_the_number_of_probes_is_measured(tmp_path):
    counts = {f"image_{number:02d}": 200 for number in range(12)}
    write_folder(tmp_path / "features", counts)
    found = {}
    for recall in (0.5, 0.9, 1.0):
        folder = tmp_path / f"index-{recall}"
        build_index(tmp_path / "features", folder, IndexSettings("ivf", lists=32, recall=recall))
        search = read_description(folder)["search"]
        assert search["recall"] >= recall
        found[recall] = search["probes"]
        index = load_index(folder)
        fresh = np.random.default_rng(5).normal(size=(50, 8)).astype(np.float32)
        fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
        exact = cKDTree(index.descriptors).query(fresh, k=60)[1]
        rows = index.nearest(fresh, 60)[1]
        hits = np.mean([len(set(a) & set(b)) / 60 for a, b in zip(exact, rows)])
        assert hits == pytest.approx(search["recall"], abs=0.08)
    assert found[0.5] < found[0.9] < found[1.0]


@pytest.mark.parametrize("kind", ["ivf", "ivf_fp16", "ivf_sq8", "ivf_pq"])
def test_listed_indexes_do_not_depend_on_the_number_of_threads(tmp_path, kind):
    write_folder(tmp_path / "features", {"a": 800, "b": 700})
    before = faiss.omp_get_max_threads()
    try:
        for threads in (1, 3):
            faiss.omp_set_num_threads(threads)
            build_index(tmp_path / "features", tmp_path / f"{threads}", IndexSettings(kind))
    finally:
        faiss.omp_set_num_threads(before)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_lists_written_in_parts_are_the_same(tmp_path, monkeypatch):
    write_folder(tmp_path / "features", {"a": 800, "b": 700})
    settings = IndexSettings("ivf_sq8", lists=8)
    build_index(tmp_path / "features", tmp_path / "whole", settings)
    monkeypatch.setattr(index_lists, "_SHARD", 400)
    monkeypatch.setattr(index_lists, "_BLOCK", 150)
    build_index(tmp_path / "features", tmp_path / "parts", settings)
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


def test_an_impossible_index_is_one_line(tmp_path, features):
    for settings, message in (
        (IndexSettings("ivf", lists=4000), "4000 lists are more than the 87"),
        (IndexSettings("ivf_pq"), "needs 256 features"),
    ):
        with pytest.raises(UserError, match=message):
            build_index(features, tmp_path / "index", settings)
        assert not (tmp_path / "index").exists()
    for values in ({"kind": "annoy"}, {"recall": 0}, {"growth": 0.5}, {"lists": -1}):
        with pytest.raises(UserError, match=next(iter(values))):
            IndexSettings(**values)


def test_the_kind_follows_from_size_and_memory():
    def kind(rows, **values):
        return choose_plan(IndexSettings(**values), rows, 40).kind

    assert kind(50_000) == "flat"
    assert kind(50_001) == "ivf"
    assert kind(50_000, exact_features=10) == "ivf"
    assert [kind(5_000_000, memory=memory) for memory in (1200, 500, 300, 180)] == [
        "ivf", "ivf_fp16", "ivf_sq8", "ivf_pq"
    ]  # fmt: skip
    assert kind(20_000_000, memory=0) == "ivf"
    assert choose_plan(IndexSettings(), 5_000_000, 40).lists == 8192
    # 5 million descriptors of 40 bytes, numbers of 8 bytes, images of 4 bytes, the centres
    plan = choose_plan(IndexSettings("ivf_sq8"), 5_000_000, 40)
    assert plan.memory(5_000_000, 40) == 5_000_000 * 52 + 8192 * 160


def test_a_budget_that_nothing_fits_into_is_said(caplog):
    assert choose_plan(IndexSettings(memory=1), 5_000_000, 40).kind == "ivf_pq"
    assert "more than the budget of 1 MB" in caplog.text


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


@pytest.mark.parametrize("part", ["descriptors", "locations", "images", "trained", "lists"])
@pytest.mark.parametrize("damage", ["gone", "short", "other", "flipped"])
def test_a_damaged_index_is_refused(tmp_path, features, part, damage):
    settings = IndexSettings("ivf", lists=4, probes=4)
    build_index(features, tmp_path / "index", settings)
    (path,) = (tmp_path / "index").glob(f"{part}-*")
    whole = path.read_bytes()
    path.unlink()
    if damage == "short":
        path.write_bytes(whole[: len(whole) // 2])
    if damage == "flipped":
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    if damage == "other":
        write_folder(tmp_path / "other", {"a": 30, "c": 57}, seed=5)
        build_index(tmp_path / "other", tmp_path / "index2", settings)
        path.write_bytes((tmp_path / "index2" / path.name).read_bytes())
    for attempt in (
        lambda: load_index(tmp_path / "index"),
        lambda: build_index(features, tmp_path / "index", settings),
        lambda: update_index(features, tmp_path / "index", settings),
        lambda: remove_images(tmp_path / "index", ["a"]),
    ):
        with pytest.raises(UserError, match=f"is damaged .*{path.name}"):
            attempt()


def test_no_index(tmp_path):
    with pytest.raises(UserError, match="no index"):
        load_index(tmp_path)
    with pytest.raises(UserError, match="no index"):
        remove_images(tmp_path / "nowhere", ["a"])
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "index.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(UserError, match="format"):
        load_index(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"format": 2, "rows": 3}))
    with pytest.raises(UserError, match="lacks dimension, features"):
        load_index(tmp_path)


def test_several_folders_make_one_index(tmp_path):
    photos = write_folder(tmp_path / "photos", {"b": 10, "d": 20})
    others = write_folder(tmp_path / "others", {"a": 5, "c": 7}, seed=1)
    folders = [tmp_path / "photos", tmp_path / "others"]
    build_index(folders, tmp_path / "index")
    index = load_index(tmp_path / "index")
    assert (index.names, index.offsets.tolist()) == (("a", "b", "c", "d"), [0, 5, 15, 22, 42])
    np.testing.assert_array_equal(index.descriptors[15:22], others["c"].descriptors)
    np.testing.assert_array_equal(index.descriptors[22:42], photos["d"].descriptors)
    build_index(folders[::-1], tmp_path / "other_order")
    assert contents(tmp_path / "index") == contents(tmp_path / "other_order")

    write_folder(tmp_path / "again", {"d": 3})
    with pytest.raises(UserError, match=r"an image d is in .*photos and in .*again"):
        build_index([*folders, tmp_path / "again"], tmp_path / "index3")
    write_folder(tmp_path / "strange", {"x": 3}, settings={"pca_dim": 20})
    with pytest.raises(UserError, match=r"strange, unlike those in .*photos.*pca_dim: 20"):
        build_index([*folders, tmp_path / "strange"], tmp_path / "index3")
    assert not (tmp_path / "index3").exists()


def test_some_images_of_a_folder(tmp_path, features):
    build_index(features, tmp_path / "index", names=["d", "a"])
    assert load_index(tmp_path / "index").names == ("a", "d")
    build_index(features, tmp_path / "index", names=["a", "d"])  # complete
    with pytest.raises(UserError, match="features_checksum"):
        build_index(features, tmp_path / "index", names=["a"])
    with pytest.raises(UserError, match="no features of x in"):
        build_index(features, tmp_path / "index2", names=["a", "x"])


def test_duplicates_are_said_and_kept(tmp_path, caplog):
    written = write_folder(tmp_path / "features", {"a": 6, "b": 0, "c": 0, "d": 6})
    write_features(feature_path(tmp_path / "features", "d"), written["a"])
    build_index(tmp_path / "features", tmp_path / "index")
    assert "1 images have exactly the features of another one" in caplog.text
    assert "d = a" in caplog.text
    assert load_index(tmp_path / "index").image_count == 4


def test_command_line(tmp_path, features, capsys):
    paths = ["--features_path", str(features), "--index_path", str(tmp_path / "index")]
    main([*paths, "--index_kind=ivf", "--index_lists=4"])
    settings = load_index(tmp_path / "index").settings["index"]
    assert (settings["kind"], settings["lists"]) == ("ivf", 4)
    main(["--index_path", str(tmp_path / "index"), "--remove", "a", "b"])
    assert load_index(tmp_path / "index").names == ("c", "d")
    main([*paths, "--update", "--index_kind=ivf", "--index_lists=4"])
    assert load_index(tmp_path / "index").names == ("a", "b", "c", "d")
    for wrong in (["--features_path", str(features)], paths[2:], [*paths, "--remove", "a"]):
        with pytest.raises(SystemExit) as caught:
            main(wrong)
        assert caught.value.code == 2
    assert "--remove goes without" in capsys.readouterr().err
