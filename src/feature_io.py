"""Reading and writing image features: one file an image, one manifest a folder.

A feature folder holds `<name>.npz` for each image and `features.json`, the manifest. The manifest
lists every image once, sorted by name, and is what later steps read: nothing lists the folder
again. An image in its `failed` part has no feature file (the photo could not be read); it stays in
the list, so that a search ranks it last instead of forgetting it.

A feature file tells by itself whether it is whole (it is a zip archive, with a sum of each array),
and in the archive's comment what it was made of: see `Origin`. Files without are read as well.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike, write_json, write_npz
from src.common.errors import UserError, raise_if_of_system
from src.common.file_names import file_name_for
from src.common.json_files import parse_json, read_json, shaped
from src.common.npy_format import read_npz

FORMAT = 1
MANIFEST_NAME = "features.json"
_ARRAYS = ("locations", "scales", "descriptors", "attention")
#: What a feature file may hold beside them, and how it is kept there.
_MORE = {"size": np.int32, "global_descriptor": np.float16}
# What reading something else as a feature file may raise; RuntimeError: "it is encrypted".
_NO_FEATURES = (ValueError, KeyError, EOFError, OSError, TypeError, RuntimeError)
_NO_FEATURES += (zipfile.BadZipFile, zlib.error)


class DamagedFeaturesError(UserError):
    """A feature file is missing, cut short, or something else."""


@dataclass(frozen=True)
class Features:
    """The local features of one image, in no particular order.

    Attributes:
        locations: float32 [N, 2], (y, x) in pixels of the original image.
        scales: float32 [N], the scale of the pyramid level each feature was found in: 2 in the
            photo twice as large, so in something small. That is the inverse of the scale in files
            of the DELF releases (`.delf`), which is 1 / image_scale, large for large things.
        descriptors: float32 [N, D], unit length.
        attention: float32 [N], the score each feature was selected by.
        size: (height, width) in pixels of the photo; None where it is not known.
        global_descriptor: float32 [G], unit length, of the whole photo (or of the part of it that
            was described); None where none was made.

    Raises:
        ValueError: when the shapes do not belong together or a value is not finite.
    """

    locations: np.ndarray
    scales: np.ndarray
    descriptors: np.ndarray
    attention: np.ndarray
    size: tuple[int, int] | None = None
    global_descriptor: np.ndarray | None = None

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
        if self.size is not None:
            object.__setattr__(self, "size", _checked_size(self.size))
        if self.global_descriptor is not None:
            whole = _checked_global(self.global_descriptor)
            object.__setattr__(self, "global_descriptor", whole)

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

    def turned_back(self, turn: int, size: tuple[int, int]) -> Features:
        """Return the features, located in the image before it was turned.

        By `turn` quarters, counter-clockwise, to `size` (height, width) pixels.
        """
        if not turn:
            return self
        (y, x), (height, width) = self.locations.T, size
        for _ in range(turn):  # one quarter back, clockwise
            y, x = x, height - 1 - y
            height, width = width, height
        return dataclasses.replace(self, locations=np.stack([y, x], axis=1))

    @classmethod
    def empty(cls, dimension: int) -> Features:
        """Return the features of an image that has none, with descriptors of `dimension`."""
        return cls(np.zeros((0, 2)), np.zeros(0), np.zeros((0, dimension)), np.zeros(0))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what a file of them holds, by name."""
        more = {name: getattr(self, name) for name in _MORE}
        return {
            **{name: getattr(self, name) for name in _ARRAYS},
            **{k: np.asarray(value, _MORE[k]) for k, value in more.items() if value is not None},
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Features:
        """Return the features of what `arrays` gives.

        Raises:
            KeyError: an array is missing.
            ValueError: as for the class, or the descriptors are not of unit length.
        """
        more = {name: arrays[name] for name in _MORE if name in arrays}
        found = cls(**{name: arrays[name] for name in _ARRAYS}, **more)
        norms = np.linalg.norm(found.descriptors, axis=1)
        if ((np.abs(norms - 1) > 0.01) & (norms > 0)).any():  # others round to less than 32 bits
            raise ValueError("its descriptors are not of unit length")
        return found


def _checked_size(size: Any) -> tuple[int, int]:
    sides = np.asarray(size)
    if sides.shape != (2,) or sides.dtype.kind not in "iu" or sides.min() < 1:
        raise ValueError(f"size is {size!r}, not the height and width of a photo")
    return int(sides[0]), int(sides[1])


def _checked_global(descriptor: np.ndarray) -> np.ndarray:
    whole = np.ascontiguousarray(descriptor, dtype=np.float32)
    if whole.ndim != 1 or not np.isfinite(whole).all():
        raise ValueError(
            f"global_descriptor has shape {whole.shape}, or values that are not finite"
        )
    return whole


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


@dataclass(frozen=True)
class Origin:
    """What a feature file was made of; it says so itself.

    Attributes:
        photo: sha256 of the bytes of the photo's file; "" where it changed while it was read.
        settings: `settings_digest` of all that the features depend on.
    """

    photo: str
    settings: str

    @classmethod
    def read(cls, comment: bytes) -> Origin | None:
        """Return what the comment of a feature file says; None where there is none.

        Raises:
            ValueError: it is something else.
        """
        return shaped(parse_json(comment), cls) if comment else None

    def comment(self) -> bytes:
        """Return the comment that says this."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True).encode()


@dataclass(frozen=True)
class FeatureFile:
    """What a feature file says of itself.

    Attributes:
        checksum: of its arrays, see `features_checksum`.
        origin: what it was made of; None for files made before they said so.
    """

    checksum: str
    origin: Origin | None


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return a short text that differs where settings, JSON values, differ."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]


def feature_path(folder: PathLike, name: str) -> Path:
    """Return where the features of image `name` are kept.

    A name that cannot be a file's name everywhere, or is too long for one, becomes another by
    `file_name_for`; but where a file was made under the name itself, it is that one.
    """
    parts = name.split("/")
    ours = [file_name_for(part) for part in parts]
    plain = Path(folder) / f"{name}.npz"
    is_plain = parts == ours or os.path.exists(plain)
    return plain if is_plain else Path(folder, f"{'/'.join(ours)}.npz")


def write_features(
    path: PathLike, features: Features, origin: Origin | None = None, durable: bool = True
) -> None:
    """Write features in one step; equal features of one origin give equal bytes (npz).

    Args:
        path: the file.
        features: what goes into it.
        origin: what they were made of.
        durable: as for `atomic_path`.
    """
    write_npz(path, features.arrays(), origin.comment() if origin else b"", durable)


def read_features(path: PathLike) -> Features:
    """Read features back.

    Raises:
        DamagedFeaturesError: when the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    try:
        return Features.of_arrays(read_npz(path))
    except _NO_FEATURES as error:
        raise _damaged(path, error) from None


def features_checksum(path: PathLike) -> str:
    """Return a checksum of a feature file's content without reading its arrays.

    Uses the CRC-32 that a zip file keeps of each member, so that thousands of files take a second.

    Raises:
        DamagedFeaturesError: when the file is missing or damaged.
    """
    return look_at_features(path).checksum


def look_at_features(path: PathLike, thoroughly: bool = False) -> FeatureFile:
    """Return what a feature file says of itself.

    Args:
        path: the file.
        thoroughly: read all of it and look whether it is whole; else its end only, which is missing
            where a file was cut short.

    Raises:
        DamagedFeaturesError: when the file is missing or damaged.
    """
    try:
        content = io.BytesIO(Path(path).read_bytes()) if thoroughly else path
        with zipfile.ZipFile(content) as file:
            members = [[item.filename, item.CRC, item.file_size] for item in file.infolist()]
            origin = Origin.read(file.comment)
        if thoroughly:
            content.seek(0)
            Features.of_arrays(read_npz(content))
    except _NO_FEATURES as error:
        raise _damaged(path, error) from None
    return FeatureFile(hashlib.sha256(json.dumps(members).encode()).hexdigest(), origin)


def _damaged(path: PathLike, error: Exception) -> DamagedFeaturesError:
    raise_if_of_system(error, path)
    if isinstance(error, FileNotFoundError):
        return DamagedFeaturesError(f"there is no feature file {path}; extract the features first")
    return DamagedFeaturesError(
        f"{path} is not a readable feature file ({error}); extract the features again"
    )


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
        content = read_json(path)
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no complete features (no {MANIFEST_NAME}); "
            "run the feature extraction to its end first"
        ) from None
    except (OSError, ValueError) as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read {path} ({error}); extract the features again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a feature manifest of format {FORMAT}; extract again")
    try:
        manifest = shaped({"failed": None, **content}, Manifest)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); extract again") from None
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


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that features must share to be compared with each other.

    Boxes do not matter, nor which engine described, only how exactly it computes: engines of one
    precision choose the same features, and descriptors that differ by rounding.
    """
    shared = {name: value for name, value in settings.items() if name != "crop_boxes"}
    engine = shared.pop("engine", None) or {}
    on_cpu = engine.get("device", "CPU") == "CPU"
    precision = engine.get("precision") or ("float32" if on_cpu else "as the device computes")
    return {**shared, "precision": precision}


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], sort_keys=True) if key in settings else "nothing"
