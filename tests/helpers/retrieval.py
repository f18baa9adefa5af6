"""A small world of features to search in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from src.feature_io import Features, Manifest, feature_path, write_features, write_manifest


def features_of(locations, descriptors):
    descriptors = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    ones = np.ones(len(locations))
    return Features(locations, ones, descriptors, ones)


def world(folder: Path, seed: int = 0) -> Path:
    """Write features of two buildings, three views of each, five other photos and a blank one.

    A view sees the building's points through its own affine map, with noisy descriptors, among
    points of its surroundings.
    """
    rng = np.random.default_rng(seed)
    names = []
    for building in ("tower", "bridge"):
        points = rng.uniform(100, 600, (40, 2))
        looks = rng.normal(size=(40, 16))
        for number, view in enumerate("abc"):
            linear = np.eye(2) * (1 + 0.3 * number) + 0.1 * number * rng.normal(size=(2, 2))
            seen = points @ linear.T + 30 * number
            around = rng.uniform(0, 1000, (40, 2))
            descriptors = np.r_[looks + 0.35 * rng.normal(size=looks.shape),
                                rng.normal(size=(40, 16))]  # fmt: skip
            name = f"{building}_{view}"
            write_features(
                feature_path(folder, name), features_of(np.r_[seen, around], descriptors)
            )
            names.append(name)
    for number in range(5):
        name = f"other_{number}"
        random = features_of(rng.uniform(0, 1000, (80, 2)), rng.normal(size=(80, 16)))
        write_features(feature_path(folder, name), random)
        names.append(name)
    write_features(feature_path(folder, "nothing"), Features.empty(16))
    names.append("nothing")
    images = tuple((name, f"{name}.jpg") for name in sorted(names))
    write_manifest(folder, Manifest(images, {"made": "for a test"}))
    return folder


def folder_of(folder: Path, photos: dict[str, Features]) -> Path:
    """Write a feature folder of some photos."""
    for name, features in photos.items():
        write_features(feature_path(folder, name), features)
    images = tuple((name, f"{name}.jpg") for name in sorted(photos))
    write_manifest(folder, Manifest(images, {"made": "for a test"}))
    return folder
