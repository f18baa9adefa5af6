"""Features of another program as a feature folder, which can be indexed and searched."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.feature_io import (
    Features,
    Manifest,
    feature_path,
    features_checksum,
    write_features,
    write_manifest,
)
from src.photos.names import without_suffix


def import_features(found: Mapping[str, Features], folder: PathLike, source: str) -> Manifest:
    """Make a feature folder.

    Args:
        found: by the names of the photos' files.
        folder: to be made; it may be there and empty.
        source: what they are of, for the manifest.

    Raises:
        UserError: there is something in the folder, the descriptors are of several lengths, or two
            photos differ by their suffix only.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already and not empty; give another folder")
    lengths = sorted({features.dimension for features in found.values() if len(features)})
    if len(lengths) > 1:
        raise UserError(f"the {source} has descriptors of {lengths} numbers; give one kind")
    files: dict[str, str] = {}
    for file in found:
        path = Path(file)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"the {source} names a photo {file!r}, outside of its folder")
        other = files.setdefault(without_suffix(file), file)
        if other != file:
            raise UserError(f"the {source} has {other} and {file}; rename one of them")
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        features = found[file] if len(found[file]) else Features.empty(lengths[0] if lengths else 0)
        path = feature_path(folder, name)
        write_features(path, features)
        digest.update(f"{name}\0{features_checksum(path)}\n".encode())
    settings = {"source": source, "features": digest.hexdigest()[:16]}
    manifest = Manifest(tuple(sorted(files.items())), settings)
    write_manifest(folder, manifest)
    return manifest
