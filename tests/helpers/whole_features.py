"""Feature folders whose photos have global descriptors."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.helpers.features import features_of, write_features_folder


def write_whole(folder, names, seed=0, dimension=16, settings=None):
    """Write a feature folder of random global descriptors; return them, by name."""
    rng = np.random.default_rng(seed)
    whole = rng.normal(size=(len(names), dimension))
    whole = (whole / np.linalg.norm(whole, axis=1, keepdims=True)).astype(np.float16)
    local = features_of(np.ones((1, 2)), np.ones((1, 4)))
    photos = {
        name: dataclasses.replace(local, global_descriptor=one) for name, one in zip(names, whole)
    }
    write_features_folder(folder, photos, settings)
    return dict(zip(names, whole.astype(np.float32)))
