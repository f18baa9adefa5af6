"""Unpacking archives from outside: nothing leaves the folder, what is there already stays."""

from __future__ import annotations

import contextlib
import errno
import gzip
import logging
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple

from src.common.errors import UserError, naming_file, one_line
from src.common.progress import progress, progress_bar

LOG = logging.getLogger(__name__)

CHUNK = 1 << 20


class Damaged(UserError):
    """A file is not what was published."""


def unpack_tar(
    archive: Path, folder: Path, suffixes: Sequence[str] | None = None, flat: bool = False
) -> list[str]:
    """Unpack the files of a tar or tgz archive into `folder`.

    Only plain files with one of the suffixes are taken, hidden ones are not. A file that is there
    already with the same size is left alone, so an interrupted unpacking goes on; one with another
    size is kept too, and counted in a warning. Each file appears whole or not at all.

    Args:
        archive: the archive, plain or gzip.
        folder: where to.
        suffixes: endings of the files to take, in lower case; None: all files.
        flat: drop the folders inside the archive.

    Returns:
        The paths of the archive's files below `folder`, in the archive's order.

    Raises:
        Damaged: the archive cannot be read to its end, or holds links, devices, paths that lead
            out of `folder` or (with `flat`) two files of one name.
    """
    names: list[str] = []
    seen: set[str] = set()
    kept = 0
    try:
        with _uncompressed(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            with progress_bar(f"unpacking {archive.name}", None, "file") as bar:
                for member in tar:
                    name = _tar_name(member, archive)
                    if name is None:
                        continue
                    if suffixes is not None and name.suffix.lower() not in suffixes:
                        continue
                    relative = name.name if flat else str(name)
                    if relative in seen:
                        raise Damaged(f"{archive} holds two files called {relative}")
                    seen.add(relative)
                    names.append(relative)
                    source = partial(tar.extractfile, member)
                    file = _Member(member.name, member.size, source)
                    kept += _unpack_one(file, folder / relative, archive)
                    bar.update()
            while stream.read(CHUNK):  # gzip checks its sum at the very end
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Damaged(f"{archive} is damaged: {one_line(error)[:200]}") from error
    _warn_of_kept(kept, folder, archive)
    return names


def unpack_zip(archive: Path, folder: Path) -> list[str]:
    """Unpack the files of a zip archive into `folder`, as `unpack_tar` does.

    Every name is looked at before the first file is written.

    Raises:
        Damaged: the archive cannot be read to its end, is encrypted, or holds links, devices, paths
            that lead out of `folder` or two files of one name.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            named = [(_zip_name(member, archive), member) for member in opened.infolist()]
            members = {str(name): member for name, member in named if name}
            if len(members) < sum(1 for name, _ in named if name):
                raise Damaged(f"{archive} holds two files of one name")
            kept = 0
            for name, member in progress(members.items(), f"unpacking {archive.name}", "file"):
                source = partial(opened.open, member)  # which checks the sum at its end
                file = _Member(member.filename, member.file_size, source)
                kept += _unpack_one(file, folder / name, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise Damaged(f"{archive} is damaged: {one_line(error)[:200]}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Damaged(f"{archive} is damaged: it names places outside of itself") from error
    _warn_of_kept(kept, folder, archive)
    return list(members)


@contextlib.contextmanager
def _uncompressed(archive: Path) -> Iterator[BinaryIO]:
    with open(archive, "rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if is_gzip:
            with gzip.open(raw) as stream:
                yield stream  # type: ignore[misc]
        else:
            yield raw


def _tar_name(member: tarfile.TarInfo, archive: Path) -> PurePosixPath | None:
    """Return the path of a plain file below the target folder, None for a folder or hidden file."""
    name = _safe_name(member.name, archive)
    if member.isdir():
        return None
    _check_plain(member.isreg(), member.name, archive)
    return None if _is_hidden(name) else name


def _zip_name(member: zipfile.ZipInfo, archive: Path) -> PurePosixPath | None:
    """Return the path of a plain file below the target folder, None for a folder or hidden file."""
    name = _safe_name(member.filename, archive)
    kind = stat.S_IFMT(member.external_attr >> 16)
    _check_plain(kind in (0, stat.S_IFREG, stat.S_IFDIR), member.filename, archive)
    if member.flag_bits & 1:
        raise Damaged(f"{archive} is encrypted; pack it without a password")
    return None if member.is_dir() or _is_hidden(name) else name


def _safe_name(text: str, archive: Path) -> PurePosixPath:
    name = PurePosixPath(text)
    if name.is_absolute() or ".." in name.parts or "\\" in text or "\0" in text:
        raise Damaged(f"{archive} holds the path {text!r}, which leads out of its folder")
    return name


def _check_plain(is_plain: bool, name: str, archive: Path) -> None:
    if not is_plain:
        raise Damaged(f"{archive} holds {name!r}, which is no plain file; it is not unpacked")


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in name.parts)


class _Member(NamedTuple):
    """A file in an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def _unpack_one(member: _Member, target: Path, archive: Path) -> bool:
    """Write one file; tell whether another file of its name was there and kept."""
    try:
        return target.stat().st_size != member.size
    except FileNotFoundError:
        pass
    target.parent.mkdir(parents=True, exist_ok=True)
    # One name for the archive: what a killed run leaves behind is overwritten by the next one.
    temporary = target.parent / f".{archive.name}.part"
    with naming_file(target), member.open() as source, open(temporary, "wb") as file:
        shutil.copyfileobj(source, file, CHUNK)
        file.flush()
        if file.tell() != member.size:
            raise EOFError(f"{member.name} is cut off")
    os.replace(temporary, target)
    return False


def _warn_of_kept(kept: int, folder: Path, archive: Path) -> None:
    if kept:
        LOG.warning("%d files in %s differ from those in %s; kept", kept, folder, archive.name)
