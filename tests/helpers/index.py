"""Feature folders of random descriptors, and what an index of them answers."""

from __future__ import annotations

import numpy as np

from src.index.choice import IndexSettings
from src.index.folder import load_index
from tests.helpers.features import features_of, list_images, write_features_folder

#: Image → number of features: what a folder lists at first, later, and all it holds.
FIRST = {"a": 30, "b": 0, "c": 50, "d": 17}
LATER = {"a": 30, "aa": 25, "c": 50, "e": 0, "f": 12}
ALL = {"a": 30, "aa": 25, "b": 0, "c": 50, "d": 17, "e": 0, "f": 12}
SMALL_LISTS = IndexSettings("ivf", lists=4, probes=4)


def write_folder(folder, counts, seed=0, dimension=8, settings=None, failed=()):
    """Write a feature folder: image name → number of features; return those written, by name."""
    rng = np.random.default_rng(seed)
    written = {}
    for name, count in sorted(counts.items()):
        descriptors = rng.normal(size=(count, dimension))
        features = features_of(rng.uniform(0, 500, (count, 2)), descriptors)
        if name not in failed:
            written[name] = features
    write_features_folder(folder, written, settings or {"pca_dim": dimension}, failed)
    return written


def list_some(folder, names):
    """Let the manifest of a folder that `write_folder` has made list some of its images."""
    list_images(folder, names, {"pca_dim": 8})


def contents(folder):
    """File name → bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def answers(index_folder, k=40):
    """What a search sees of an index."""
    index = load_index(index_folder)
    rng = np.random.default_rng(3)
    queries = rng.normal(size=(25, index.dimension)).astype(np.float32)
    rows = rng.permutation(len(index.descriptors))[:20]
    return [
        np.array(index.names),
        index.offsets,
        index.image_of,
        index.extents,
        *index.nearest(queries, k),
        index.descriptors[:],
        np.asarray(index.locations),
        index.locations[rows],
        index.descriptors[rows[:, None], 1],
        *(index.descriptors[a:b] for a, b in zip(index.offsets[:-1], index.offsets[1:])),
    ]


def assert_same_answers(one, two):
    for found, expected in zip(answers(one), answers(two)):
        if found.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, atol=1e-5)
        else:
            np.testing.assert_array_equal(found, expected)
