"""Dropping the features of photos that are not wanted any more."""

from __future__ import annotations

import pytest

from src.common.packed_store import PackedStore
from src.describe.forgetting import forget_features
from src.describe.merge import merge
from src.feature_io import open_features, read_manifest, write_manifest
from tests.helpers.features import features_of, write_features_folder

NAMES = ["a", "b/c", "d"]


@pytest.fixture(params=["files", "packed"])
def folder(request, tmp_path):
    """Features of three photos."""
    made = {name: features_of([[1, 2]], [[number, 1.0]]) for number, name in enumerate(NAMES)}
    files = write_features_folder(tmp_path / "files", made)
    if request.param == "packed":
        merge([files], tmp_path / "packed")
    return tmp_path / request.param


def bytes_of(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def keep(folder, names):
    """Forget the others, and list those that are left, as a search does."""
    dropped = forget_features(folder, names)
    there = read_manifest(folder)
    images = tuple(image for image in there.images if image[0] in names)
    write_manifest(folder, there.__class__(images, there.settings, there.failed))
    return dropped


def test_the_others_go_and_those_named_stay(folder):
    before = {name: open_features(folder).read(name).descriptors for name in NAMES}
    assert keep(folder, ["a", "d"]) == 1
    assert b"b/c" not in bytes_of(folder)  # nor in what the folder notes of photos
    there = open_features(folder)
    assert list(there.folders) == ["a", "d"]
    for name in there.folders:
        assert (there.read(name).descriptors == before[name]).all()
    assert keep(folder, ["a", "d"]) == 0


def test_a_store_whose_rewriting_was_ended_is_whole_and_done_again(tmp_path, monkeypatch):
    made = {name: features_of([[1, 2]], [[number, 1.0]]) for number, name in enumerate(NAMES)}
    store = tmp_path / "packed"
    merge([write_features_folder(tmp_path / "files", made)], store)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            forget_features(store, ["a", "d"])
    assert PackedStore(store).names == NAMES
    assert not list(PackedStore(store).damages())
    assert keep(store, ["a", "d"]) == 1
    assert PackedStore(store).names == ["a", "d"]
    assert len(list(store.glob("*.records"))) == 1


def test_what_is_damaged_is_not_carried_on(tmp_path):
    made = {name: features_of([[1, 2]], [[number, 1.0]]) for number, name in enumerate(NAMES)}
    store = tmp_path / "packed"
    merge([write_features_folder(tmp_path / "files", made)], store)
    (records,) = store.glob("*.records")
    content = records.read_bytes()
    records.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert forget_features(store, ["a", "d"]) == 1
    assert PackedStore(store).names == []  # of one block, which is described again
