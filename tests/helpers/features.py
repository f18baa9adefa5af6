"""Features, and folders of them, as the extraction leaves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.feature_io import Features, Manifest, feature_path, write_features, write_manifest


def features_of(locations: np.ndarray, descriptors: np.ndarray) -> Features:
    """Features of scale and attention 1; the descriptors are brought to unit length."""
    descriptors = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    ones = np.ones(len(locations))
    return Features(locations, ones, descriptors, ones)


def write_features_folder(
    folder: Path,
    photos: Mapping[str, Features],
    settings: Mapping[str, Any] | None = None,
    failed: Iterable[str] = (),
) -> Path:
    """Write a feature folder of some photos, and of some that cannot be read."""
    for name, features in photos.items():
        write_features(feature_path(folder, name), features)
    list_images(folder, {*photos, *failed}, settings or {"made": "for a test"}, failed)
    return folder


def list_images(
    folder: Path, names: Iterable[str], settings: Mapping[str, Any], failed: Iterable[str] = ()
) -> None:
    """Let the manifest of a feature folder list these images."""
    images = tuple((name, f"{name}.jpg") for name in sorted(names))
    reasons = dict.fromkeys(failed, "cannot be read")
    write_manifest(folder, Manifest(images, dict(settings), reasons))
