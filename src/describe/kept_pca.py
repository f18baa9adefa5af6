"""The PCA of a cache, kept twice: without it, all that was described by it would be lost."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from src.common.atomic_files import temporary_name
from src.common.errors import UserError
from src.describe.pca import Pca, read_pca, write_pca

LOG = logging.getLogger(__name__)


def keep_pca(folder: Path, pca: Pca) -> Pca:
    """Keep a PCA in a folder of ours, and a copy beside it; return it as it is read back."""
    for place in (_copy(folder), folder):
        _write_whole(place, pca)
    return read_pca(folder)


def read_kept_pca(folder: Path) -> Pca | None:
    """Read a PCA that was kept, from its copy where it is damaged or gone.

    Returns:
        The PCA; None where there is none, or neither can be read.
    """
    places = (folder, _copy(folder))
    read = {place: pca for place in places if (pca := _read(place)) is not None}
    if not read:
        if any(map(os.path.exists, places)):
            LOG.warning("the PCA in %s and its copy are damaged", folder)
        return None
    # One that says which it is comes first.
    pca = min(read.values(), key=lambda found: "fingerprint" not in found.about)
    for place in places:
        found = read.get(place)
        if found is None or (found.fingerprint, found.about) != (pca.fingerprint, pca.about):
            if place == folder or os.path.exists(place):
                LOG.warning("%s is damaged or gone and is made again from its copy", place)
            _write_whole(place, pca)
    return pca


def _read(folder: Path) -> Pca | None:
    try:
        return read_pca(folder)
    except UserError:
        return None


def _copy(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.copy")


def _write_whole(folder: Path, pca: Pca) -> None:
    """Write a PCA so that the folder is one at any moment, or none."""
    temporary = temporary_name(folder)
    temporary.mkdir(parents=True)  # ours alone: where there is something, it is an error
    try:
        write_pca(temporary, pca)
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
