from __future__ import annotations

import errno
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from src.common.atomic_files import (
    atomic_path,
    flush,
    raise_why_unwritten,
    write_csv,
    write_json,
    write_npy,
    write_npz,
    write_text,
)
from src.common.npy_format import read_npz
from tests.helpers.faults import files_up_to

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
    with files_up_to(1000):
        with pytest.raises(OSError, match="too large"):
            write_npz(tmp_path / "a.npz", {"a": np.zeros(999)})
        with pytest.raises(OSError, match="too large"):
            write_npy(tmp_path / "a.npy", np.zeros(999))
    assert not list(tmp_path.iterdir())


def test_the_temporary_file_is_another_each_time_and_keeps_the_suffix(tmp_path):
    names = set()
    for _ in range(9):
        with atomic_path(tmp_path / "new" / "picture.png") as temporary:
            assert temporary.parent == tmp_path / "new" and temporary.suffix == ".png"
            assert temporary.name.startswith(".picture.") and temporary.read_bytes() == b""
            names.add(temporary.name)
            temporary.write_bytes(b"x")
    assert len(names) == 9
    assert Path(tmp_path / "new" / "picture.png").read_bytes() == b"x"


def test_a_link_that_was_laid_in_the_way_is_not_written_through(tmp_path, monkeypatch):
    """Where the name could be guessed, which it cannot."""
    (tmp_path / "theirs").write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / ".a.guessed.tmp.txt").symlink_to("theirs")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "theirs").read_text() == "precious"


def test_a_new_file_has_the_rights_that_files_have(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_an_error_names_the_file_that_was_to_be(tmp_path):
    """Not the temporary one, which is gone."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "in").mkdir(parents=True)
    for path, named in (
        (tmp_path / "file" / "a.txt", tmp_path / "file"),
        (tmp_path / "folder", tmp_path / "folder"),
        (tmp_path / ("x" * 300), tmp_path / ("x" * 300)),
    ):
        with pytest.raises(OSError) as caught:
            write_text(path, "x")
        assert caught.value.filename == str(named) and caught.value.filename2 is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_why_a_library_could_not_write_is_found_out(tmp_path):
    (tmp_path / "a").write_bytes(bytes(500))
    with files_up_to(1000), pytest.raises(OSError, match=r"too large.*/a'"):
        raise_why_unwritten(tmp_path / "a", 501)
    with files_up_to(1000):
        raise_why_unwritten(tmp_path / "a", 500)
    with pytest.raises(NotADirectoryError):
        raise_why_unwritten(tmp_path / "a" / "b", 1)
