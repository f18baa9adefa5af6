"""Feature folders of random descriptors, and what an index of them answers."""

from __future__ import annotations

import hashlib
import json
import zlib

import numpy as np

from src.index.choice import IndexSettings
from src.index.folder import load_index
from tests.helpers.features import features_of, list_images, write_features_folder

#: Image → number of features: what a folder lists at first, later, and all it holds.
FIRST = {"a": 30, "b": 0, "c": 50, "d": 17}
LATER = {"a": 30, "aa": 25, "c": 50, "e": 0, "f": 12}
ALL = {"a": 30, "aa": 25, "b": 0, "c": 50, "d": 17, "e": 0, "f": 12}
SMALL_LISTS = IndexSettings("ivf", lists=4, probes=4)
#: Every kind, small; all lists are looked into. Product quantisation wants 256 features.
ALL_KINDS = {"flat": IndexSettings("flat")} | {
    kind: IndexSettings(kind, lists=4, probes=4, growth=100)
    for kind in ("ivf", "ivf_fp16", "ivf_sq8", "ivf_pq")
}


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


def as_old_format(index_folder):
    """Describe an index as it was before there were sums: by checksums of samples of its files."""
    path = index_folder / "index.json"
    content = json.loads(path.read_text())
    for name, known in content["files"].items():
        whole = (index_folder / name).read_bytes()[: known["bytes"]]
        last = max(0, len(whole) - 4096)
        checksum = zlib.crc32(str(len(whole)).encode())
        for offset in sorted({last * i // 15 for i in range(16)}):
            checksum = zlib.crc32(whole[offset : offset + 4096], checksum)
        content["files"][name] = {"bytes": len(whole), "checksum": checksum}
    content["format"] = 2
    for key in ("digest", "block_bytes"):
        content.pop(key, None)
    path.write_text(json.dumps(content))


def contents(folder):
    """File name → bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def answers(index_folder, k=40):
    """What a search sees of an index."""
    return answers_of(load_index(index_folder), k)


def answers_digest(index):
    """A digest of what a search sees of an opened index."""
    parts = (np.ascontiguousarray(part).tobytes() for part in answers_of(index))
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def answers_of(index, k=40):
    """What a search sees of an opened index."""
    rng = np.random.default_rng(3)
    queries = rng.normal(size=(25, index.dimension)).astype(np.float32)
    rows = rng.permutation(len(index.descriptors))[:20]
    return [
        np.array(index.names),
        index.offsets,
        index.images_of(np.arange(len(index.descriptors))),
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
