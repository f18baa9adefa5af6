"""A store in a folder: what it keeps through kills and updates, and what it refuses."""

import json
import multiprocessing
import os
import signal

import numpy as np
import pytest

from src.common.errors import UserError
from src.index.stores import faiss_folder
from src.index.stores.faiss_folder import FaissFolder
from src.index.stores.photo_lists import choose_kind, memory
from src.index.stores.settings import StoreSettings
from src.index.summed_files import DamagedError

DIMENSION = 16
LISTS = StoreSettings(kind="ivf_sq8", recall=1.0)


def unit(count, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16).astype(np.float32)


def numbered(first, last):
    return [f"photo {i:04d}" for i in range(first, last)]


def opened(folder, settings=StoreSettings(), made_with=None, dimension=DIMENSION):  # noqa: B008
    return FaissFolder(folder, made_with or {"weights": "a"}, dimension, settings)


def filled(folder, count=300, settings=StoreSettings(), seed=0):  # noqa: B008
    names = numbered(0, count)
    with opened(folder, settings) as store:
        store.add(names, unit(count, seed), names)
        store.flush()
    return names


def first_of_each(store, vectors):
    return [one.names[0] for one in store.nearest(vectors, 1)]


def test_equal_photos_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        filled(tmp_path / name, settings=LISTS)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def _fill_and_die(folder, vectors, names):
    faiss_folder.COMMIT_BYTES = 2 * DIMENSION * 100
    store = opened(folder)
    for start in range(0, 250, 50):
        part = slice(start, start + 50)
        store.add(names[part], vectors[part], names[part])
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_program_committed_is_kept_and_the_rest_is_absent(tmp_path):
    names, vectors = numbered(0, 300), unit(300)
    arguments = (tmp_path / "store", vectors, names)
    process = multiprocessing.get_context("spawn").Process(target=_fill_and_die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with (tmp_path / "store" / "vectors-1.bin").open("ab") as file:
        file.write(b"half a row")  # as a kill in the middle of an append leaves it
    (tmp_path / "store" / "lists-9-0.bin").write_bytes(b"left over")
    with opened(tmp_path / "store") as store:
        assert store.count() == 200
        assert first_of_each(store, vectors[:200]) == names[:200]
        missing = store.absent(names, names)
        assert missing == list(range(200, 300))
        store.add([names[i] for i in missing], vectors[200:], names[200:])
        store.flush()
        assert not (tmp_path / "store" / "lists-9-0.bin").exists()
    assert first_of_each(opened(tmp_path / "store"), vectors) == names


def test_a_reader_keeps_what_it_opened_while_another_writes(tmp_path):
    names = filled(tmp_path / "store", settings=LISTS)
    reader = opened(tmp_path / "store", LISTS)
    with opened(tmp_path / "store", LISTS) as store:
        store.remove(names[:100])
        store.flush()  # more than a quarter is dead: all is written anew
        assert store.count() == 200
    assert reader.count() == 300
    assert first_of_each(reader, unit(300)) == names
    again = opened(tmp_path / "store", LISTS)
    assert first_of_each(again, unit(300)[100:]) == names[100:]
    assert json.loads((tmp_path / "store" / "store.json").read_text())["rows"] == 200


def test_later_photos_go_into_lists_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(faiss_folder, "FEW_ROWS", 10)
    names, vectors = numbered(0, 500), unit(500)
    with opened(tmp_path / "store", LISTS) as store:
        for end in (260, 265, 320, 360, 400, 420, 440, 460, 480, 500):
            start = store.count()
            store.add(names[start:end], vectors[start:end], names[start:end])
            store.flush()
            assert first_of_each(store, vectors[:end]) == names[:end]
    lists = json.loads((tmp_path / "store" / "store.json").read_text())["lists"]
    assert lists["rows"] == 500 and 1 < len(lists["lists_files"]) <= 6


def test_one_process_writes_at_a_time(tmp_path):
    filled(tmp_path / "store")
    with opened(tmp_path / "store") as store:
        store.add(["new"], unit(1, 5), ["1"])
        other = opened(tmp_path / "store")
        with pytest.raises(UserError, match="another process is writing the store"):
            other.add(["newer"], unit(1, 6), ["1"])
        assert other.count() == 300
        store.flush()
    with opened(tmp_path / "store") as store:
        store.add(["newer"], unit(1, 6), ["1"])
        store.flush()
        assert store.count() == 302


def test_a_store_of_other_settings_is_refused_and_stays(tmp_path):
    filled(tmp_path / "store")
    with pytest.raises(UserError, match=r'other settings \(weights: "a" there, "b" wanted\)'):
        opened(tmp_path / "store", made_with={"weights": "b"})
    with pytest.raises(UserError, match="dimension: 16 there, 8 wanted"):
        opened(tmp_path / "store", dimension=8)
    assert opened(tmp_path / "store").count() == 300


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "photo.jpg").write_text("a photo")
    with pytest.raises(UserError, match="is there already and is no store; give another folder"):
        opened(tmp_path).add(["a"], unit(1), ["1"])
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("kind", ["vectors", "names", "rows", "live", "lists", "trained"])
def test_a_flipped_bit_is_named_whatever_file_it_is_in(tmp_path, kind):
    filled(tmp_path / "store", settings=LISTS)
    (path,) = (tmp_path / "store").glob(f"{kind}-*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=f"the store .* is damaged .{path.name} ") as told:
        opened(tmp_path / "store", LISTS).nearest(unit(300), 300)
    assert str(told.value).endswith("; delete the folder and fill it again")


def test_a_description_that_was_changed_is_refused(tmp_path):
    filled(tmp_path / "store")
    path = tmp_path / "store" / "store.json"
    path.write_text(path.read_text().replace('"photos": 300', '"photos": 299'))
    with pytest.raises(UserError, match="says something else than was written"):
        opened(tmp_path / "store")


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    names, vectors = filled(tmp_path / "store"), unit(310)
    new = numbered(300, 310)
    with opened(tmp_path / "store") as store:
        real = os.fsync

        def full(number):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        store.add(new, vectors[300:], new)
        with pytest.raises(OSError, match="No space left"):
            store.flush()
        monkeypatch.setattr(os, "fsync", real)
        assert opened(tmp_path / "store").count() == 300
        store.flush()  # there is room again
    assert first_of_each(opened(tmp_path / "store"), vectors) == names + new


def test_the_kind_by_photos_and_memory():
    def chosen(photos, megabytes):
        return choose_kind(StoreSettings(memory=megabytes), photos, 256)

    assert chosen(100_000, 1) == "flat"
    assert chosen(1_000_000, 600) == "ivf_sq8"  # 264 bytes a photo, and the lists' centres
    assert chosen(1_000_000, 100) == "ivf_rabitq"  # 48 bytes a photo
    assert chosen(10_000_000, 0) == "ivf_sq8"
    assert memory("ivf_sq8", 1_000_000, 256) == 1_000_000 * 264 + 4096 * 256 * 4
    assert memory("ivf_rabitq", 1_000_000, 256) == 1_000_000 * 48 + 4096 * 256 * 4


@pytest.mark.parametrize(("kind", "share"), [("ivf_sq8", 0.97), ("ivf_rabitq", 0.97)])
def test_lists_find_what_they_promise(tmp_path, kind, share):
    """Photos in groups, as those of landmarks are; the recall is counted against all of them."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(200, 64))
    vectors = centres[rng.integers(0, 200, 6000)] + 0.5 * rng.normal(size=(6000, 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    vectors = vectors.astype(np.float32)
    names = numbered(0, 6000)
    with FaissFolder(tmp_path / "s", {}, 64, StoreSettings(kind=kind)) as store:
        store.add(names, vectors, names)
        store.flush()
        queries = vectors[::60]
        found = store.nearest(queries, 100)
        assert store.describe()["search"].startswith(kind)
    exact = np.argsort(-queries @ vectors.T, axis=1)[:, :100]
    shares = [len({names[i] for i in row} & set(one.names)) / 100 for row, one in zip(exact, found)]
    assert np.mean(shares) >= share - 0.01
