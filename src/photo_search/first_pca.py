"""The PCA of a collection, fitted to some of its photos when it is described first."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from src.common.errors import UserError
from src.common.progress import progress
from src.delf_config import DelfConfig
from src.describe.one_photo import described
from src.describe.pca import Pca, fit_pca
from src.describe.recipe import Describer, KnownFeatures
from src.describe.record import FileState, unchanged_digest
from src.describe.stopwatch import Pace
from src.describe.tasks import PhotoTask
from src.feature_io import Features

LOG = logging.getLogger(__name__)


def fit_first_pca(
    describer: Describer, photos: Path, images: Sequence[tuple[str, str]], count: int
) -> tuple[Pca | None, dict[str, KnownFeatures]]:
    """Fit a PCA to some of the photos.

    Args:
        describer: describes without a PCA.
        photos: folder of the photos.
        images: (name, file) of the photos.
        count: how many to look at, at most.

    Returns:
        The PCA, None where the photos have too few features for one; and the features it was fitted
        to, in full length, by name.
    """
    chosen = dict(_evenly(images, count))
    LOG.info("fitting a PCA for these photos on %d of them", len(chosen))
    tasks = [PhotoTask(name, file) for name, file in chosen.items()]
    device = describer.devices[0]
    states = {name: FileState.of(photos / file) for name, file in chosen.items()}
    stream = described(describer.engine, photos, tasks, describer.features, device_id=device)
    known = {}
    pace = Pace(len(images))  # of all: the others are described next
    for photo in progress(stream, "fitting a PCA", "photo", len(tasks)):
        pace.photo_done()
        if photo.features is not None:
            digest = unchanged_digest(photos / chosen[photo.name], states[photo.name])
            known[photo.name] = KnownFeatures(photo.features, digest)
    blocks = [each.features.descriptors for each in known.values()]
    try:
        pca = fit_pca(blocks, describer.features.pca_dim)
    except UserError as error:
        LOG.info("descriptors are kept whole: %s", error)
        return None, known
    about = {
        "network": describer.engine.fingerprint,
        "source": str(photos),
        "images": len(blocks),
        "descriptors": sum(map(len, blocks)),
    }
    return dataclasses.replace(pca, about=about), known


def reduced(known: KnownFeatures, pca: Pca, settings: DelfConfig) -> KnownFeatures:
    """Return features of full length as the settings reduce them."""
    descriptors = Features.empty(settings.pca_dim).descriptors
    if len(known.features):
        descriptors = pca.project(
            known.features.descriptors, settings.pca_dim, settings.use_whitening
        )
    features = dataclasses.replace(known.features, descriptors=descriptors)
    return dataclasses.replace(known, features=features)


def _evenly(images: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """Choose photos evenly from all: neighbours in a folder are often of one place."""
    chosen = min(count, len(images))
    return [images[number * len(images) // chosen] for number in range(chosen)]
