"""Searching an index: exact, and by lists."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from scipy.spatial import cKDTree

from src.common.errors import UserError
from src.feature_io import feature_path, write_features
from src.index import lists as index_lists
from src.index.build import build_index
from src.index.choice import IndexSettings
from src.index.files import read_description
from src.index.folder import load_index
from tests.helpers.index import contents, write_folder


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


def test_lists_are_found_under_any_name_of_a_folder(tmp_path, features):
    settings = IndexSettings("ivf", lists=4, probes=4)
    build_index(features, tmp_path / "plain", settings)
    (tmp_path / "plain").rename(tmp_path / "été # 東京")
    queries = np.random.default_rng(9).normal(size=(20, 8)).astype(np.float32)
    index = load_index(tmp_path / "été # 東京")
    squares, rows = index.nearest(queries, 5)
    distances, expected = cKDTree(index.descriptors).query(queries, k=5)  # all lists are probed
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(np.sqrt(squares), distances, atol=1e-4)
