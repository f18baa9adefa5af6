"""Which features are a photo's own, and what becomes of those that are damaged."""

from __future__ import annotations

import errno
import json
import logging
import os

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.describe.claim import UNFINISHED_NAME
from src.describe.folder import extract_folder
from src.describe.record import RECORD_NAME
from src.feature_io import (
    MANIFEST_NAME,
    Origin,
    look_at_features,
    read_features,
    read_manifest,
    write_features,
)
from tests.helpers.files import digests
from tests.helpers.toy_engine import CONFIG, PCA, FakeEngine


@pytest.fixture
def out(photos, tmp_path):
    """A complete feature folder of the photos."""
    extract(photos, tmp_path / "features")
    return tmp_path / "features"


def extract(photos, out, **options):
    return extract_folder(photos, out, FakeEngine(), CONFIG, PCA, **options)


def counts(summary):
    return summary.extracted, summary.skipped


def replace_pixels(path, seed):
    """Let a PNG hold another picture of the same size in pixels and bytes."""
    before = path.stat().st_size
    shape = np.asarray(Image.open(path)).shape
    image = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(image).save(path)
    short = before - path.stat().st_size
    if short > 0:
        with open(path, "ab") as file:
            file.write(bytes(short))
    return path


def as_older_ones(out):
    """Make a feature folder what it was before files and record told what they are of."""
    for path in out.glob("*.npz"):
        state = path.stat()
        write_features(path, read_features(path))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    (out / RECORD_NAME).unlink()


# --- another photo


@pytest.mark.parametrize("seconds", [9e8, 1e9, 4e9])  # an older, an equal, a younger time
def test_another_photo_is_described_again_whatever_its_time(photos, out, seconds):
    path = photos / "photo_3.png"
    before = read_features(out / "photo_3.npz").descriptors
    os.utime(replace_pixels(path, 77), (seconds, seconds))
    assert counts(extract(photos, out)) == (1, 6)
    after = read_features(out / "photo_3.npz").descriptors
    assert before.shape != after.shape or (before != after).any()
    assert counts(extract(photos, out)) == (0, 7)


def test_the_same_photo_with_another_time_keeps_its_features(photos, out):
    before = (out / "photo_3.npz").stat().st_mtime_ns
    for path in photos.iterdir():  # copied without its time
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert counts(extract(photos, out)) == (0, 7)
    assert (out / "photo_3.npz").stat().st_mtime_ns == before
    noted = json.loads((out / RECORD_NAME).read_text())
    assert noted["photo_3"][1] == (photos / "photo_3.png").stat().st_mtime_ns


def test_a_photo_that_changes_while_it_is_read_is_described_again(photos, tmp_path, monkeypatch):
    import src.describe.workers as module

    original = module.unchanged_digest

    def changing(path, before):
        if path.stem == "photo_2":
            replace_pixels(path, 5)
        return original(path, before)

    monkeypatch.setattr(module, "unchanged_digest", changing)
    extract(photos, tmp_path / "f")
    assert look_at_features(tmp_path / "f" / "photo_2.npz").origin.photo == ""
    monkeypatch.undo()
    os.remove(tmp_path / "f" / RECORD_NAME)
    assert counts(extract(photos, tmp_path / "f")) == (1, 6)
    assert counts(extract(photos, tmp_path / "f")) == (0, 7)


def test_photos_that_are_not_asked_for_keep_their_features(photos, out, tmp_path):
    manifest = (out / MANIFEST_NAME).read_bytes()
    (photos / "photo_1.png").rename(tmp_path / "aside.png")
    summary = extract(photos, out)
    assert counts(summary) == (0, 6)
    assert summary.absent == ["photo_1"]
    assert "photo_1" not in read_manifest(out).names
    (tmp_path / "aside.png").rename(photos / "photo_1.png")
    assert counts(extract(photos, out)) == (0, 7)
    assert (out / MANIFEST_NAME).read_bytes() == manifest


# --- features made before


def test_older_features_are_kept_and_noted(photos, out):
    as_older_ones(out)
    before = digests(out)
    assert counts(extract(photos, out)) == (0, 7)
    assert before.items() <= digests(out).items()
    # From now on it is known which photos they are of.
    os.utime(replace_pixels(photos / "photo_3.png", 77), (9e8, 9e8))
    assert counts(extract(photos, out)) == (1, 6)


def test_older_features_that_are_older_than_their_photo_are_made_again(photos, out):
    as_older_ones(out)
    os.utime(photos / "photo_3.png", (4e9, 4e9))
    assert counts(extract(photos, out)) == (1, 6)


def test_the_older_record_of_a_search_is_read(photos, out):
    as_older_ones(out)
    stamps = {path.stem: path.stat() for path in photos.iterdir()}
    noted = {name: [state.st_size, state.st_mtime_ns] for name, state in stamps.items()}
    noted["photo_3"][1] -= 1  # another time: another photo
    (out / RECORD_NAME).write_text(json.dumps(noted))
    os.utime(out / "photo_4.npz", (1e8, 1e8))  # it was the photos' stamps that counted
    assert counts(extract(photos, out)) == (1, 6)


