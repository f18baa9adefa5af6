"""The features that an index is made of: one or several feature folders, read as one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.feature_io import Features, feature_path, open_features, read_features
from src.index.choice import IndexSettings

FeatureFolders = PathLike | Sequence[PathLike]


@dataclass(frozen=True)
class Sources:
    """Feature folders read as one.

    Attributes:
        features: the settings of the features, those of all folders.
        folders: image name → its folder, sorted by name.
        checksums: image name → checksum of its feature file, "" where the photo could not be read.
    """

    features: dict[str, Any]
    folders: dict[str, Path]
    checksums: dict[str, str]

    @classmethod
    def read(cls, features_folders: FeatureFolders, names: Iterable[str] | None) -> Sources:
        """Read the manifests of folders and the checksums of their images, or of some of them.

        Raises:
            UserError: features are missing or damaged, the folders' settings differ, two folders
                have an image of one name.
        """
        if not isinstance(features_folders, (str, os.PathLike)) and not features_folders:
            raise UserError("there is no feature folder to build an index of")
        there = open_features(features_folders)
        wanted = sorted(there.folders if names is None else set(names))
        unknown = [name for name in wanted if name not in there.folders]
        if unknown:
            places = dict.fromkeys(map(str, there.folders.values()))
            raise UserError(f"there are no features of {some_of(unknown)} in {', '.join(places)}")
        folders = {name: there.folders[name] for name in wanted}
        return cls(there.settings, folders, {name: there.checksum(name) for name in wanted})

    @property
    def has_globals(self) -> bool:
        """Whether the images were described with global descriptors."""
        return "global" in self.features

    def features_of(self, name: str) -> Features | None:
        """Read the features of an image; None where its photo could not be read."""
        if not self.checksums[name]:
            return None
        return read_features(feature_path(self.folders[name], name))

    def settings(self, settings: IndexSettings) -> dict[str, Any]:
        """Return all that decides what an index of these features holds, as JSON values."""
        return all_settings(settings, self.features, self.checksums)


def all_settings(
    settings: IndexSettings, features: Mapping[str, Any], checksums: Mapping[str, str]
) -> dict[str, Any]:
    """Return all that decides what an index holds, as JSON values.

    Args:
        settings: kind of index.
        features: settings of the features.
        checksums: image name → checksum of its feature file, sorted by name.
    """
    checksum = hashlib.sha256()
    for name, content in checksums.items():
        checksum.update(f"{name}\0{content}\n".encode())
    return {
        "index": settings.as_json(),
        "features": features,
        "features_checksum": checksum.hexdigest(),
    }


def some_of(names: Sequence[str], most: int = 3) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
