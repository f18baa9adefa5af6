"""Unpacking the archives among copied data."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from src.common.errors import naming_file
from src.downloads.archives import CHUNK, Damaged, unpack

LOG = logging.getLogger(__name__)

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


def find_archives(folder: Path) -> list[str]:
    """Return the archives below a folder, as sorted relative paths; hidden ones are left out."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            os.path.relpath(os.path.join(parent, name), folder)
            for name in files
            if name.lower().endswith(ARCHIVES) and not name.startswith(".")
        ]
    return sorted(found)


def unpack_beside(archive: Path) -> list[str]:
    """Unpack the plain files of an archive into the folder where it lies.

    Hidden files are left out. See `src.downloads.archives.unpack` for what happens to
    files that are there already.

    Returns:
        The paths of the archive's files below that folder.

    Raises:
        Damaged: the archive cannot be read to its end, or holds something unsafe: a link, a
            device, a path that leads out of the folder, two files of one name.
    """
    if archive.name.lower().endswith(".zip"):
        return _unpack_zip(archive, archive.parent)
    return unpack(archive, archive.parent, suffixes=None)


def _unpack_zip(archive: Path, folder: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as file:
            # Every name is looked at before the first file is written.
            named = [(_safe_name(member, archive), member) for member in file.infolist()]
            members = {name: member for name, member in named if name}
            if len(members) < sum(1 for name, _ in named if name):
                raise Damaged(f"{archive} holds two files of one name")
            kept = 0
            for name, member in tqdm(
                members.items(), desc=f"unpacking {archive.name}", unit=" files", disable=None
            ):
                kept += _unpack_one(file, member, folder / name, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise Damaged(f"{archive} is damaged: {error}") from error
    if kept:
        LOG.warning("%d files in %s differ from those in %s; kept", kept, folder, archive.name)
    return list(members)


def _safe_name(member: zipfile.ZipInfo, archive: Path) -> str:
    """Return the path of a plain file below the target folder, "" for a folder or hidden file."""
    name = PurePosixPath(member.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
        raise Damaged(
            f"{archive} holds the path {member.filename!r}, which leads out of its folder"
        )
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Damaged(
            f"{archive} holds {member.filename!r}, which is no plain file; it is not unpacked"
        )
    if member.flag_bits & 1:
        raise Damaged(f"{archive} is encrypted; pack it without a password")
    if member.is_dir() or any(part.startswith(".") for part in name.parts):
        return ""
    return str(name)


def _unpack_one(
    file: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, archive: Path
) -> bool:
    """Write one file; tell whether another file of its name was there and kept."""
    if target.exists():
        return target.stat().st_size != member.file_size
    target.parent.mkdir(parents=True, exist_ok=True)
    # One name for the archive: what a killed run leaves behind is overwritten by the next one.
    temporary = target.parent / f".{archive.name}.part"
    with naming_file(target), file.open(member) as source, open(temporary, "wb") as copy:
        shutil.copyfileobj(source, copy, CHUNK)  # checks the file's sum at its end
    os.replace(temporary, target)
    return False
