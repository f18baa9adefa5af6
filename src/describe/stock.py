"""What is there of the features of some photos, and what is to be made.

Features are a photo's own where the file they are in is whole, was made with these settings, and of
the bytes that the photo has now. The bytes are compared by a digest, but only where size, time and
the record (`record.py`) leave a doubt: else a run would read every photo.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.packed_store import is_packed, open_store
from src.describe.record import FileState, Noted, Record, unchanged_digest
from src.describe.tasks import PhotoTask
from src.feature_io import (
    DamagedFeaturesError,
    FeatureFile,
    Origin,
    feature_path,
    look_at_features,
    read_manifest,
    settings_digest,
)
from src.photos.places import Place, photo_place

LOG = logging.getLogger(__name__)


@dataclass
class Stock:
    """What is there of the features of some photos, and what is to be made.

    Attributes:
        record: what the folder notes.
        kept: photos whose features are there, as they are to be noted.
        failed: the reason for each photo that could not be described and has not changed since.
        pending: photos to describe, as they are listed.
        states: of the files of these photos, before they are read.
        damaged: names whose feature files are missing, though noted, damaged, or of another photo.
        doubted: whether something had to be looked at that the record can say from now on.
        times: of photos that a packed store has, see `keepers.PackedKeeper`.
        blocks: damaged ones of a packed store, whose photos are not in another one, in words.
    """

    record: Record
    kept: dict[str, Noted] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    pending: list[PhotoTask] = field(default_factory=list)
    states: dict[str, FileState | None] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    doubted: bool = False
    times: dict[str, int] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)

    def times_of_pending(self) -> dict[str, int]:
        """Return `times` of the photos to describe."""
        return {
            task.name: self.times[task.name] for task in self.pending if task.name in self.times
        }

    def absent(self, tasks: Sequence[PhotoTask]) -> list[str]:
        """Return the names of photos that are noted and not among these."""
        return sorted(self.record.photos.keys() - {task.name for task in tasks})


def take_stock(
    images_path: PathLike,
    feature_folder: PathLike,
    tasks: Sequence[PhotoTask],
    settings: Mapping[str, Any],
    is_claimed: bool = True,
    trusting: bool = True,
) -> Stock:
    """Look which photos have their features.

    Args:
        images_path: folder of the photos.
        feature_folder: where the features are.
        tasks: the photos.
        settings: all that the features depend on.
        is_claimed: whether the folder belongs to these settings, see `check_claim`. Else features
            count only where they say so themselves.
        trusting: believe the record; else every feature file is read.
    """
    kind = _PackedShelf if is_packed(feature_folder) else _Shelf
    shelf = kind(Path(feature_folder), settings_digest(settings), is_claimed, trusting)
    stock = shelf.stock
    noted_failures = _failures(feature_folder)
    remembered = []
    for task in tasks:
        photo = photo_place(images_path, task.file)
        state = FileState.of(photo)
        known = shelf.own(task.name, photo, state)
        if known is not None:
            stock.kept[task.name] = known
            stock.doubted |= known != shelf.noted(task.name)
            continue
        stock.states[task.name] = state
        if task.name in noted_failures and shelf.failed_before(task.name, photo, state):
            remembered.append(task)
        else:
            stock.pending.append(task)
    if stock.pending:  # another attempt costs little now
        stock.pending = [task for task in tasks if task.name in stock.states]
    else:
        stock.failed = {task.name: noted_failures[task.name] for task in remembered}
    return stock


def _failures(feature_folder: PathLike) -> dict[str, str]:
    try:
        return read_manifest(feature_folder).failed
    except UserError:
        return {}


class _Shelf:
    """A feature folder, asked for one photo after the other."""

    def __init__(self, folder: Path, settings: str, is_claimed: bool, trusting: bool):
        self._folder = folder
        self._settings = settings
        self._is_claimed = is_claimed
        self._trusting = trusting and is_claimed
        self._record = Record.read(folder)
        self.stock = Stock(self._record)

    def noted(self, name: str) -> Noted | None:
        """Return what is noted of a photo."""
        return self._record.photos.get(name)

    def own(self, name: str, photo: Place, state: FileState | None) -> Noted | None:
        """Return what is to be noted of a photo whose features are there; None: there are none."""
        noted = self.noted(name)
        held, file = self._find(name, noted)
        if file is None or state is None:
            return None
        found = Noted(state.size, state.changed, file.origin and file.origin.photo, file.checksum)
        if file.origin is None:
            return self._by_time(found, noted, state, held)
        if found.digest and noted is not None and noted.digest == found.digest:
            if noted[:2] == found[:2] and self._record.is_older(state):
                return found
            if noted.size != found.size:
                return None
        self.stock.doubted = True
        digest = unchanged_digest(photo, state)
        if digest and digest == found.digest:
            return found
        if noted is not None and noted.digest == digest:  # the photo is what it was
            self.stock.damaged.append(name)
        return None

    def failed_before(self, name: str, photo: Place, state: FileState | None) -> bool:
        """Tell whether a photo is one that could be read, but not described, and is as it was."""
        noted = self.noted(name)
        if noted is None or state is None or not noted.digest or noted.checksum is not None:
            return False
        if noted[:2] == (state.size, state.changed) and self._record.is_older(state):
            return True
        self.stock.doubted = True
        return unchanged_digest(photo, state) == noted.digest

    def _find(self, name: str, noted: Noted | None) -> tuple[FileState | None, FeatureFile | None]:
        """Return the state of a photo's feature file, and what it says; see `_look`."""
        path = feature_path(self._folder, name)
        held = FileState.of(path)
        return held, self._look(name, path, held, noted)

    def _look(
        self, name: str, path: Path, held: FileState | None, noted: Noted | None
    ) -> FeatureFile | None:
        """Return what a feature file says; None where it is missing, damaged, or not of these."""
        is_noted = noted is not None and noted.checksum is not None
        if held is None:
            if is_noted:
                self.stock.damaged.append(name)
            return None
        if is_noted and self._trusting and held.size and self._record.is_older(held):
            origin = None if noted.digest is None else Origin(noted.digest, self._settings)
            return FeatureFile(noted.checksum, origin)
        self.stock.doubted = True
        try:
            file = look_at_features(path, thoroughly=True)
        except DamagedFeaturesError:
            self.stock.damaged.append(name)
            return None
        if file.origin is not None:
            return file if file.origin.settings == self._settings else None
        if is_noted and noted.checksum != file.checksum:  # somebody has put another one there
            self.stock.damaged.append(name)
            return None
        return file if self._is_claimed else None

    @staticmethod
    def _by_time(
        found: Noted, noted: Noted | None, state: FileState, held: FileState
    ) -> Noted | None:
        """Decide of features that do not say which photo they were made of, as older ones."""
        if noted is None:
            return found if held.changed >= state.changed else None
        if noted.digest is not None or noted[:2] != found[:2]:
            return None
        return found


class _PackedShelf(_Shelf):
    """A packed store: all of it is compared with its sums, which takes seconds for a million."""

    def __init__(self, folder: Path, settings: str, is_claimed: bool, trusting: bool):
        super().__init__(folder, settings, is_claimed, trusting)
        store = open_store(folder)
        damages = list(store.damages())
        self._whole = store.whole(damages)
        self.stock.times = store.times()
        self._is_ours = store.settings == settings
        for damage in damages:
            names = [about["name"] for about in damage.block.directory]
            if not names or any(name not in self._whole for name in names):
                self.stock.blocks.append(str(damage))

    def _find(self, name: str, noted: Noted | None) -> tuple[FileState | None, FeatureFile | None]:
        about = self._whole.get(name)
        if about is None or not self._is_ours:
            if name in self.stock.times or (noted is not None and noted.checksum is not None):
                self.stock.damaged.append(name)
            return None, None
        return None, FeatureFile(about["sum"], Origin(about["photo"], self._settings))
