"""Unpacking the archives among copied data."""

from __future__ import annotations

import os
from pathlib import Path

from src.common.archives import unpack_tar, unpack_zip

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

    Hidden files are left out. See `src.common.archives` for what happens to files that are there
    already.

    Returns:
        The paths of the archive's files below that folder.

    Raises:
        Damaged: the archive cannot be read to its end, or holds something unsafe: a link, a
            device, a path that leads out of the folder, two files of one name.
    """
    unpack = unpack_zip if archive.name.lower().endswith(".zip") else unpack_tar
    return unpack(archive, archive.parent)
