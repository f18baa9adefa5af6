"""Writing files so that a reader sees the whole file or none of it, after a power cut as well.

A file is written under another name, flushed to the disk, and takes its place; then its folder is
flushed. Flushing costs some milliseconds a file, twenty times the writing of a small one: whoever
writes thousands (features) leaves it out and flushes all of them before saying that they are there.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.common.errors import naming_file
from src.common.file_names import file_name_for

PathLike = str | os.PathLike


# What file systems without such a thing say to a flush of a file or folder.
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


@contextlib.contextmanager
def atomic_path(path: PathLike, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    The temporary name keeps the suffix of `path` (libraries choose formats by it) and carries the
    process id, so that two processes never write to one file; it is no longer than a file's name
    may be, however long `path` is. Folders on the way are made. On an error the temporary file is
    removed and `path` stays as it was; a full disk's error names it.

    Args:
        path: the file.
        durable: flush it, so that it survives a power cut. Where many small files are written,
            False: call `flush` for them before it is said anywhere that they are complete.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{file_name_for(path.stem)}.{os.getpid()}.tmp{path.suffix}")
    try:
        with naming_file(path):
            yield temporary
            if durable:
                _flush(temporary)
            os.replace(temporary, path)
            if durable:
                _flush(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def flush(paths: Iterable[PathLike]) -> None:
    """Bring files that were written without to the disk, and the folders that they are in.

    Raises:
        OSError: a file is gone, or the disk did not take it.
    """
    folders: dict[Path, None] = {}
    for path in map(Path, paths):
        with naming_file(path):
            _flush(path)
        folders[path.parent] = None
    for folder in folders:
        _flush(folder)


def _flush(path: Path) -> None:
    try:
        opened = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders; and what nobody may read is not ours
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(opened)


def write_text(path: PathLike, text: str) -> None:
    """Write a text file (UTF-8) in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: PathLike, value: Any) -> None:
    """Write JSON in one step, indented, keys sorted: equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_csv(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table in one step: values separated by commas (UTF-8), lines ended by a line feed."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_npz(
    path: PathLike, arrays: Mapping[str, np.ndarray], comment: bytes = b"", durable: bool = True
) -> None:
    """Write arrays by name in one step, not compressed: equal arrays give equal bytes.

    Args:
        path: the file.
        arrays: by name.
        comment: of the whole file, which is a zip archive; no reader of arrays minds it.
        durable: as for `atomic_path`.
    """
    content = io.BytesIO()
    np.savez(content, **arrays)
    if comment:
        with zipfile.ZipFile(content, "a") as archive:
            archive.comment = comment
    _write_laid_out(path, content, durable)


def write_npy(path: PathLike, array: np.ndarray) -> None:
    """Write an array in one step."""
    content = io.BytesIO()
    np.save(content, array)
    _write_laid_out(path, content)


def _write_laid_out(path: PathLike, content: io.BytesIO, durable: bool = True) -> None:
    # On a full disk NumPy, writing by itself, would leave a half-closed archive that complains
    # later, or say no more than how many numbers it could not write.
    with atomic_path(path, durable) as temporary:
        temporary.write_bytes(content.getbuffer())
