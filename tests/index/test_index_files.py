"""The files of an index: damaged ones, missing ones, and folders that are none."""

from __future__ import annotations

import json

import pytest

from src.common.errors import UserError
from src.index.build import build_index, remove_images, update_index
from src.index.choice import IndexSettings
from src.index.folder import load_index
from tests.helpers.index import contents, write_folder


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