def test_features_on_a_disk_that_can_only_be_read(photos, out, monkeypatch):
    as_older_ones(out)
    before = digests(out)

    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    assert counts(extract(photos, out)) == (0, 7)
    assert digests(out) == before
    (out / "photo_3.npz").unlink()
    with pytest.raises(OSError, match="Read-only"):
        extract(photos, out)


# --- damage


def other_file(path):
    path.write_bytes(path.with_name("photo_5.npz").read_bytes())


def same_arrays_of_other_settings(path):
    write_features(path, read_features(path), Origin(look_at_features(path).origin.photo, "other"))


DAMAGE = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:700]),
    "end lost": lambda path: path.write_bytes(path.read_bytes()[:-500] + bytes(500)),
    "middle lost": lambda path: path.write_bytes(
        path.read_bytes()[:400] + bytes(300) + path.read_bytes()[700:]
    ),
    "something else": lambda path: path.write_bytes(b"text" * 100),
    "of another photo": other_file,
}


@pytest.mark.parametrize("without_record", [False, True])
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_feature_file_is_made_again(photos, out, caplog, kind, without_record):
    whole = digests(out)
    DAMAGE[kind](out / "photo_3.npz")
    if without_record:
        (out / RECORD_NAME).unlink()
    assert counts(extract(photos, out)) == (1, 6)
    assert digests(out) == whole
    if not without_record:
        assert caplog.text.count("photo_3") == 1
    assert counts(extract(photos, out)) == (0, 7)


def test_a_feature_file_of_other_settings_is_made_again(photos, out):
    whole = digests(out)
    same_arrays_of_other_settings(out / "photo_3.npz")
    assert counts(extract(photos, out)) == (1, 6)
    assert digests(out) == whole


def test_damage_that_leaves_no_trace_is_found_when_one_looks(photos, out):
    whole = digests(out)
    DAMAGE["middle lost"](out / "photo_3.npz")
    # As if the record had been written after it: what a failing disk does is no change to a file.
    after = (out / "photo_3.npz").stat().st_ctime_ns + 1
    os.utime(out / RECORD_NAME, ns=(after, after))
    assert counts(extract(photos, out)) == (0, 7)
    assert counts(extract(photos, out, trusting=False)) == (1, 6)
    assert digests(out) == whole


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, text) for text in ("", "[]", "{", "\0" * 300)
          for name in (MANIFEST_NAME, RECORD_NAME, UNFINISHED_NAME)),
        *((name, text) for text in ('{"photo_3": 1}', '{"photo_3": ["a", 1]}')
          for name in (MANIFEST_NAME, RECORD_NAME)),
    ],
)  # fmt: skip
def test_damaged_notes_are_made_again_without_describing(photos, out, caplog, name, text):
    whole = digests(out)
    if name == UNFINISHED_NAME:
        (out / MANIFEST_NAME).unlink()
    (out / name).write_text(text)
    with caplog.at_level(logging.WARNING):
        assert counts(extract(photos, out)) == (0, 7)
    assert digests(out) == whole
    assert caplog.text.count(f"{name} is damaged") == 1


@pytest.mark.parametrize("name", [MANIFEST_NAME, UNFINISHED_NAME])
def test_in_a_cache_the_files_know_better_than_a_damaged_note(photos, out, caplog, name):
    whole = digests(out)
    text = (out / MANIFEST_NAME).read_text()
    if name == UNFINISHED_NAME:
        (out / MANIFEST_NAME).unlink()
        text = json.dumps(json.loads(text)["settings"])
    (out / name).write_text(text.replace('"pca_dim": 4', '"pca_dim": 5'))
    with pytest.raises(UserError, match="pca_dim: 5 there, 4 wanted"):
        extract(photos, out)
    assert counts(extract(photos, out, is_cache=True)) == (0, 7)
    assert digests(out) == whole
    assert caplog.text.count(f"{name} is damaged") == 1


def test_a_record_that_is_wrong_ends_one_run_at_most(photos, out, tmp_path):
    whole = digests(out)
    path = photos / "photo_1.png"
    path.rename(tmp_path / "aside.png")
    (out / "photo_1.npz").unlink()
    extract(photos, out)
    noted = json.loads((out / RECORD_NAME).read_text())
    noted["photo_3"][3] = "0" * 64
    (out / RECORD_NAME).write_text(json.dumps(noted))
    (tmp_path / "aside.png").rename(path)
    with pytest.raises(UserError, match="photo_3"):
        extract(photos, out)
    assert counts(extract(photos, out)) == (0, 7)
    assert digests(out) == whole


def test_a_note_of_other_settings_is_no_damage(photos, out):
    (out / MANIFEST_NAME).unlink()
    (out / UNFINISHED_NAME).write_text('{"pca_dim": 99}')
    with pytest.raises(UserError, match="pca_dim"):
        extract(photos, out)
