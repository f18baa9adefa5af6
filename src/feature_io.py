"""Reading and writing image features: one file an image, one manifest a folder.

A feature folder holds `<name>.npz` for each image and `features.json`, the manifest. The manifest
lists every image once, sorted by name, and is what later steps read: nothing lists the folder
again. An image in its `failed` part has no feature file (the photo could not be read); it stays in
the list, so that a search ranks it last instead of forgetting it.

A folder may be a packed store instead (`common/packed_store`): the same of many photos in a few
files. `feature_path` says where the features of a photo are in either, and what reads them takes
both; `open_features` reads several folders of any kind as one.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.common.atomic_files import PathLike, write_npz
from src.common.errors import UserError, one_line, raise_if_of_system
from src.common.feature_manifest import MANIFEST_NAME, read_manifest
from src.common.feature_manifest import Manifest as Manifest
from src.common.feature_manifest import write_manifest as write_manifest
from src.common.file_names import file_name_for
from src.common.json_files import parse_json, shaped
from src.common.npy_format import read_npz
from src.common.packed_store import is_packed, open_store
from src.common.settings_check import check_settings
from src.common.settings_check import comparable as comparable
from src.common.settings_check import settings_digest as settings_digest

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


class InStore(NamedTuple):
    """Where the features of a photo are in a packed store.

    Attributes:
        folder: the store.
        name: of the photo.
    """

    folder: Path
    name: str


def feature_path(folder: PathLike, name: str) -> Path | InStore:
    """Return where the features of image `name` are kept.

    In a folder of files: a name that cannot be a file's name everywhere, or is too long for one,
    becomes another by `file_name_for`; but where a file was made under the name itself, it is that.
    """
    if is_packed(folder):
        return InStore(Path(folder), name)
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


def has_features(folder: PathLike) -> bool:
    """Tell whether a folder is one of features, packed or not, that is complete."""
    return Path(folder, MANIFEST_NAME).is_file()


def read_features(path: PathLike | InStore) -> Features:
    """Read features back, of a file or of a packed store.

    Raises:
        DamagedFeaturesError: when they are missing, damaged, or something else.
    """
    try:
        if isinstance(path, InStore):
            return Features.of_arrays(open_store(path.folder).arrays(path.name))
        return Features.of_arrays(read_npz(Path(path)))
    except (*_NO_FEATURES, UserError) as error:
        raise _damaged(path, error) from None


def features_checksum(path: PathLike | InStore) -> str:
    """Return a checksum of a photo's features without reading their arrays.

    Uses the CRC-32 that a zip file keeps of each member, so that thousands of files take a second;
    of a packed store what stands in its table.

    Raises:
        DamagedFeaturesError: when the file is missing or damaged.
    """
    if isinstance(path, InStore):
        try:
            return open_store(path.folder).checksum(path.name)
        except (KeyError, UserError) as error:
            raise _damaged(path, error) from None
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


def _damaged(path: PathLike | InStore, error: Exception) -> DamagedFeaturesError:
    if isinstance(path, InStore):
        what = "it is not in there" if isinstance(error, KeyError) else one_line(error)
        return DamagedFeaturesError(
            f"the features of {path.name} in the packed store {path.folder} cannot be read "
            f"({what}); extract the features again: what is whole is kept"
        )
    raise_if_of_system(error, path)
    if isinstance(error, FileNotFoundError):
        return DamagedFeaturesError(f"there is no feature file {path}; extract the features first")
    return DamagedFeaturesError(
        f"{path} is not a readable feature file ({error}); extract the features again"
    )


@dataclass(frozen=True)
class FeatureFolders:
    """Folders of features, packed or not, read as one.

    Attributes:
        settings: of the features, those of all folders.
        folders: image name → its folder, sorted by name.
        failed: the reason for each image without features.
    """

    settings: dict[str, Any]
    folders: dict[str, Path]
    failed: dict[str, str]

    def checksum(self, name: str) -> str:
        """Return `features_checksum` of an image, "" where it has no features."""
        if name in self.failed:
            return ""
        return features_checksum(feature_path(self.folders[name], name))

    def read(self, name: str) -> Features | None:
        """Return the features of an image; None where it has none."""
        return (
            None if name in self.failed else read_features(feature_path(self.folders[name], name))
        )


def open_features(places: PathLike | Sequence[PathLike]) -> FeatureFolders:
    """Read a folder of feature files, a packed store, or several of both (parts), as one.

    Raises:
        UserError: a folder is not complete, their settings differ, or two have an image of one
            name.
    """
    if isinstance(places, (str, os.PathLike)):
        places = [places]
    manifests = {Path(folder): read_manifest(folder) for folder in places}
    folders: dict[str, Path] = {}
    failed: dict[str, str] = {}
    for folder, manifest in manifests.items():
        first = next(iter(manifests))
        what = f"the features in {folder}, unlike those in {first},"
        check_settings(manifest.settings, manifests[first].settings, what)
        for name in manifest.names:
            if name in folders:
                raise UserError(
                    f"an image {name} is in {folders[name]} and in {folder}; rename one of them"
                )
            folders[name] = folder
        failed |= manifest.failed
    settings = next(iter(manifests.values())).settings if manifests else {}
    return FeatureFolders(settings, {name: folders[name] for name in sorted(folders)}, failed)
