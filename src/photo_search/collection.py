"""A folder of photos and what is known of it: features, PCA, index, brought up to date.

The folder is described once; later only photos that are new or have changed. All that is kept lies
in a folder for each combination of photos, weights and settings: nothing is written to the photos'
folder. Whatever is missing or damaged of what is kept is made again. Features of photos that are
not there stay, unless they are to be forgotten: a disk that is not plugged in is no deletion.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from src.common.errors import UserError, first_clause
from src.common.locks import HeldError, NoLocksError
from src.common.progress import part_of
from src.describe.engines.interface import Engine
from src.describe.folder import ExtractionSummary
from src.describe.forgetting import forget_features
from src.describe.kept_pca import keep_pca, read_kept_pca
from src.describe.pca_choice import find_pca, fit_asked_pca
from src.describe.recipe import Describer, KnownFeatures
from src.describe.tasks import PhotoTask
from src.feature_io import DamagedFeaturesError
from src.index.build import update_index
from src.photo_search.first_pca import fit_first_pca, reduced
from src.photo_search.settings import SearchSettings

LOG = logging.getLogger(__name__)

#: A folder that is to be searched while it is described is indexed whenever so many seconds have
#: passed, but not before it has grown by this share: indexing takes longer, the more there is.
PART_SECONDS, PART_SHARE = 20.0, 0.2
_SMALLEST_PART = 8


class Collection:
    """A folder of photos and what is known of it.

    Its folder holds `features-*` and `index-*`, the PCA fitted to the first photos, and `results`.

    Attributes:
        photos: folder of the photos.
        folder: what is kept.
        pca: the projection; None where descriptors are kept whole.
        failed: the reason for each photo that could not be described, when they were updated.
    """

    def __init__(self, settings: SearchSettings, describer: Describer, photos: Path, folder: Path):
        self._settings = settings
        self._whole = describer
        self.photos = photos
        self.folder = folder
        is_reduced = describer.features.use_pca
        self.pca = read_kept_pca(folder / "pca") if is_reduced else None
        self.failed: Mapping[str, str] = {}
        self._images: Sequence[tuple[str, str]] = ()
        self._work = threading.RLock()  # one thread at a time changes what is kept
        self._asking: AbstractContextManager[Engine] = contextlib.nullcontext(describer.engine)

    @property
    def asking(self) -> AbstractContextManager[Engine]:
        """The engine that describes queries, for the length of a block."""
        return self._asking

    def ask_by(self, engine: AbstractContextManager[Engine]) -> None:
        """Describe queries by an engine of their own from now on."""
        self._asking = engine

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

    @property
    def files(self) -> dict[str, str]:
        """The file of each photo that is searched, by its name."""
        return dict(self._images)

    def update(
        self, images: Sequence[tuple[str, str]], in_between: Callable[[], None] | None = None
    ) -> None:
        """Describe photos that are new or have changed; those that are gone are not searched.

        Args:
            images: (name, file) of the photos.
            in_between: called whenever the index holds more of them than before and others are
                still to be described.

        Raises:
            UserError: none of the photos can be described.
        """
        with self._work:
            self._update(images, in_between)

    def _update(
        self, images: Sequence[tuple[str, str]], in_between: Callable[[], None] | None
    ) -> None:
        self._images = images
        is_whole = self.pca is not None or not self._whole.features.use_pca
        if not is_whole and self._pending():
            self._make_pca()
        done, total = 0, 0
        if in_between is not None:
            done, total = self._update_in_parts(in_between)
        with part_of(done, total) if total else contextlib.nullcontext():
            summary = self._describe()
        self.failed = summary.failed
        if summary.absent:
            LOG.info(
                "%d photos that were described are not there (%s…); should they come back, their "
                "features are kept: --forget drops them",
                *(len(summary.absent), summary.absent[0]),
            )
        if len(summary.failed) == len(images):
            raise UserError(
                f"none of the {len(images)} photos of {self.photos} can be described (the first: "
                f"{next(iter(summary.failed.values()))})"
            )
        if summary.extracted:
            self._sweep()
        try:
            self._update_index()
        except DamagedFeaturesError:
            self.look_thoroughly()
            self._update_index()
        if self.failed:
            LOG.info(
                "%d of %d photos of %s can be searched; the others could not be described",
                *(len(images) - len(self.failed), len(images), self.photos),
            )

    def forget(self, images: Sequence[tuple[str, str]]) -> None:
        """Drop the features of photos that are not among these, and those of another PCA."""
        dropped = forget_features(self.features, [name for name, _ in images])
        ours = (self.features, self.queries)
        for folder in (*self.folder.glob("features-*"), *self.folder.glob("queries-*")):
            if folder not in ours:
                shutil.rmtree(folder)
        LOG.info("the features of %d photos that are not there are forgotten", dropped)

    def repair(self, error: UserError) -> None:
        """Look at every feature file, make again what is damaged, and build the index anew.

        Args:
            error: what was met.
        """
        LOG.warning("%s; what is kept of these photos is made again", first_clause(error))
        self.look_thoroughly()
        if self.index.exists():
            shutil.rmtree(self.index)
        self._update_index()

    def look_thoroughly(self) -> None:
        """Read every feature file and make again what is damaged."""
        with self._work:
            self._describe(trusting=False)

    def _tasks(self) -> list[PhotoTask]:
        return [PhotoTask(name, file) for name, file in self._images]

    def _pending(self) -> list[PhotoTask]:
        return self.describer.pending(self.photos, self.features, self.pca, self._tasks())

    def _update_in_parts(self, in_between: Callable[[], None]) -> tuple[int, int]:
        """Describe and index all but the last of what is pending, some photos at a time.

        Returns:
            How many photos were described, and how many were to be.
        """
        pending = self._pending()
        done, total = 0, len(pending)
        left = {task.name for task in pending}
        there = [task for task in self._tasks() if task.name not in left]
        seconds = 0.0
        while pending:
            pace = PART_SECONDS / seconds if seconds else 0
            count = int(max(_SMALLEST_PART, pace, PART_SHARE * len(there)))
            if count >= len(pending):
                break
            begun = time.monotonic()
            some, pending = pending[:count], pending[count:]
            with part_of(done, total):
                failed = self._describe(tasks=sorted([*there, *some])).failed
            seconds = (time.monotonic() - begun) / count
            described = [task for task in some if task.name not in failed]
            done += len(described)
            there += described
            if not there:
                continue
            try:
                self._update_index()
            except DamagedFeaturesError:  # is seen to when all are described
                break
            in_between()
        return done, total

    def _describe(
        self, trusting: bool = True, tasks: Sequence[PhotoTask] | None = None
    ) -> ExtractionSummary:
        return self.describer.extract(
            *(self.photos, self.features, self.pca, self._tasks() if tasks is None else tasks),
            max_bad_fraction=1.0,
            trusting=trusting,
            store=self._settings.describe.feature_store,
        )

    def _make_pca(self) -> None:
        """Choose or fit a PCA and keep it; none where the photos have too few features for one.

        It stays as it is when photos come: otherwise all would have to be described again.
        """
        self._whole.tell_of_before(self.photos, self.folder, self._tasks())
        pca = find_pca(self._settings.describe, self._whole)
        known: dict[str, KnownFeatures] = {}
        if pca is None and self._settings.describe.fit_pca_on:
            pca = fit_asked_pca(self._settings.describe, self._whole)
        if pca is None:
            count = self._settings.describe.pca_images
            pca, known = fit_first_pca(self._whole.without_pca(), self.photos, self._images, count)
            if pca is None:
                return
        self.pca = keep_pca(self.folder / "pca", pca)
        # What was described when there were too few features is described again.
        shutil.rmtree(self.folder / "features-plain", ignore_errors=True)
        # No photo is described twice.
        self._whole.keep(
            *(self.features, self.pca),
            {name: reduced(known[name], self.pca, self._whole.features) for name in known},
            self._settings.describe.feature_store,
        )

    def _sweep(self) -> None:
        """Remove what killed searches have left half written; only one at a time is here."""
        for path in self.features.rglob(".*.tmp.*"):
            path.unlink()
        for folder in self.folder.glob(".pca*.tmp*"):
            shutil.rmtree(folder)
        if self.pca is not None:
            shutil.rmtree(self.folder / "features-plain", ignore_errors=True)

    def _update_index(self) -> None:
        """Bring the index up to date: the cost is that of what has changed."""
        try:
            update_index(self.features, self.index, self._settings.index)
        except (DamagedFeaturesError, HeldError, NoLocksError):  # not the index is to blame
            raise
        except UserError as error:
            if not self.index.exists():
                raise
            LOG.warning("%s; it is built again", first_clause(error))
            shutil.rmtree(self.index)
            update_index(self.features, self.index, self._settings.index)
        for old in self.folder.glob("index-*"):
            if old != self.index:
                shutil.rmtree(old)
