"""A search whose cache is damaged, whose photos are absent, or that is killed, and the next."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import shutil
import signal

import pytest

from src.common.errors import UserError
from src.common.packed_store import PackedStore
from src.describe.engines.choice import KnownWeights
from src.describe.record import RECORD_NAME
from src.feature_io import MANIFEST_NAME, read_manifest
from src.photo_search import weights
from src.photo_search.weights import WEIGHTS_NAME
from tests.helpers.files import digests
from tests.helpers.search import features_folder, find, names, photo


def kept(photos):
    return features_folder(photos).parent


def of_interest(photos):
    """The digest of every file that a search keeps, but for what was half written."""
    return {name: digest for name, digest in digests(kept(photos)).items() if ".tmp" not in name}


# --- damage of what is kept

CUT = {
    "a feature file is gone": lambda here: (here / "features-x/c.png.npz").unlink(),
    "a feature file is empty": lambda here: (here / "features-x/c.png.npz").write_bytes(b""),
    "a feature file is cut": lambda here: os.truncate(here / "features-x/c.png.npz", 900),
    "a feature file is another's": lambda here: shutil.copy(
        here / "features-x/d.png.npz", here / "features-x/c.png.npz"
    ),
    "a folder of features is gone": lambda here: shutil.rmtree(here / "features-x/a"),
    "the manifest": lambda here: (here / "features-x" / MANIFEST_NAME).write_text('{"form'),
    "the manifest is gone": lambda here: (here / "features-x" / MANIFEST_NAME).unlink(),
    "the record": lambda here: (here / "features-x" / RECORD_NAME).write_text("[1"),
    "the weights' note": lambda here: (here.parent / WEIGHTS_NAME).write_bytes(b"\0" * 99),
    "the PCA": lambda here: (here / "pca/mean.npy").write_bytes(b"x"),
    "a file of the PCA is gone": lambda here: (here / "pca/pca.json").unlink(),
    "the PCA is gone": lambda here: shutil.rmtree(here / "pca"),
    "the copy of the PCA": lambda here: (here / "pca.copy/mean.npy").write_bytes(b"x"),
    "the PCA and its copy": lambda here: [
        os.truncate(folder / "pca_proj_mat.npy", 100) for folder in here.glob("pca*")
    ],
    "the query's features": lambda here: [
        os.truncate(path, 700) for path in here.glob("queries-*/*.npz")
    ],
    "the index": lambda here: [
        path.write_bytes(b"x") for path in here.glob("index-*/descriptors-*")
    ],
    "the middle of the index": lambda here: [
        path.write_bytes(path.read_bytes()[:600] + b"\xff" * 100 + path.read_bytes()[700:])
        for path in here.glob("index-*/descriptors-*")
    ],
    "the index's description": lambda here: [
        path.write_bytes(b"x") for path in here.glob("index-*/index.json")
    ],
    "a file of the index is gone": lambda here: [
        path.unlink() for path in here.glob("index-*/images-*")
    ],
    "the sheet": lambda here: [path.write_bytes(b"") for path in here.rglob("*.jpg")],
}
#: Lines that say so, where it is not one.
SAID = {"the manifest is gone": 0, "the sheet": 0}
#: Photos that are described again, where it is not none.
DESCRIBED = {"a feature file": 1, "a folder of features": 2, "the query": 1, "the PCA and": 4}


@pytest.mark.parametrize("what", CUT)
def test_what_is_damaged_is_made_again(photos, what, caplog, monkeypatch):
    monkeypatch.setattr(weights, "read_known_weights", lambda _: KnownWeights("fake", True))
    query = photos.parent / "query.png"
    found, _, _ = find(photos, query)
    whole = of_interest(photos)
    here = kept(photos)
    (here / "features-x").symlink_to(features_folder(photos).name)
    CUT[what](here)
    (here / "features-x").unlink()
    caplog.clear()
    again, described, _ = find(photos, query)
    assert again == found
    wanted = [count for kind, count in DESCRIBED.items() if what.startswith(kind)]
    assert described == (wanted[0] if wanted else 0)
    assert of_interest(photos) == whole
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == SAID.get(what, 1)
    assert find(photos, query)[1:] == (0, 0)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"%s": []}', '{"%s": {"stamp": 1}}', None])
def test_a_damaged_note_of_the_weights(photos, text, caplog, monkeypatch):
    find(photos)
    note = photos.parent / "work" / WEIGHTS_NAME
    checkpoint = next(iter(json.loads(note.read_text())))
    read = []
    monkeypatch.setattr(
        weights, "read_known_weights", lambda path: read.append(path) or KnownWeights("fake", True)
    )
    if text is None:  # one that is a note, but not the one that was written
        note.unlink()
        find(photos)
        note.write_text(note.read_text().replace('"fake"', '"fame"'))
    else:
        note.write_text(text.replace("%s", checkpoint))
    assert find(photos)[1:] == (0, 0)
    assert "damaged" in caplog.text
    count = len(read)
    assert find(photos)[1:] == (0, 0)
    assert len(read) == count


def test_damage_that_shows_only_when_a_photo_is_the_query(photos):
    first = find(photos, photos / "c.png")[0]
    path = features_folder(photos) / "c.png.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:400] + bytes(300) + whole[700:])
    after = path.stat().st_ctime_ns + 1
    os.utime(features_folder(photos) / RECORD_NAME, ns=(after, after))
    again, described, _ = find(photos, photos / "c.png")
    assert (again, described) == (first, 1)
    assert path.read_bytes() == whole


def test_a_photo_that_has_become_unreadable_has_no_features_as_a_query(photos):
    find(photos)
    (photos / "c.png").write_bytes(b"no photo")
    with pytest.raises(UserError, match=r"c\.png is not an image"):
        find(photos, photos / "c.png")


# --- photos that are absent


@pytest.mark.parametrize("how", ["gone", "an empty mount point"])
def test_photos_that_are_absent_for_a_while_are_not_described_again(photos, how, caplog):
    first, _, _ = find(photos, photos / "c.png")
    whole = of_interest(photos)
    (photos / "a").rename(photos.parent / "a")
    if how != "gone":
        (photos / "a").mkdir()
    with caplog.at_level(logging.INFO):
        found, described, opened = find(photos, photos / "c.png")
    assert (described, opened) == (0, 0)
    assert sorted(names(found)) == ["b/1.png", "d.png", "e.png"]
    assert "2 photos that were described are not there (a/1.png" in caplog.text
    find(photos)
    shutil.rmtree(photos / "a", ignore_errors=True)
    (photos.parent / "a").rename(photos / "a")
    again, described, opened = find(photos, photos / "c.png")
    assert (described, opened) == (0, 0)
    assert again == first
    features = {name: digest for name, digest in whole.items() if name.startswith("features")}
    assert features.items() <= of_interest(photos).items()


@pytest.mark.parametrize("store", ["files", "packed"])
def test_photos_that_are_to_be_forgotten(photos, store):
    find(photos, store=store)
    (photos / "a").rename(photos.parent / "a")
    assert find(photos, forget=True, store=store)[1] == 0
    folder = features_folder(photos)
    if store == "files":
        assert not list((folder / "a").iterdir())
    else:
        assert PackedStore(folder).names == ["b/1.png", "c.png", "d.png", "e.png"]
        assert not list(folder.glob("*.npz")) or [*folder.glob("*.npz")] == [folder / "table.npz"]
    assert set(read_manifest(features_folder(photos)).names) == {
        *("b/1.png", "c.png", "d.png", "e.png")
    }
    (photos.parent / "a").rename(photos / "a")
    assert find(photos, store=store)[1] == 2
    assert not find(photos, photos / "c.png", store=store)[1]


def test_another_photo_that_takes_the_place_of_an_absent_one(photos):
    find(photos)
    (photos / "c.png").rename(photos.parent / "c.png")
    find(photos)
    os.utime(photo(photos / "c.png", 9), (1e9, 1e9))
    assert find(photos)[1] == 1


def test_a_folder_that_cannot_be_read_is_named_and_loses_nothing(photos, monkeypatch):
    first, _, _ = find(photos, photos / "c.png")
    whole = of_interest(photos)
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(UserError, match=r"cannot read the folder .*/a \(Permission denied\)"):
        find(photos, photos / "c.png")
    monkeypatch.undo()
    assert of_interest(photos) == whole
    assert find(photos, photos / "c.png") == (first, 0, 0)


def test_photos_whose_state_cannot_be_asked_keep_their_features(photos, monkeypatch, caplog):
    find(photos)
    stat = os.stat

    def refusing(path, **options):
        if str(path).endswith("/c.png"):
            raise OSError(5, "Input/output error", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refusing)
    whole = of_interest(photos)
    (photos / "c.png").rename(photos.parent / "c.png")  # nor can it be opened
    (photos / "c.png").symlink_to(photos.parent / "nowhere")
    find(photos, photos / "d.png")
    assert "skipped" in caplog.text
    assert read_manifest(features_folder(photos)).failed.keys() == {"c.png"}
    monkeypatch.undo()
    (photos.parent / "c.png").replace(photos / "c.png")
    assert find(photos, photos / "d.png")[1] == 0
    features = {name: digest for name, digest in whole.items() if name.startswith("features")}
    assert features.items() <= of_interest(photos).items()


# --- kills


def search_and_be_killed(photos, query, renames):
    """Search; be killed before a file takes its place for the n-th time."""
    replace = os.replace

    def counting(source, target):
        nonlocal renames
        if renames == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        renames -= 1
        replace(source, target)

    os.replace = counting
    find(photos, query)


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_search_ends_as_an_undisturbed_one(photos, seed):
    query = photos.parent / "query.png"
    found, _, _ = find(photos, query)
    whole = of_interest(photos)
    shutil.rmtree(kept(photos))
    chance = random.Random(seed)
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        arguments = (photos, query, chance.randrange(25))
        process = context.Process(target=search_and_be_killed, args=arguments)
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
    again, _, _ = find(photos, query)
    assert again == found
    assert of_interest(photos) == whole
