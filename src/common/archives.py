"""Unpacking archives that come from outside: tar, plain or gzip, and zip."""

from __future__ import annotations

import contextlib
import functools
import gzip
import logging
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from tqdm import tqdm

from src.common.errors import UserError, naming_file

LOG = logging.getLogger(__name__)

_CHUNK = 1 << 20
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error),
    *(EOFError, NotImplementedError),
)


class Damaged(UserError):
    """A file is not what was published."""


class _Member(NamedTuple):
    """A file in an archive."""

    name: PurePosixPath
    size: int
    open: Callable[[], BinaryIO]


def unpack(
    archive: Path, folder: Path, suffixes: Sequence[str] | None = None, flat: bool = False
) -> list[str]:
    """Unpack the files of an archive (tar, tgz, or by its name zip) into `folder`.

    Only plain files with one of the suffixes are taken, hidden ones are not. A file that is there
    already with the same size is left alone, so an interrupted unpacking goes on; one with another
    size is kept too, and counted in a warning. Each file appears whole or not at all.

    Args:
        archive: the archive.
        folder: where to.
        suffixes: endings of the files to take, in lower case; None: all files.
        flat: drop the folders inside the archive.

    Returns:
        The paths of the archive's files below `folder`, in the archive's order.

    Raises:
        Damaged: the archive cannot be read to its end, is encrypted, or holds links, devices,
            paths that lead out of `folder` or two files of one name.
    """
    names: dict[str, None] = {}
    kept = 0
    members = _zip_members if archive.name.lower().endswith(".zip") else _tar_members
    bar = {"desc": f"unpacking {archive.name}", "unit": " files", "disable": None}
    try:
        with members(archive) as found:
            for member in tqdm(found, **bar):
                if suffixes is not None and member.name.suffix.lower() not in suffixes:
                    continue
                relative = member.name.name if flat else str(member.name)
                if relative in names:
                    raise Damaged(f"{archive} holds two files called {relative}")
                names[relative] = None
                kept += _unpack_one(member, folder / relative, archive)
    except _UNREADABLE as error:
        raise Damaged(f"{archive} is damaged: {error}") from error
    if kept:
        LOG.warning("%d files in %s differ from those in %s; kept", kept, folder, archive.name)
    return list(names)


def read_members(tarball: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the plain files of a tar file that are wanted, by their path in it.

    Raises:
        UserError: the tar file cannot be read to its end.
    """
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r:*") as tar:
            for member in tar:
                if member.isreg() and wanted(member.name):
                    contents[member.name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{tarball} cannot be read ({error})") from error
    return contents


@contextlib.contextmanager
def _tar_members(archive: Path) -> Iterator[Iterator[_Member]]:
    """Give the files of a tar archive, one after the other as they are read."""

    def members(stream: BinaryIO, tar: tarfile.TarFile) -> Iterator[_Member]:
        for member in tar:
            name = _safe_name(member.name, member.isdir(), member.isreg(), archive)
            if name is not None:
                yield _Member(name, member.size, functools.partial(tar.extractfile, member))
        while stream.read(_CHUNK):  # gzip checks its sum at the very end
            pass

    with _uncompressed(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        yield members(stream, tar)


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


@contextlib.contextmanager
def _zip_members(archive: Path) -> Iterator[list[_Member]]:
    """Give the files of a zip archive; every name is looked at before the first file is written."""
    with zipfile.ZipFile(archive) as file:
        members = []
        for member in file.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            is_plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
            name = _safe_name(member.filename, member.is_dir(), is_plain, archive)
            if member.flag_bits & 1:
                raise Damaged(f"{archive} is encrypted; pack it without a password")
            if name is not None:
                opened = functools.partial(file.open, member)
                members.append(_Member(name, member.file_size, opened))
        if len({member.name for member in members}) < len(members):
            raise Damaged(f"{archive} holds two files of one name")
        yield members


def _safe_name(name: str, is_folder: bool, is_plain: bool, archive: Path) -> PurePosixPath | None:
    """Return the path of a plain file below the target folder, None for a folder or hidden file."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise Damaged(f"{archive} holds the path {name!r}, which leads out of its folder")
    if is_folder:
        return None
    if not is_plain:
        raise Damaged(f"{archive} holds {name!r}, which is no plain file; it is not unpacked")
    if any(part.startswith(".") for part in path.parts):
        return None
    return path


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
        shutil.copyfileobj(source, file, _CHUNK)  # of a zip this checks the file's sum at its end
        file.flush()
        if file.tell() != member.size:
            raise EOFError(f"{member.name} is cut off")
    os.replace(temporary, target)
    return False
