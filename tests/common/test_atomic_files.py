from __future__ import annotations

import errno
import io
import os
import resource
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest

from src.common.atomic_files import (
    atomic_path,
    flush,
    write_csv,
    write_json,
    write_npy,
    write_npz,
    write_text,
)
from src.common.npy_format import read_npz

ARRAYS = {"names": np.array(["a", "b"]), "values": np.arange(6.0).reshape(2, 3)}
WRITERS = {
    "text": lambda path: write_text(path, "new"),
    "json": lambda path: write_json(path, {"a": 1}),
    "csv": lambda path: write_csv(path, ("a",), [(1,)]),
    "npy": lambda path: write_npy(path, ARRAYS["values"]),
    "npz": lambda path: write_npz(path, ARRAYS),
}


def test_arrays_are_as_numpy_writes_them(tmp_path):
    write_npz(tmp_path / "deep" / "ours.npz", ARRAYS)
    np.savez(tmp_path / "numpys.npz", **ARRAYS)
    ours = tmp_path / "deep" / "ours.npz"
    assert ours.read_bytes() == (tmp_path / "numpys.npz").read_bytes()
    assert zipfile.ZipFile(ours).testzip() is None
    for array in (ARRAYS["values"], np.asfortranarray(ARRAYS["values"]), ARRAYS["names"]):
        write_npy(tmp_path / "ours.npy", array)
        np.save(tmp_path / "numpys.npy", array)
        assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpys.npy").read_bytes()


def test_a_flipped_bit_never_gives_other_arrays(tmp_path):
    """NumPy alone reads 2 × 3 numbers for 2 × 30, or two bytes for four, and says nothing."""
    path = tmp_path / "a.npz"
    arrays = {"a": np.arange(60, dtype=np.float32).reshape(2, 30)}
    write_npz(path, arrays)
    content = path.read_bytes()
    refused = 0
    for place in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        try:
            found = read_npz(io.BytesIO(flipped))
        except (ValueError, OSError):
            refused += 1
            continue
        assert not found or (found["a"].shape, found["a"].dtype) == ((2, 30), np.float32)
        assert not found or (found["a"] == arrays["a"]).all()
    assert refused > 8 * (128 + 240)  # all of the array and what is said of it
    np.testing.assert_array_equal(read_npz(path)["a"], arrays["a"])


def test_a_table_is_quoted_where_it_must_be(tmp_path):
    write_csv(tmp_path / "a.csv", ("id", "why"), [("ä", 'says "no", twice'), (1, "")])
    assert (tmp_path / "a.csv").read_bytes() == 'id,why\nä,"says ""no"", twice"\n1,\n'.encode()


@pytest.mark.parametrize("kind", WRITERS)
def test_an_error_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path, monkeypatch, kind):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RuntimeError, match="killed"):
        WRITERS[kind](path)
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch, kind):
    events = recorded(monkeypatch)
    WRITERS[kind](tmp_path / "file.npz")
    assert [event for event, _ in events] == ["flush", "rename", "flush"]
    assert events[0][1].startswith(".file") and events[2][1] == tmp_path.name


def test_many_files_are_flushed_together(tmp_path, monkeypatch):
    events = recorded(monkeypatch)
    paths = [tmp_path / folder / f"{name}.npz" for folder in "ab" for name in range(3)]
    for path in paths:
        write_npz(path, ARRAYS, durable=False)
    assert {event for event, _ in events} == {"rename"}
    events.clear()
    flush(paths)
    assert [name for _, name in events] == [*(f"{i}.npz" for i in (0, 1, 2, 0, 1, 2)), "a", "b"]
    paths[0].unlink()
    with pytest.raises(FileNotFoundError):
        flush(paths)


def test_a_disk_that_knows_no_flushing_is_written_to_all_the_same(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_disk_that_fails_to_take_it_is_no_success(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError, match="Input/output"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def recorded(monkeypatch):
    """Let flushes and renames be noted, in order, by the name of the file."""
    events = []
    original, replace = os.fsync, os.replace

    def fsync(opened):
        events.append(("flush", os.path.basename(os.readlink(f"/proc/self/fd/{opened}"))))
        original(opened)

    def renamed(source, target):
        events.append(("rename", os.path.basename(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    return events


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_names_the_file(tmp_path, monkeypatch, kind):
    path = tmp_path / "file.npz"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space") as error:
        WRITERS[kind](path)
    assert error.value.filename == str(path)
    assert not list(tmp_path.iterdir())


def test_arrays_that_do_not_fit_on_the_disk_leave_nothing(tmp_path):
    """With a limit on the size of files: NumPy is cut off in the middle, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_npz(tmp_path / "a.npz", {"a": np.zeros(999)})
        with pytest.raises(OSError, match="too large"):
            write_npy(tmp_path / "a.npy", np.zeros(999))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_the_temporary_file_is_another_for_each_process_and_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "new" / "picture.png") as temporary:
        assert temporary.parent == tmp_path / "new" and temporary.suffix == ".png"
        assert str(os.getpid()) in temporary.name and temporary.name.startswith(".")
        temporary.write_bytes(b"x")
    assert Path(tmp_path / "new" / "picture.png").read_bytes() == b"x"
