"""The PCA of descriptors: of the DELF release, else fitted here, or kept as it is."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError, raise_if_of_system
from src.describe.pca import (
    ABOUT_NAME,
    MEAN_NAME,
    PROJECTION_NAME,
    VARIANCES_NAME,
    read_pca,
    write_pca,
)
from src.downloads import delf_release
from src.downloads.http_fetch import Network
from src.downloads.records import RECORDS, only_process

LOG = logging.getLogger(__name__)

ARRAY_NAMES = (MEAN_NAME, PROJECTION_NAME, VARIANCES_NAME)


def prepare_pca(
    folder: Path,
    checkpoint: Path,
    images_path: str | None = None,
    base_url: str = delf_release.URL,
    network: Network | None = None,
    accept: Collection[str] = (),
) -> str:
    """Make sure that `folder` holds a PCA of descriptors; one that fits together is kept.

    Args:
        folder: for mean.npy, pca_proj_mat.npy, pca_variances.npy and pca.json.
        checkpoint: the weights to fit a PCA for where the release is out of reach.
        images_path: the photos to fit it to; without, a rendered sample world.
        base_url: where the DELF release is.
        network: how patient to be.
        accept: names of files of the release that are taken though they have changed.

    Returns:
        One line that says where the PCA comes from.

    Raises:
        UserError: what is there is damaged and not ours.
    """
    new = folder / RECORDS / "new"
    with only_process(folder / ABOUT_NAME):
        if any((folder / name).exists() for name in ARRAY_NAMES):
            try:
                source = str(read_pca(folder).about.get("source", "not made by this program"))
            except UserError as error:
                if not (new.exists() or _is_damaged_and_ours(folder)):
                    raise UserError(
                        f"{error}; {folder} is not as this program made it: move it away and run "
                        "the same command again"
                    ) from None
                LOG.warning("%s will be made anew: %s", folder, error)
            else:
                LOG.info("%s is there (%s)", folder, source)
                if images_path:
                    LOG.warning(
                        "no PCA is fitted on %s: `python3 -m src.describe.fit_pca --checkpoint %s "
                        "--images_path %s` puts one beside it that the programs take",
                        *(images_path, checkpoint, images_path),
                    )
                return source
        shutil.rmtree(new, ignore_errors=True)
        network = network or Network()
        source = _make_pca(new, folder, checkpoint, images_path, base_url, network, accept)
        read_pca(new)
        for name in (*ARRAY_NAMES, ABOUT_NAME):  # should this end half-way, `new` is there to tell
            os.replace(new / name, folder / name)
        shutil.rmtree(new)
        LOG.info("%s: %s", folder, source)
        return source


def _is_damaged_and_ours(folder: Path) -> bool:
    """Tell whether a PCA made here lost a file or cannot be read.

    Arrays that can be read but are others than ours were put there by somebody on purpose.
    """
    if not (folder / ABOUT_NAME).exists():
        return False
    try:
        for name in ARRAY_NAMES:
            np.load(folder / name, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise_if_of_system(error, folder)
        return True
    return False


def _make_pca(
    new: Path,
    folder: Path,
    checkpoint: Path,
    images_path: str | None,
    base_url: str,
    network: Network,
    accept: Collection[str],
) -> str:
    """Write a PCA into the folder `new`: the release's, else one fitted here."""
    url = f"{base_url.rstrip('/')}/{delf_release.MODEL}"
    try:
        with delf_release.release_file(url, folder, network, accept) as archive:
            write_pca(new, delf_release.read_release_pca(archive, url))
        LOG.info(
            "this PCA was made for the release's own weights; for others: src/describe/fit_pca.py"
        )
        return "DELF release"
    except UserError as error:
        LOG.info("not from the DELF release: %s", error)
    command = [sys.executable, str(PROJECT_ROOT / "src" / "describe" / "fit_pca.py")]
    command += ["--checkpoint", str(checkpoint.resolve()), "--output_directory", str(new.resolve())]
    if images_path:
        command += ["--images_path", str(Path(images_path).resolve())]
    LOG.info("fitting the PCA to %s", images_path or "a rendered sample world")
    code = subprocess.run(command, check=False).returncode
    if code < 0:
        raise UserError(f"fitting the PCA was ended by signal {-code}; is there enough memory?")
    if code:
        raise SystemExit(code)  # it has said why
    return str(read_pca(new).about.get("source", "fitted here"))
