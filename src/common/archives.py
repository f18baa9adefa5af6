"""Unpacking archives from outside: nothing leaves the folder, what is there already stays."""

from __future__ import annotations

import contextlib
import errno
import glob
import gzip
import logging
import os
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple

from src.common.atomic_files import make_new
from src.common.errors import UserError, naming_file, one_line
from src.common.file_names import file_name_for
from src.common.progress import progress, progress_bar

LOG = logging.getLogger(__name__)

CHUNK = 1 << 20
#: Errors of a name for which a folder has no place.
_NO_PLACE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EILSEQ)


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
        UserError: `folder` has no place for a file of that name.
    """
    names: list[str] = []
    seen: set[str] = set()
    unpacking = _Unpacking(archive, folder)
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
                    unpacking.write(file, relative)
                    bar.update()
            while stream.read(CHUNK):  # gzip checks its sum at the very end
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Damaged(f"{archive} is damaged: {one_line(error)[:200]}") from error
    unpacking.finish()
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
            unpacking = _Unpacking(archive, folder)
            for name, member in progress(members.items(), f"unpacking {archive.name}", "file"):
                source = partial(opened.open, member)  # which checks the sum at its end
                file = _Member(member.filename, member.file_size, source)
                unpacking.write(file, name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise Damaged(f"{archive} is damaged: {one_line(error)[:200]}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Damaged(f"{archive} is damaged: it names places outside of itself") from error
    unpacking.finish()
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


class _Unpacking:
    """Writes the files of an archive into a folder, each whole or not at all."""

    def __init__(self, archive: Path, folder: Path):
        self._archive = archive
        self._folder = folder
        self._kept = 0
        self._swept: set[Path] = set()
        self._name = f".{file_name_for(archive.name)}."

    def write(self, member: _Member, relative: str) -> None:
        """Write one file, unless there is one of its name, which is kept.

        Raises:
            UserError: the disk does not take its name, or has a folder there, or a file above it.
        """
        target = self._folder / relative
        try:
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
            if target.exists():
                self._kept += target.stat().st_size != member.size
                return
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in _NO_PLACE:
                raise
            raise UserError(
                f"{self._archive} holds {_short(member.name)}, for which there is no place in "
                f"{self._folder} ({os.strerror(error.errno)}); name another folder, or move away "
                "what is in the way"
            ) from None
        self._sweep(target.parent)
        self._write_new(member, target)

    def _write_new(self, member: _Member, target: Path) -> None:
        temporary = target.with_name(f"{self._name}{secrets.token_hex(6)}.part")
        with naming_file(target), open(make_new(temporary), "wb") as file:
            try:
                with member.open() as source:
                    shutil.copyfileobj(source, file, CHUNK)
                file.flush()
                if file.tell() != member.size:
                    raise EOFError(f"{member.name} is cut off")
                os.replace(temporary, target)
            except BaseException:
                temporary.unlink()
                raise

    def _sweep(self, folder: Path) -> None:
        """Remove what a killed run has left of a file; there is no other run now."""
        if folder not in self._swept:
            self._swept.add(folder)
            for path in folder.glob(f"{glob.escape(self._name)}*part"):
                path.unlink()

    def finish(self) -> None:
        """Say how many files were kept that differ from those in the archive."""
        if self._kept:
            LOG.warning(
                *("%d files in %s differ from those in %s; kept", self._kept),
                *(self._folder, self._archive.name),
            )


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:60]}…")
