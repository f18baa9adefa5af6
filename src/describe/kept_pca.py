"""The PCA of a cache, kept twice: without it, all that was described by it would be lost."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

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
    read: dict[Path, Pca] = {}
    for place in (folder, _copy(folder)):
        try:
            read[place] = read_pca(place)
        except UserError as error:
            if os.path.exists(place):
                LOG.warning("the PCA in %s is damaged and is made again: %s", place, error)
    if not read:
        return None
    pca = next(iter(read.values()))
    for place in (folder, _copy(folder)):
        if place not in read or read[place].fingerprint != pca.fingerprint:
            _write_whole(place, pca)
    return pca


def _copy(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.copy")


def _write_whole(folder: Path, pca: Pca) -> None:
    """Write a PCA so that the folder is one at any moment, or none."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    write_pca(temporary, pca)
    if os.path.exists(folder):
        shutil.rmtree(folder)
    os.replace(temporary, folder)
