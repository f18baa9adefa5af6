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
import secrets
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.common.errors import naming_file
from src.common.file_names import file_name_for

PathLike = str | os.PathLike


#: Flags by which no link is followed, and no pipe waited for.
PLAIN_ONLY = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK"))
# What file systems without such a thing say to a flush of a file or folder.
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


@contextlib.contextmanager
def atomic_path(path: PathLike, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    The temporary name keeps the suffix of `path` (libraries choose formats by it). It is random,
    and the file is made here where there was none: in a folder that others may write to nobody can
    lay a link there for us to write through, and no two processes write to one file. It is no
    longer than a file's name may be, however long `path` is. Folders on the way are made. On an
    error the temporary file is removed and `path` stays as it was; an error of the operating
    system names `path`.

    Args:
        path: the file.
        durable: flush it, so that it survives a power cut. Where many small files are written,
            False: call `flush` for them before it is said anywhere that they are complete.
    """
    path = Path(path)
    with naming_file(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        try:
            os.close(make_new(temporary))
            yield temporary
            if durable:
                _flush(temporary)
            os.replace(temporary, path)
        except OSError as error:
            if error.filename in (None, str(temporary)) and error.errno is not None:
                error.filename, error.filename2 = str(path), None
            raise
        if durable:
            _flush(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def temporary_name(path: Path) -> Path:
    """Return a random name for a temporary file or folder that takes the place of `path`."""
    return path.with_name(f".{file_name_for(path.stem)}.{secrets.token_hex(6)}.tmp{path.suffix}")


def make_new(path: PathLike) -> int:
    """Make an empty file where there is nothing, not even a link, and return its descriptor.

    Raises:
        OSError: that is not possible.
    """
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | PLAIN_ONLY, 0o666)


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


def check_writable(path: PathLike) -> None:
    """Look whether a file could be written, before hours are spent on what goes into it.

    Nothing is made.

    Raises:
        OSError: it could not.
    """
    path = Path(path)
    if path.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not folder.is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        is_fixed = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
        code = errno.EROFS if is_fixed else errno.EACCES
        raise OSError(code, os.strerror(code), str(path))


def raise_why_unwritten(path: Path, more: int) -> None:
    """Raise what the operating system says to a file that a library could not write.

    For libraries that tell of every error that it went wrong and no more.

    Args:
        path: the file, as far as it was written, or not there.
        more: bytes behind it that were to be written.

    Raises:
        OSError: the file cannot be made, or cannot become that long. Else nothing is raised.
    """
    with naming_file(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | PLAIN_ONLY, 0o666)
        try:
            if hasattr(os, "posix_fallocate"):  # neither on macOS nor on Windows
                os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, more)
        finally:
            os.close(descriptor)


def write_bytes(path: PathLike, content: bytes | memoryview, durable: bool = True) -> None:
    """Write a file in one step; `durable` as for `atomic_path`."""
    with atomic_path(path, durable) as temporary:
        temporary.write_bytes(content)


def write_text(path: PathLike, text: str) -> None:
    """Write a text file (UTF-8) in one step."""
    write_bytes(path, text.encode())


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
    # On a full disk NumPy, writing by itself, would leave a half-closed archive that complains
    # later, or say no more than how many numbers it could not write.
    content = io.BytesIO()
    np.savez(content, **arrays)
    if comment:
        with zipfile.ZipFile(content, "a") as archive:
            archive.comment = comment
    write_bytes(path, content.getbuffer(), durable)


def write_npy(path: PathLike, array: np.ndarray) -> None:
    """Write an array in one step."""
    content = io.BytesIO()
    np.save(content, array)
    write_bytes(path, content.getbuffer())
