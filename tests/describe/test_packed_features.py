"""Packed stores, described into, killed, damaged and read again."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.common.packed_store import PackedStore
from src.describe.folder import extract_folder
from src.feature_io import (
    DamagedFeaturesError,
    feature_path,
    features_checksum,
    open_features,
    read_features,
    read_manifest,
)
from src.index.build import build_index, update_index
from src.index.folder import load_index
from tests.helpers.toy_engine import CONFIG, PCA, ActingEngine, FakeEngine


def pack(photos, folder, engine=None, **options):
    return extract_folder(
        photos, folder, engine or FakeEngine(), CONFIG, PCA, store="packed", **options
    )


def decoded(folder):
    """Read every record of a store by the words of the module docstrings alone."""
    photos = {}
    for path in sorted(folder.glob("*.records")):
        data = path.read_bytes()
        magic, version, factor = struct.unpack_from("<8sId", data)
        assert (magic, version) == (b"RECORDS\n", 1)
        assert struct.unpack_from("<I", data, 20) == (zlib.crc32(data[:20]),)
        place = 24
        while place < len(data):
            head = struct.unpack_from("<4sIIIIII", data, place)
            assert head[0] == b"BLK1"
            assert head[6] == zlib.crc32(data[place : place + 24])
            start = place + 28
            text = data[start : start + head[2]]
            records = data[start + head[2] : start + head[2] + head[3]]
            assert (zlib.crc32(text), zlib.crc32(records)) == head[4:6]
            directory = json.loads(text)
            assert len(directory) == head[1]
            for about in directory:
                photos[about["name"]] = about, _record(records[: about["length"]], factor)
                records = records[about["length"] :]
            assert not records
            place = start + head[2] + head[3]
    return photos


def _record(record, factor):
    count, length, whole, scales, _ = struct.unpack_from("<IHHBB", record)
    height, width, y, x, step_y, step_x = struct.unpack_from("<II4d", record, 12)
    place, taken = 52, []
    for kind, number in (
        *(("f4", scales), ("u2", 2 * count), ("f2", count), ("f2", whole)),
        *(("u1", count), ("i1", count * length)),
    ):
        taken.append(np.frombuffer(record, f"<{kind}", number, place))
        place += taken[-1].nbytes
    assert place == len(record)
    steps = taken[1].reshape(count, 2).astype(float)
    return {
        "size": (height, width),
        "locations": steps * (step_y, step_x) + (y, x),
        "scales": taken[0][taken[4]],
        "attention": taken[2],
        "descriptors": taken[5].reshape(count, length) * factor,
    }


@pytest.fixture
def files(photos, tmp_path):
    folder = tmp_path / "files"
    extract_folder(photos, folder, FakeEngine(), CONFIG, PCA)
    return folder


def test_a_store_holds_what_the_files_hold(photos, files, tmp_path):
    store = tmp_path / "store"
    summary = pack(photos, store)
    assert summary.extracted == 7
    assert not list(store.glob("*.npz")) or [p.name for p in store.glob("*.npz")] == ["table.npz"]
    found = decoded(store)
    assert sorted(found) == list(read_manifest(files).names)
    for name, (about, by_hand) in found.items():
        wanted = read_features(feature_path(files, name))
        read = read_features(feature_path(store, name))
        assert by_hand["size"] == (wanted.size or (0, 0))
        assert read.size == wanted.size
        for features in (by_hand, vars(read)):
            assert np.abs(features["locations"] - wanted.locations).max() < 150 / 65535
            assert (features["scales"] == wanted.scales).all()
            np.testing.assert_allclose(features["attention"], wanted.attention, rtol=1e-3)
            cosines = (features["descriptors"] * wanted.descriptors).sum(axis=1)
            assert np.abs(cosines - 1).max() < 0.01
        np.testing.assert_allclose(np.linalg.norm(read.descriptors, axis=1), 1, rtol=1e-6)
        assert about["sum"] == features_checksum(feature_path(store, name))


def test_the_same_photos_give_the_same_bytes_and_are_described_once(photos, tmp_path):
    pack(photos, tmp_path / "a")
    again = pack(photos, tmp_path / "a")
    pack(photos, tmp_path / "b")
    assert (again.extracted, again.skipped) == (0, 7)
    for name in ("features-000.records", "table.npz", "features.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_several_workers_write_beside_each_other(photos, tmp_path):
    pack(photos, tmp_path / "one")
    pack(photos, tmp_path / "two", devices=(0, 1))
    assert len(list((tmp_path / "two").glob("*.records"))) == 2
    one, two = PackedStore(tmp_path / "one"), PackedStore(tmp_path / "two")
    assert one.names == two.names
    assert [one.checksum(n) for n in one.names] == [two.checksum(n) for n in two.names]


def test_a_killed_run_goes_on(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("src.common.block_files.BLOCK_BYTES", 1)  # a block a photo
    store = tmp_path / "store"
    child = os.fork()
    if not child:
        try:
            pack(photos, store, ActingEngine(8, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    records = store / "features-000.records"
    there = len(decoded(store))
    assert 0 < there < 7
    with records.open("ab") as file:  # as the kill might have come in the middle of a block
        file.write(records.read_bytes()[24:200])
    with pytest.raises(UserError, match="store holds no complete features"):
        open_features(store)
    summary = pack(photos, store)
    assert (summary.extracted, summary.skipped) == (7 - there, there)
    pack(photos, tmp_path / "other")
    assert records.read_bytes() == (tmp_path / "other" / records.name).read_bytes()


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("part", ["head", "directory", "records"])
def test_a_flipped_bit_is_named_and_its_photos_are_described_alone(
    photos, tmp_path, monkeypatch, caplog, part
):
    monkeypatch.setattr("src.common.block_files.BLOCK_BYTES", 1)
    store = tmp_path / "store"
    pack(photos, store)
    whole = decoded(store)
    block = PackedStore(store).files[0].blocks()
    next(block), next(block)
    third = next(block)
    place = {"head": third.offset + 9, "directory": third.records - 4, "records": third.end - 3}
    flip(store / "features-000.records", place[part])
    with pytest.raises(DamagedFeaturesError, match=f"photo_2 .*byte {third.offset} of"):
        read_features(feature_path(store, "photo_2"))
    read_features(feature_path(store, "photo_3"))
    caplog.clear()
    summary = pack(photos, store)
    assert (summary.extracted, summary.skipped) == (1, 6)
    named = " (photo_2)" if part == "records" else ""
    said = re.escape(f"block 2 of {store}/features-000.records, at byte {third.offset}{named}: ")
    assert re.search(said, caplog.text)
    read = read_features(feature_path(store, "photo_2"))
    np.testing.assert_allclose(read.locations, whole["photo_2"][1]["locations"], atol=1e-4)
    caplog.clear()
    assert pack(photos, store).extracted == 0
    assert "damaged" not in caplog.text


def test_a_changed_photo_is_described_again(photos, tmp_path):
    store = tmp_path / "store"
    pack(photos, store)
    before = features_checksum(feature_path(store, "photo_4"))
    Image.fromarray(np.eye(90, dtype=np.uint8) * 200).save(photos / "photo_4.png")
    assert pack(photos, store).extracted == 1
    assert features_checksum(feature_path(store, "photo_4")) != before
    assert len(read_features(feature_path(store, "photo_4")))
    assert pack(photos, store).extracted == 0


def test_other_settings_are_refused(photos, tmp_path):
    store = tmp_path / "store"
    pack(photos, store)
    with pytest.raises(UserError, match=r"checkpoint: .*fake.* there, .*other.* wanted"):
        pack(photos, store, FakeEngine("other"))
    (store / "features.json").unlink()
    with pytest.raises(UserError, match="packed store of other settings"):
        pack(photos, store, FakeEngine("other"))


def test_a_folder_keeps_the_kind_that_it_has(photos, files, tmp_path):
    assert pack(photos, files).extracted == 0
    store = tmp_path / "store"
    pack(photos, store)
    assert extract_folder(photos, store, FakeEngine(), CONFIG, PCA).extracted == 0


def test_index_of_files_and_stores_together(photos, files, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 256, (80, 90, 3)).astype(np.uint8)
        Image.fromarray(image).save(others / f"other_{number}.png")
    store = tmp_path / "store"
    pack(others, store)
    index = tmp_path / "index"
    build_index([files, store], index)
    there = load_index(index)
    assert there.image_count == 10
    assert not update_index([files, store], index)
    counts = dict(zip(there.names, np.diff(there.offsets)))
    both = open_features([files, store])
    assert list(both.folders) == sorted([*read_manifest(files).names, *PackedStore(store).names])
    for name in both.folders:
        assert len(both.read(name)) == counts[name]


def test_a_full_disk_leaves_what_was_complete(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("src.common.block_files.BLOCK_BYTES", 1)
    store = tmp_path / "store"
    written = []

    def full(file, data):
        if len(written) == 3:
            file.write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        written.append(file.write(data))

    with monkeypatch.context() as patch:
        patch.setattr("src.common.block_files._write_all", full)
        with pytest.raises(OSError, match="No space") as raised:
            pack(photos, store)
    assert raised.value.filename == str(store / "features-000.records")
    assert len(decoded(store)) == 3
    assert pack(photos, store).skipped == 3


def test_two_at_once_are_refused(photos, tmp_path):
    store = tmp_path / "store"

    def another():
        with pytest.raises(UserError, match="another process is writing"):
            pack(photos, store)

    pack(photos, store, ActingEngine(4, another))
    assert len(decoded(store)) == 7
