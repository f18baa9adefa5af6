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
    read_npz,
    write_csv,
    write_json,
    write_npy,
    write_npz,
    write_text,
)

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
