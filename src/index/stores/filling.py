"""Filling a store with the global descriptors of feature folders, and asking it about others.

A photo goes in with the checksum of its feature file: where a run ended, by a kill or by a Milvus
that went away, the same call goes on, and adds what is not there yet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.progress import progress
from src.feature_io import (
    Features,
    check_settings,
    comparable,
    feature_path,
    features_checksum,
    read_features,
    read_manifest,
)
from src.index.stores.interface import Nearest, Only, VectorStore

LOG = logging.getLogger(__name__)

#: Photos that are looked up, read and added at a time.
BATCH = 2000


@dataclass(frozen=True)
class Described:
    """The photos of a feature folder that were described.

    Attributes:
        folder: of the features.
        names: of the photos whose features there are, sorted.
        made_with: settings that vectors must share to be compared.
        checksums: `features_checksum` by name, of more photos perhaps; None: not known yet.
    """

    folder: Path
    names: tuple[str, ...]
    made_with: dict[str, Any]
    checksums: Mapping[str, str] | None = None

    @classmethod
    def read(cls, folder: PathLike) -> Described:
        """Read the manifest of a feature folder.

        Raises:
            UserError: there is none.
        """
        manifest = read_manifest(folder)
        names = tuple(name for name in manifest.names if name not in manifest.failed)
        return cls(Path(folder), names, comparable(manifest.settings))

    def checksum(self, name: str) -> str:
        """Return `features_checksum` of a photo."""
        if self.checksums is not None:
            return self.checksums[name]
        return features_checksum(feature_path(self.folder, name))

    def features(self, name: str) -> Features:
        """Read the features of a photo.

        Raises:
            DamagedFeaturesError: they cannot be read.
        """
        return read_features(feature_path(self.folder, name))

    def dimension(self) -> int:
        """Return the length of the global descriptors.

        Raises:
            UserError: no photo has one.
        """
        for name in self.names:
            whole = self.features(name).global_descriptor
            if whole is not None:
                return len(whole)
        raise UserError(
            f"no photo in {self.folder} has a global descriptor; describe them again with "
            "global_descriptor=True"
        )

    def vectors(self, names: Sequence[str]) -> tuple[list[str], list[np.ndarray]]:
        """Return the global descriptors of those of some photos that have one."""
        some = [(name, self.features(name).global_descriptor) for name in names]
        some = [(name, whole) for name, whole in some if whole is not None]
        return [name for name, _ in some], [whole for _, whole in some]


def read_folders(folders: Sequence[PathLike]) -> list[Described]:
    """Read feature folders that go into one store.

    Raises:
        UserError: they were made with different settings.
    """
    described = [Described.read(folder) for folder in folders]
    for one in described[1:]:
        first = described[0]
        check_settings(
            one.made_with,
            first.made_with,
            f"the features in {one.folder}, unlike those in {first.folder},",
        )
    return described


@dataclass(frozen=True)
class Filled:
    """What filling has done: numbers of photos."""

    added: int
    there: int
    without: int
    removed: int

    def __str__(self) -> str:
        return (
            f"{self.added} photos added, {self.there} were there, "
            f"{self.without} without a global descriptor, {self.removed} removed"
        )


def fill(
    store: VectorStore, folders: Sequence[Described], part: str = "", mirror: bool = False
) -> Filled:
    """Add the photos of feature folders that are not in a store yet, or were described anew.

    Args:
        store: it is flushed in the end.
        folders: as `read_folders` returns them.
        part: of the collection that the photos belong to.
        mirror: also remove what is in the store and in none of the folders.

    Raises:
        UserError: a feature file is damaged, or the store does not take them.
    """
    added = there = without = 0
    batches = [
        (folder, folder.names[start : start + BATCH])
        for folder in folders
        for start in range(0, len(folder.names), BATCH)
    ]
    for folder, names in progress(batches, "filling the store", "batch"):
        checksums = [folder.checksum(name) for name in names]
        new = store.absent(names, checksums)
        there += len(names) - len(new)
        some, vectors = folder.vectors([names[i] for i in new])
        without += len(new) - len(some)
        added += len(some)
        if some:
            known = dict(zip(names, checksums))
            store.add(some, np.stack(vectors), [known[name] for name in some], part)
    removed = 0
    if mirror:
        ours = {name for folder in folders for name in folder.names}
        removed = store.remove([name for name in store.names() if name not in ours])
    store.flush()
    return Filled(added, there, without, removed)


def ask(
    store: VectorStore,
    queries: Described,
    k: int,
    only: Only = Only(),  # noqa: B008 (frozen)
) -> Iterator[tuple[str, Nearest]]:
    """Yield the photos of a store that are nearest to each photo of a feature folder.

    Raises:
        UserError: the store is empty, or cannot answer.
    """
    if not store.count():
        store.nearest(np.zeros((1, store.dimension)), 1)  # a Milvus says what it has instead
        raise UserError("the store holds no photos; fill it first")
    for start in range(0, len(queries.names), BATCH):
        names, vectors = queries.vectors(queries.names[start : start + BATCH])
        if names:
            yield from zip(names, store.nearest(np.stack(vectors), k, only))
