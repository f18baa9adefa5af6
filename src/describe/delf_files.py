"""The feature files of TensorFlow's DELF releases (`.delf`), into feature folders and back.

    python3 src/describe/delf_files.py --delf FOLDER --features FOLDER [--images_path PHOTOS]
    python3 src/describe/delf_files.py --features FOLDER --to_delf FOLDER

A `.delf` file is `DelfFeatures` of the release's `feature.proto`: field 1 is a feature, of which 1
is the descriptor (a datum), 2 and 3 are x and y, 4 the scale, 5 the orientation (always 0), 6 the
score. Its scale is one over this project's: 1 / image_scale.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import dataclasses
import hashlib
import logging
import struct
from pathlib import Path

import numpy as np

from src.common.atomic_files import PathLike, atomic_path
from src.common.errors import UserError, one_line, raise_if_of_system, run_command
from src.common.protobuf import FIXED32, LENGTH_DELIMITED, bytes_of, fields, to_varint
from src.common.regular_files import read_regular
from src.describe.datum_io import datum_bytes, parse_datum
from src.feature_io import (
    MANIFEST_NAME,
    DamagedFeaturesError,
    Features,
    Manifest,
    feature_path,
    read_features,
    read_manifest,
    write_features,
    write_manifest,
)
from src.photos.finding import EXTENSIONS
from src.photos.reading import UnreadableImageError, read_image

LOG = logging.getLogger(__name__)

SUFFIX = ".delf"
_FEATURE = _DESCRIPTOR = 1
_X, _Y, _SCALE, _ORIENTATION, _STRENGTH = 2, 3, 4, 5, 6


def read_delf(path: PathLike) -> Features:
    """Read a `.delf` file.

    Raises:
        DamagedFeaturesError: it is missing, cut short, or something else.
    """
    try:
        return parse_delf(read_regular(path))
    except FileNotFoundError:
        raise DamagedFeaturesError(f"there is no file {path}") from None
    except (ValueError, OSError) as error:
        raise_if_of_system(error, path)
        raise DamagedFeaturesError(
            f"{path} is not a readable file of DELF features ({one_line(error)}); make it again"
        ) from None


def parse_delf(data: bytes) -> Features:
    """Return the features of a serialised `DelfFeatures`; an empty one has none, of length 0.

    Raises:
        ValueError: the bytes are no such message, or its features do not belong together.
    """
    numbers: list[list[float]] = []
    descriptors: list[np.ndarray] = []
    for field, content in fields(memoryview(data)):
        if field != _FEATURE:
            raise ValueError(f"it has a field {field}")
        found = {_X: 0.0, _Y: 0.0, _SCALE: 0.0, _STRENGTH: 0.0}
        descriptor = None
        for part, value in fields(bytes_of(content)):
            if part == _DESCRIPTOR:
                descriptor = parse_datum(bytes(bytes_of(value))).reshape(-1)
            elif part in found:
                number = bytes_of(value)
                if len(number) != 4:
                    raise ValueError(f"a number of a feature has {len(number)} bytes, not 4")
                (found[part],) = struct.unpack("<f", number)
        if descriptor is None or not found[_SCALE] > 0:
            raise ValueError("it has a feature without a descriptor or a scale")
        if descriptors and len(descriptor) != len(descriptors[0]):
            raise ValueError("its descriptors are of several lengths")
        descriptors.append(descriptor)
        numbers.append([found[_Y], found[_X], found[_SCALE], found[_STRENGTH]])
    if not numbers:
        return Features.empty(0)
    table = np.array(numbers, np.float64)
    return Features(table[:, :2], 1 / table[:, 2], np.stack(descriptors), table[:, 3])


def delf_bytes(features: Features) -> bytes:
    """Return features as a serialised `DelfFeatures`."""
    parts = []
    theirs = 1 / features.scales.astype(np.float64)
    for i in range(len(features)):
        y, x = features.locations[i]
        feature = _field(_DESCRIPTOR, datum_bytes(features.descriptors[i]))
        for number, value in (
            (_X, x),
            (_Y, y),
            (_SCALE, theirs[i]),
            (_ORIENTATION, 0.0),
            (_STRENGTH, features.attention[i]),
        ):
            feature += bytes([number << 3 | FIXED32]) + struct.pack("<f", value)
        parts.append(_field(_FEATURE, feature))
    return b"".join(parts)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | LENGTH_DELIMITED]) + to_varint(len(content)) + content


def write_delf(path: PathLike, features: Features) -> None:
    """Write features as a `.delf` file, in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(delf_bytes(features))


