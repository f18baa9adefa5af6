"""Keeping an index up to date: as good as a new one, with others looking on."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.common.errors import UserError
from src.feature_io import feature_path
from src.index import folder as index_folder
from src.index import sources, structure
from src.index.build import build_index, remove_images, update_index
from src.index.choice import IndexSettings
from src.index.files import read_description
from src.index.folder import load_index
from tests.helpers.index import (
    ALL,
    FIRST,
    LATER,
    SMALL_LISTS,
    assert_same_answers,
    contents,
    list_some,
    write_folder,
)


def replace_features(folder, name, count=9):
    write_folder(folder / "other", {name: count}, seed=77)
    shutil.copy(feature_path(folder / "other", name), feature_path(folder / "features", name))


@pytest.mark.parametrize("kind", [IndexSettings(), SMALL_LISTS])
def test_an_index_brought_up_to_date_answers_as_a_new_one(folder, kind):
    features, index = folder / "features", folder / "index"
    build_index(features, index, kind)
    list_some(features, LATER)
    replace_features(folder, "a")
    changes = update_index(features, index, kind)
    assert changes.added == ("aa", "e", "f")
    assert changes.replaced == ("a",)
    assert changes.removed == ("b", "d")
    build_index(features, folder / "fresh", kind)
    assert_same_answers(index, folder / "fresh")
    assert read_description(index)["settings"] == read_description(folder / "fresh")["settings"]
    build_index(features, index, kind)  # complete: the same features and settings


@pytest.mark.parametrize("kind", [IndexSettings(), SMALL_LISTS])
@settings(max_examples=8, deadline=None)
@given(steps=st.lists(st.sets(st.sampled_from(sorted(ALL)), min_size=1), min_size=1, max_size=8))
def test_any_sequence_of_updates(tmp_path_factory, kind, steps):
    folder = tmp_path_factory.mktemp("any")
    write_folder(folder / "features", ALL)
    build_index(folder / "features", folder / "index", kind)
    for names in steps:
        names = names | {"c"}  # something to search
        update_index(folder / "features", folder / "index", kind, names)
        assert load_index(folder / "index").names == tuple(sorted(names))
    build_index(folder / "features", folder / "fresh", kind, names)
    assert_same_answers(folder / "index", folder / "fresh")


def test_nothing_new_changes_nothing(folder):
    build_index(folder / "features", folder / "index")
    before = contents(folder / "index")
    assert not update_index(folder / "features", folder / "index")
    assert contents(folder / "index") == before


def test_without_an_index_one_is_built(folder):
    changes = update_index(folder / "features", folder / "index")
    assert changes.added == tuple(sorted(FIRST))
    build_index(folder / "features", folder / "fresh")
    assert contents(folder / "index") == contents(folder / "fresh")


def test_an_update_reads_and_writes_only_what_is_new(folder, monkeypatch):
    features, index = folder / "features", folder / "index"
    build_index(features, index, SMALL_LISTS)
    kept = {p.name: p.stat().st_ino for p in index.iterdir() if p.name != "index.json"}
    kept.pop("images-1.npz")
    list_some(features, {**FIRST, "f": 12})
    read = []
    whole = sources.read_features
    monkeypatch.setattr(
        sources, "read_features", lambda path: read.append(path.stem) or whole(path)
    )
    monkeypatch.setattr(structure, "train", None)  # would be called in vain
    update_index(features, index, SMALL_LISTS)
    assert read == ["f"]
    now = {p.name: p.stat().st_ino for p in index.iterdir()}
    assert kept.items() <= now.items()
    assert set(now) - set(kept) == {"images-2.npz", "index.json", "lists-2-0.bin"}


def test_lists_do_not_become_ever_more_files(folder):
    features, index = folder / "features", folder / "index"
    names = [f"new_{number:02d}" for number in range(14)]
    write_folder(features, {**dict.fromkeys(names, 3), **FIRST})
    list_some(features, FIRST)
    build_index(features, index, SMALL_LISTS)
    for number in range(len(names)):
        list_some(features, [*FIRST, *names[: number + 1]])
        update_index(features, index, SMALL_LISTS)
        files = sorted(path.name for path in index.glob("lists-*"))
        assert files == sorted(read_description(index)["search"]["lists_files"])
        assert len(files) <= structure.MAX_LISTS_FILES
    build_index(features, folder / "fresh", SMALL_LISTS)
    assert_same_answers(index, folder / "fresh")


def test_most_neighbours_are_found_after_many_updates(tmp_path):
    names = [f"image_{number:02d}" for number in range(20)]
    write_folder(tmp_path / "features", dict.fromkeys(names, 150))
    kind = IndexSettings("ivf_sq8", lists=32)
    for count in (12, 15, 18, 20):
        update_index(tmp_path / "features", tmp_path / "index", kind, names[:count])
    build_index(tmp_path / "features", tmp_path / "flat")
    queries = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    exact = load_index(tmp_path / "flat").nearest(queries, 60)[1]
    found = load_index(tmp_path / "index").nearest(queries, 60)[1]
    assert np.mean([len(set(a) & set(b)) / 60 for a, b in zip(exact, found)]) > 0.9


def test_removed_images_are_never_found(folder):
    features = folder / "features"
    for kind in (IndexSettings(), SMALL_LISTS):
        index = folder / f"index-{kind.kind}"
        build_index(features, index, kind)
        gone = load_index(index)
        wanted = gone.descriptors[gone.offsets[3] : gone.offsets[4]]
        changes = remove_images(index, ["d"])
        assert (changes.removed, changes.rebuilt) == (("d",), None)
        left = load_index(index)
        assert left.names == ("a", "b", "c")
        squares, rows = left.nearest(wanted, 80)
        assert set(rows.ravel()) <= set(range(80))
        assert squares[:, 0].min() > 1e-3
        with pytest.raises(UserError, match="holds no image d, x"):
            remove_images(index, ["x", "d"])
        with pytest.raises(UserError, match="nothing to search"):
            remove_images(index, ["a", "c"])
        assert load_index(index).names == ("a", "b", "c")
        # what was taken out comes back by an update
        assert update_index(features, index, kind).added == ("d",)


def test_an_index_of_mostly_unused_rows_is_written_anew(folder):
    index = folder / "index"
    build_index(folder / "features", index, SMALL_LISTS)
    changes = remove_images(index, ["c"])
    assert "50 of 97 rows are no longer used" in changes.rebuilt
    assert read_description(index)["rows"] == 47
    assert {path.name for path in index.iterdir()} == {
        "descriptors-2.bin", "images-2.npz", "index.json", "lists-2-0.bin", "locations-2.bin",
        "trained-2.faiss",
    }  # fmt: skip
    build_index(folder / "features", folder / "fresh", SMALL_LISTS, names=["a", "b", "d"])
    assert_same_answers(index, folder / "fresh")


def test_an_index_that_has_outgrown_its_kind_is_built_anew(tmp_path):
    counts = {f"image_{number}": 100 for number in range(9)}
    write_folder(tmp_path / "features", counts)
    kind = IndexSettings(exact_features=150)
    names = sorted(counts)

    def update(count):
        return update_index(tmp_path / "features", tmp_path / "index", kind, names[:count])

    update(1)
    assert read_description(tmp_path / "index")["search"]["plan"]["kind"] == "flat"
    assert update(2).rebuilt is None  # another kind would be chosen, but it has not grown by much
    assert "300 features instead of 100" in update(3).rebuilt
    assert read_description(tmp_path / "index")["search"]["plan"]["kind"] == "ivf"
    assert update(6).rebuilt is None
    assert "700 features instead of 300" in update(7).rebuilt


def test_what_does_not_fit_is_refused(folder):
    features, index = folder / "features", folder / "index"
    build_index(features, index)
    before = contents(index)
    with pytest.raises(UserError, match=r'index: .*"lists": 4'):
        update_index(features, index, SMALL_LISTS)
    write_folder(folder / "others", {"x": 5}, settings={"pca_dim": 20})
    with pytest.raises(UserError, match=r"features: \{.pca_dim.: 8\} there, \{.pca_dim.: 20\}"):
        update_index(folder / "others", index)
    write_folder(folder / "long", {"x": 5}, dimension=6, settings={"pca_dim": 8})
    with pytest.raises(UserError, match=r"6 in x, 8 in index"):
        update_index([features, folder / "long"], index)
    feature_path(features, "c").unlink()
    with pytest.raises(UserError, match=r"c\.npz"):
        update_index(features, index)
    assert contents(index) == before


def test_a_search_that_has_the_index_open_is_not_disturbed(folder):
    features, index = folder / "features", folder / "index"
    for kind in (IndexSettings(), SMALL_LISTS):
        shutil.rmtree(index, ignore_errors=True)
        list_some(features, FIRST)
        build_index(features, index, kind)
        queries = np.random.default_rng(3).normal(size=(9, 8)).astype(np.float32)
        opened = load_index(index)
        expected = opened.nearest(queries, 30)
        descriptors = opened.descriptors[:].copy()
        late = load_index(index)  # its first search comes after the files are gone
        list_some(features, ALL)
        update_index(features, index, kind)
        remove_images(index, ["a", "c"])
        for search in (opened, late):
            assert search.names == tuple(sorted(FIRST))
            for found, wanted in zip(search.nearest(queries, 30), expected):
                np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(search.descriptors[:], descriptors)


def test_opening_while_the_index_is_replaced(folder, monkeypatch):
    build_index(folder / "features", folder / "index", SMALL_LISTS)
    whole = index_folder.check_files

    def replaced_meanwhile(*arguments):
        monkeypatch.setattr(index_folder, "check_files", whole)
        remove_images(folder / "index", ["c"])  # written anew: all files are others
        whole(*arguments)

    monkeypatch.setattr(index_folder, "check_files", replaced_meanwhile)
    assert load_index(folder / "index").names == ("a", "b", "d")
