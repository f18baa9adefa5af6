"""A folder of photos and what is known of it: features, PCA, index, brought up to date.

The folder is described once; later only photos that are new or have changed. All that is kept lies
in a folder for each combination of photos, weights and settings: nothing is written to the photos'
folder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from src.common.atomic_files import write_json
from src.common.errors import UserError
from src.describe.pca import Pca, read_pca, write_pca
from src.describe.pca_choice import find_pca
from src.describe.recipe import Describer
from src.describe.tasks import PhotoTask
from src.feature_io import (
    MANIFEST_NAME,
    Features,
    Manifest,
    feature_path,
    read_manifest,
    write_features,
    write_manifest,
)
from src.index.build import update_index
from src.photo_search.first_pca import fit_first_pca, reduced
from src.photo_search.settings import SearchSettings

LOG = logging.getLogger(__name__)

#: In a feature folder: size and time of each photo that has been described, or found unreadable.
STAMPS_NAME = "photos.json"

Stamp = list[int]  # size in bytes, time of the last change in nanoseconds


class Collection:
    """A folder of photos and what is known of it.

    Its folder holds `features-*` and `index-*`, the PCA fitted to the first photos, and `results`.

    Attributes:
        photos: folder of the photos.
        folder: what is kept.
        pca: the projection; None where descriptors are kept whole.
    """

    def __init__(self, settings: SearchSettings, describer: Describer, photos: Path, folder: Path):
        self._settings = settings
        self._whole = describer
        self.photos = photos
        self.folder = folder
        self.pca = self._kept_pca()

    @property
    def describer(self) -> Describer:
        """What describes the photos, with or without a PCA."""
        return self._whole if self.pca is not None else self._whole.without_pca()

    @property
    def features(self) -> Path:
        """The folder of the features as the PCA makes them."""
        return self.folder / f"features-{self.pca.fingerprint[:10] if self.pca else 'plain'}"

    @property
    def queries(self) -> Path:
        """The folder of the features of queries that are no photos of the folder."""
        return self.folder / self.features.name.replace("features", "queries")

    @property
    def index(self) -> Path:
        """The folder of the index."""
        return self.folder / f"index-{self.features.name}"

    def update(self, images: Sequence[tuple[str, str]]) -> None:
        """Describe photos that are new or have changed, and forget those that are gone.

        Raises:
            UserError: none of the photos can be read.
        """
        stamps = self._stamps(images)
        if self.pca is None and self._whole.features.use_pca and self._pending(stamps):
            self._make_pca(images)
        known = self._forget_changed(stamps)
        if self._pending(stamps):
            self._extract(images)
            write_json(self.features / STAMPS_NAME, stamps)
        else:
            LOG.info("all %d photos have been described before", len(known))
            manifest = read_manifest(self.features)
            if list(manifest.images) != list(images):
                failed = {name: manifest.failed[name] for name in stamps if name in manifest.failed}
                write_manifest(self.features, Manifest(tuple(images), manifest.settings, failed))
        manifest = read_manifest(self.features)
        if len(manifest.failed) == len(images):
            raise UserError(
                f"none of the {len(images)} photos of {self.photos} can be read (the first: "
                f"{next(iter(manifest.failed.values()))})"
            )
        self._update_index()

    def _stamps(self, images: Sequence[tuple[str, str]]) -> dict[str, Stamp]:
        stamps = {}
        for name, file in images:
            with contextlib.suppress(OSError):  # one that is just going away
                status = os.stat(self.photos / file)
                stamps[name] = [status.st_size, status.st_mtime_ns]
        return stamps

    def _known(self) -> dict[str, Stamp]:
        try:
            known = json.loads((self.features / STAMPS_NAME).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return known if (self.features / MANIFEST_NAME).exists() else {}

    def _pending(self, stamps: dict[str, Stamp]) -> bool:
        known = self._known()
        return any(known.get(name) != stamp for name, stamp in stamps.items())

    def _forget_changed(self, stamps: dict[str, Stamp]) -> dict[str, Stamp]:
        """Delete the features of photos that have changed or gone; return the others' stamps.

        The features go first: killed in between, this is done once more.
        """
        known = self._known()
        kept = {name: stamp for name, stamp in known.items() if stamps.get(name) == stamp}
        outdated = known.keys() - kept.keys()
        for name in outdated:
            feature_path(self.features, name).unlink(missing_ok=True)
        if outdated:
            LOG.info("%d photos have changed or are gone", len(outdated))
            write_json(self.features / STAMPS_NAME, kept)
        return kept

    def _kept_pca(self) -> Pca | None:
        folder = self.folder / "pca"
        return read_pca(folder) if folder.is_dir() and self._whole.features.use_pca else None

    def _make_pca(self, images: Sequence[tuple[str, str]]) -> None:
        """Choose or fit a PCA and keep it; none where the photos have too few features for one.

        It stays as it is when photos come: otherwise all would have to be described again.
        """
        pca = find_pca(self._settings.describe, self._whole)
        known: dict[str, Features] = {}
        if pca is None:
            count = self._settings.describe.pca_images
            pca, known = fit_first_pca(self._whole.without_pca(), self.photos, images, count)
            if pca is None:
                return
        temporary = self.folder / f".pca.{os.getpid()}.tmp"
        write_pca(temporary, pca)
        os.replace(temporary, self.folder / "pca")
        self.pca = read_pca(self.folder / "pca")
        # What was described when there were too few features is described again.
        shutil.rmtree(self.folder / "features-plain", ignore_errors=True)
        if known:
            self._extract([])  # makes the folder one of these settings
        for name, features in known.items():  # no photo is described twice
            features = reduced(features, self.pca, self._whole.features)
            write_features(feature_path(self.features, name), features)

    def _extract(self, images: Sequence[tuple[str, str]]) -> None:
        tasks = [PhotoTask(name, file) for name, file in images]
        self.describer.extract(self.photos, self.features, self.pca, tasks, max_bad_fraction=1.0)

    def _update_index(self) -> None:
        """Bring the index up to date: the cost is that of what has changed."""
        update_index(self.features, self.index, self._settings.index)
        for old in self.folder.glob("index-*"):
            if old != self.index:
                shutil.rmtree(old)