def import_delf(delf_folder: Path, feature_folder: Path, images_path: Path | None) -> Manifest:
    """Make a feature folder of a folder of `.delf` files, which are named as their photos.

    Args:
        delf_folder: with the files; folders in it are searched too.
        feature_folder: for the features; it may hold those of an earlier run of this, no others.
        images_path: folder of the photos, for their file names and sizes; None: neither is known.

    Raises:
        UserError: there are no files, one is damaged, or there are other features already.
    """
    files = sorted(delf_folder.rglob(f"*{SUFFIX}"))
    if not files:
        raise UserError(f"there are no *{SUFFIX} files in {delf_folder}")
    settings = {"source": "files of DELF features", "delf": _digest(files)}
    there = (feature_folder / MANIFEST_NAME).exists()
    if there and read_manifest(feature_folder).settings != settings:
        raise UserError(f"{feature_folder} holds other features; give another folder")
    dimension = _common_length(files)
    images = []
    for file in files:
        name = file.relative_to(delf_folder).with_suffix("").as_posix()
        features = read_delf(file)
        photo = _photo_of(images_path, name)
        images.append((name, photo or f"{name}.jpg"))
        if not len(features):
            features = Features.empty(dimension)
        if images_path is not None:
            features = _with_size(features, images_path / photo)
        write_features(feature_path(feature_folder, name), features)
    manifest = Manifest(tuple(sorted(images)), settings)
    write_manifest(feature_folder, manifest)
    return manifest


def export_delf(feature_folder: Path, delf_folder: Path) -> int:
    """Write a `.delf` file for each photo of a feature folder; return how many.

    Raises:
        UserError: the folder holds no features, or damaged ones.
    """
    manifest = read_manifest(feature_folder)
    names = [name for name in manifest.names if name not in manifest.failed]
    for name in names:
        features = read_features(feature_path(feature_folder, name))
        path = delf_folder / f"{name}{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_delf(path, features)
    return len(names)


def _common_length(files: list[Path]) -> int:
    """Return the length of the descriptors in files; 0 where none has any.

    Raises:
        UserError: they are of several lengths.
    """
    lengths: dict[int, Path] = {}
    for file in files:
        features = read_delf(file)
        if len(features):
            lengths.setdefault(features.dimension, file)
    if len(lengths) > 1:
        (one, first), (other, second) = list(lengths.items())[:2]
        raise UserError(
            f"{first} has descriptors of {one} numbers and {second} of {other}: they cannot be "
            "compared; convert them into two folders"
        )
    return next(iter(lengths), 0)


def _digest(files: list[Path]) -> str:
    """Return what tells a set of files from another one, by their bytes."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _photo_of(images_path: Path | None, name: str) -> str | None:
    """Return the file of a photo by the name of its features, None where no folder is given.

    Raises:
        UserError: it is not in the folder.
    """
    if images_path is None:
        return None
    for suffix in sorted(EXTENSIONS):
        for written in (suffix, suffix.upper()):
            if (images_path / f"{name}{written}").is_file():
                return f"{name}{written}"
    raise UserError(f"there is no photo of {name}{SUFFIX} in {images_path}")


def _with_size(features: Features, photo: Path) -> Features:
    try:
        height, width = read_image(photo).shape[:2]
    except UnreadableImageError as error:
        LOG.warning("%s: its size is not known", one_line(error))
        return features
    return dataclasses.replace(features, size=(height, width))


def main() -> None:
    """Convert a folder of features."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", required=True, type=Path, help="feature folder")
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument("--delf", type=Path, help="folder of .delf files to convert")
    direction.add_argument("--to_delf", type=Path, help="folder to write .delf files to")
    parser.add_argument("--images_path", type=Path, help="with --delf: their photos")
    arguments = parser.parse_args()
    if arguments.delf:
        made = import_delf(arguments.delf, arguments.features, arguments.images_path)
        LOG.info("features of %d photos in %s", len(made.images), arguments.features)
    else:
        count = export_delf(arguments.features, arguments.to_delf)
        LOG.info("%d files in %s", count, arguments.to_delf)


if __name__ == "__main__":
    run_command(main)
