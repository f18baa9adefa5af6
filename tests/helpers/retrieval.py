"""A small world of features to search in, and what is found there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from src.feature_io import Features
from src.index.build import build_index
from src.index.choice import IndexSettings
from src.index.folder import Index, load_index
from src.ranking.query_matches import QueryMatches
from src.ranking.settings import RetrievalSettings
from tests.helpers.features import features_of, write_features_folder

SMALL = RetrievalSettings(neighbours=12, expansion_inliers=15)
ALONE = replace(SMALL, expansion_images=0)
VOTES = replace(ALONE, inlier_weight=0.0)
PLAIN = replace(RetrievalSettings.plain(), neighbours=12)

#: The affine map between the photos of `two_views`, on (x, y).
LINEAR = np.array([[0.9, 0.1], [-0.15, 1.1]])
SHIFT = np.array([12.0, 30.0])


def world(folder: Path, seed: int = 0) -> Path:
    """Write features of two buildings, three views of each, five other photos and a blank one.

    A view sees the building's points through its own affine map, with noisy descriptors, among
    points of its surroundings.
    """
    rng = np.random.default_rng(seed)
    photos = {}
    for building in ("tower", "bridge"):
        points = rng.uniform(100, 600, (40, 2))
        looks = rng.normal(size=(40, 16))
        for number, view in enumerate("abc"):
            linear = np.eye(2) * (1 + 0.3 * number) + 0.1 * number * rng.normal(size=(2, 2))
            seen = points @ linear.T + 30 * number
            around = rng.uniform(0, 1000, (40, 2))
            descriptors = np.r_[looks + 0.35 * rng.normal(size=looks.shape),
                                rng.normal(size=(40, 16))]  # fmt: skip
            photos[f"{building}_{view}"] = features_of(np.r_[seen, around], descriptors)
    for number in range(5):
        photos[f"other_{number}"] = features_of(
            rng.uniform(0, 1000, (80, 2)), rng.normal(size=(80, 16))
        )
    photos["nothing"] = Features.empty(16)
    return write_features_folder(folder, photos)


#: Every kind of index that a test can have, all lists looked into.
KINDS = {
    kind: IndexSettings(kind, lists=4 * (kind != "flat"), probes=4 * (kind != "flat"))
    for kind in ("flat", "ivf", "ivf_fp16", "ivf_sq8", "ivf_pq")
}


def index_of(folder: Path, photos: dict[str, Features], kind: str = "flat") -> Index:
    """Build and open the index of some photos."""
    features = write_features_folder(folder / "features", photos)
    build_index(features, folder / "index", KINDS[kind])
    return load_index(folder / "index")


def ranked_names(index, result):
    """The names of all images, best first."""
    return [index.names[image] for image in result.ranks]


def inlier_pairs(index, query, image, settings=ALONE):
    """The verified matches of a query with an image."""
    match = QueryMatches(index, query, settings)(image)
    return match.locations_a[match.inliers], match.locations_b[match.inliers]


def brute_force(index, query, k, single):
    """Return weights and counts of the votes by image, computed one by one."""
    scores, counts = np.zeros(index.image_count), np.zeros(index.image_count, int)
    for descriptor in query.descriptors.astype(np.float64):
        squared = ((np.asarray(index.descriptors) - descriptor) ** 2).sum(axis=1)
        nearest = np.argsort(squared)[: k + 1]
        seen = set()
        for row in nearest[:k]:
            image = int(np.searchsorted(index.offsets, row, side="right") - 1)
            if single and image in seen:
                continue
            seen.add(image)
            scores[image] += squared[nearest[-1]] - squared[row]
            counts[image] += 1
    return scores, counts


def two_views(seed=0, common=30, own=20):
    """Features of two photos that share `common` points under a known affine map."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(50, 350, (common, 2))  # (x, y)
    looks = rng.normal(size=(common, 24))
    views = []
    for places in (points, points @ LINEAR.T + SHIFT):
        locations = np.r_[places, rng.uniform(0, 400, (own, 2))][:, ::-1]
        noisy = looks + 0.2 * rng.normal(size=looks.shape)
        views.append(features_of(locations, np.r_[noisy, rng.normal(size=(own, 24))]))
    return views
