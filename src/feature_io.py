"""Reading and writing image features: one file an image, one manifest a folder.

A feature folder holds `<name>.npz` for each image and `features.json`, the manifest. The manifest
lists every image once, sorted by name, and is what later steps read: nothing lists the folder
again. An image in its `failed` part has no feature file (the photo could not be read); it stays in
the list, so that a search ranks it last instead of forgetting it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike, write_json, write_npz
from src.common.errors import UserError

FORMAT = 1
MANIFEST_NAME = "features.json"
_ARRAYS = ("locations", "scales", "descriptors", "attention")


@dataclass(frozen=True)
class Features:
    """The local features of one image, in no particular order.

    Attributes:
        locations: float32 [N, 2], (y, x) in pixels of the original image.
        scales: float32 [N], the scale of the pyramid (or the size) each feature was found at.
        descriptors: float32 [N, D], unit length.
        attention: float32 [N], the score each feature was selected by.

    Raises:
        ValueError: when the shapes do not belong together or a value is not finite.
    """

    locations: np.ndarray
    scales: np.ndarray
    descriptors: np.ndarray
    attention: np.ndarray

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            array = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            object.__setattr__(self, name, array)
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds values that are not finite")
        count = len(self.descriptors) if self.descriptors.ndim else -1
        wanted = {"locations": (count, 2), "scales": (count,), "attention": (count,)}
        if self.descriptors.ndim != 2:
            raise ValueError(f"descriptors have shape {self.descriptors.shape}, not [N, D]")
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} have shape {getattr(self, name).shape}, not {shape}")

    def __len__(self) -> int:
        return len(self.descriptors)

    @property
    def dimension(self) -> int:
        """Length D of a descriptor."""
        return self.descriptors.shape[1]

    def shifted(self, origin: tuple[int, int]) -> Features:
        """Return the features with `origin` (y, x) added to their locations."""
        if tuple(origin) == (0, 0):
            return self
        return dataclasses.replace(self, locations=self.locations + np.float32(origin))

    @classmethod
    def empty(cls, dimension: int) -> Features:
        """Return the features of an image that has none, with descriptors of `dimension`."""
        return cls(np.zeros((0, 2)), np.zeros(0), np.zeros((0, dimension)), np.zeros(0))


@dataclass(frozen=True)
class Manifest:
    """What a feature folder holds.

    Attributes:
        images: (name, photo file relative to the photo folder) for every image, sorted by name.
        settings: everything that changes the features, as JSON values.
        failed: the reason for each image without a feature file.
    """

    images: tuple[tuple[str, str], ...]
    settings: dict[str, Any]
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Image names, sorted."""
        return tuple(name for name, _ in self.images)


def feature_path(folder: PathLike, name: str) -> Path:
    """Return where the features of image `name` are kept."""
    return Path(folder) / f"{name}.npz"


def write_features(path: PathLike, features: Features) -> None:
    """Write features in one step; equal features give equal bytes (npz, not compressed)."""
    write_npz(path, {name: getattr(features, name) for name in _ARRAYS})


def read_features(path: PathLike) -> Features:
    """Read features back.

    Raises:
        UserError: when the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Features(**{name: arrays[name] for name in _ARRAYS})
    except FileNotFoundError:
        raise UserError(f"there is no feature file {path}; extract the features first") from None
    except (ValueError, KeyError, EOFError, OSError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a readable feature file ({error}); delete it and extract again"
        ) from None


def features_checksum(path: PathLike) -> str:
    """Return a checksum of a feature file's content without reading its arrays.

    Uses the CRC-32 that a zip file keeps of each member, so that thousands of files take a second.

    Raises:
        UserError: when the file is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = [[item.filename, item.CRC, item.file_size] for item in file.infolist()]
    except FileNotFoundError:
        raise UserError(f"there is no feature file {path}; extract the features first") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a readable feature file ({error}); delete it and extract again"
        ) from None
    return hashlib.sha256(json.dumps(members).encode()).hexdigest()


def write_manifest(folder: PathLike, manifest: Manifest) -> None:
    """Write the manifest of a feature folder; call it last, it says that the folder is complete.

    Raises:
        ValueError: when the images are not sorted by name, or one is named twice.
    """
    names = manifest.names
    if list(names) != sorted(set(names)):
        raise ValueError("the images of a manifest must be sorted by name, each named once")
    write_json(
        Path(folder) / MANIFEST_NAME,
        {
            "format": FORMAT,
            "images": [list(image) for image in manifest.images],
            "settings": manifest.settings,
            "failed": manifest.failed,
        },
    )


def read_manifest(folder: PathLike) -> Manifest:
    """Read the manifest of a feature folder.

    Raises:
        UserError: when there is none, or it is not one of this program.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no complete features (no {MANIFEST_NAME}); "
            "run the feature extraction to its end first"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} ({error}); extract the features again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a feature manifest of format {FORMAT}; extract again")
    try:
        images = tuple((str(name), str(file)) for name, file in content["images"])
        manifest = Manifest(images, dict(content["settings"]), dict(content["failed"]))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} lacks images, settings or failed; extract again") from None
    if list(manifest.names) != sorted(set(manifest.names)):
        raise UserError(f"{path} lists its images out of order or twice; extract again")
    return manifest


def check_settings(found: Mapping[str, Any], wanted: Mapping[str, Any], what: str) -> None:
    """Refuse something that was built with other settings.

    Args:
        found: the settings that `what` was built with, as read from JSON.
        wanted: the settings asked for now; tuples and lists count as equal.
        what: what was built, and where, for the message.

    Raises:
        UserError: naming each key that differs, with both values.
    """
    wanted = json.loads(json.dumps(dict(wanted)))
    found = json.loads(json.dumps(dict(found)))
    differences = [
        f"{key}: {_shown(found, key)} there, {_shown(wanted, key)} wanted"
        for key in sorted(found.keys() | wanted.keys())
        if _shown(found, key) != _shown(wanted, key)
    ]
    if differences:
        raise UserError(
            f"{what} was made with other settings ({'; '.join(differences)}); "
            "delete it, use another folder, or go back to its settings"
        )


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], sort_keys=True) if key in settings else "nothing"
