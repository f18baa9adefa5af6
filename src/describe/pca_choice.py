"""Which PCA reduces the descriptors: one that is named, the project's, or one fitted now."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from model_utils.environment import PROJECT_ROOT
from src.common.atomic_files import PathLike
from src.describe.fit_pca import DIMENSIONS, choose_files, fit_pca_on_photos
from src.describe.kept_pca import keep_pca, read_kept_pca
from src.describe.pca import Pca, read_pca
from src.describe.recipe import Describer, DescribeSettings

LOG = logging.getLogger(__name__)
PROJECT_PCA = PROJECT_ROOT / "pca"


def find_pca(settings: DescribeSettings, describer: Describer) -> Pca | None:
    """Return the PCA that the settings name, or with "auto" the project's if it fits."""
    if not describer.features.use_pca:
        return None
    if settings.pca_path != "auto":
        return read_pca(settings.pca_path)
    if PROJECT_PCA.is_dir():
        pca = read_pca(PROJECT_PCA)
        if pca.about.get("network") == describer.engine.fingerprint:
            return pca
    return None


def choose_pca(
    settings: DescribeSettings, describer: Describer, images_path: PathLike, folder: Path
) -> Pca | None:
    """Return the PCA to use: one that fits, the one in `folder`, or one fitted now and kept there.

    A projection made for other weights does not fit; it is fitted on `pca_images` of the photos.
    """
    pca = find_pca(settings, describer)
    if pca is not None or not describer.features.use_pca:
        return pca
    pca = read_kept_pca(folder)
    if pca is not None:
        return pca
    files = choose_files(images_path, settings.pca_images, settings.seed)
    LOG.info("fitting a PCA for these weights on %d photos", len(files))
    pca = fit_pca_on_photos(
        describer.engine,
        images_path,
        files,
        describer.features,
        max(describer.features.pca_dim, DIMENSIONS),
        describer.devices[0],
        describer.source,
    )
    return keep_pca(
        folder, dataclasses.replace(pca, about={**pca.about, "source": str(images_path)})
    )
