"""Archives of data sets: their md5 sum, unpacking them, and whether that was done."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tqdm import tqdm

from src.common.errors import UserError, naming_file
from src.downloads.records import is_recorded, read_record, write_record

LOG = logging.getLogger(__name__)

CHUNK = 1 << 20
PHOTOS = (".jpg", ".jpeg", ".png")


class Damaged(UserError):
    """A file is not what was published."""


def unpack(
    archive: Path, folder: Path, suffixes: Sequence[str] | None = PHOTOS, flat: bool = False
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
            progress = tqdm(desc=f"unpacking {archive.name}", unit=" files", disable=None)
            with progress:
                for member in tar:
                    name = _safe_name(member, archive)
                    if name is None:
                        continue
                    if suffixes is not None and name.suffix.lower() not in suffixes:
                        continue
                    relative = name.name if flat else str(name)
                    if relative in seen:
                        raise Damaged(f"{archive} holds two files called {relative}")
                    seen.add(relative)
                    names.append(relative)
                    kept += _unpack_one(tar, member, folder / relative, archive)
                    progress.update()
            while stream.read(CHUNK):  # gzip checks its sum at the very end
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Damaged(f"{archive} is damaged: {error}") from error
    if kept:
        LOG.warning("%d files in %s differ from those in %s; kept", kept, folder, archive.name)
    return names


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


def _safe_name(member: tarfile.TarInfo, archive: Path) -> PurePosixPath | None:
    """Return the path of a plain file below the target folder, None for a folder or hidden file."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or "\0" in member.name:
        raise Damaged(f"{archive} holds the path {member.name!r}, which leads out of its folder")
    if member.isdir():
        return None
    if not member.isreg():
        raise Damaged(
            f"{archive} holds {member.name!r}, which is no plain file; it is not unpacked"
        )
    if any(part.startswith(".") for part in name.parts):
        return None
    return name


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, archive: Path) -> bool:
    """Write one file; tell whether another file of its name was there and kept."""
    try:
        return target.stat().st_size != member.size
    except FileNotFoundError:
        pass
    target.parent.mkdir(parents=True, exist_ok=True)
    # One name for the archive: what a killed run leaves behind is overwritten by the next one.
    temporary = target.parent / f".{archive.name}.part"
    with naming_file(target), open(temporary, "wb") as file:
        shutil.copyfileobj(tar.extractfile(member), file, CHUNK)  # type: ignore[arg-type]
        file.flush()
        if file.tell() != member.size:
            raise EOFError(f"{member.name} is cut off")
    os.replace(temporary, target)
    return False


def note_unpacked(archive: Path, folder: Path, names: Sequence[str]) -> None:
    """Add to the record of an archive that it was unpacked, and some files to recognise it by."""
    some = [names[0], names[len(names) // 2], names[-1]] if names else []
    record = {
        key: value for key, value in read_record(archive).items() if key not in ("size", "mtime_ns")
    }
    unpacked = {"folder": folder.name, "files": len(names), "some": some}
    write_record(archive, **{**record, "unpacked": unpacked})


def is_unpacked(archive: Path, folder: Path) -> bool:
    """Tell whether an archive was unpacked and its files are still there.

    The archive may be gone by now; one that is there must be the one that was unpacked.
    """
    unpacked = read_record(archive).get("unpacked")
    if not isinstance(unpacked, dict) or (archive.exists() and not is_recorded(archive)):
        return False
    return all((folder / name).exists() for name in unpacked.get("some", []))
