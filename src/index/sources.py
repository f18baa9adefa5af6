"""The features that an index is made of: one or several feature folders, read as one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.feature_io import (
    Features,
    Manifest,
    check_settings,
    feature_path,
    features_checksum,
    read_features,
    read_manifest,
)
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
        if isinstance(features_folders, (str, Path)) or hasattr(features_folders, "__fspath__"):
            features_folders = [features_folders]
        manifests = {Path(folder): read_manifest(folder) for folder in features_folders}
        if not manifests:
            raise UserError("there is no feature folder to build an index of")
        folders = _folder_of_each_image(manifests)
        wanted = sorted(folders if names is None else set(names))
        unknown = [name for name in wanted if name not in folders]
        if unknown:
            raise UserError(
                f"there are no features of {some_of(unknown)} in {', '.join(map(str, manifests))}"
            )
        checksums = {
            name: ""
            if name in manifests[folders[name]].failed
            else features_checksum(feature_path(folders[name], name))
            for name in wanted
        }
        settings = next(iter(manifests.values())).settings
        return cls(settings, {name: folders[name] for name in wanted}, checksums)

    def features_of(self, name: str) -> Features | None:
        """Read the features of an image; None where its photo could not be read."""
        if not self.checksums[name]:
            return None
        return read_features(feature_path(self.folders[name], name))

    def settings(self, settings: IndexSettings) -> dict[str, Any]:
        """Return all that decides what an index of these features holds, as JSON values."""
        return all_settings(settings, self.features, self.checksums)


def _folder_of_each_image(manifests: Mapping[Path, Manifest]) -> dict[str, Path]:
    first = next(iter(manifests))
    folders: dict[str, Path] = {}
    for folder, manifest in manifests.items():
        check_settings(
            manifest.settings,
            manifests[first].settings,
            f"the features in {folder}, unlike those in {first},",
        )
        for name in manifest.names:
            if name in folders:
                raise UserError(
                    f"an image {name} is in {folders[name]} and in {folder}; rename one of them"
                )
            folders[name] = folder
    return folders


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
        "index": asdict(settings),
        "features": features,
        "features_checksum": checksum.hexdigest(),
    }


def some_of(names: Sequence[str], most: int = 3) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
