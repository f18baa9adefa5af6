"""Time of a query, stage by stage, beside the published way of verifying.

A query is: nearest neighbours of its descriptors (FAISS, exact), votes, one RANSAC an image. The
baseline takes the same votes and verifies each image with scikit-image's `ransac`, as published
DELF retrieval does (affine, 20 pixels, at most 1,000 trials). Both see the same pairs in turn, in
one process with one thread, and processor time is counted; the baseline sees a sample of the
images, since it takes minutes a query, and its time is scaled to all.

    python benchmarks/bench_search.py                                  # synthetic features
    python benchmarks/bench_search.py --features_path=runs/x/features  # your own
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import logging
import resource
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, Callable

import cv2
import faiss
import numpy as np
from skimage.measure import ransac
from skimage.transform import AffineTransform

from src.build_feature_dataset import build_index, load_index
from src.errors import UserError, run_command
from src.feature_io import (
    Features,
    Manifest,
    feature_path,
    read_features,
    read_manifest,
    write_features,
    write_manifest,
)
from src.geometry import verify
from src.perform_retrieval import RetrievalSettings, matches_by_image, rank_images

LOG = logging.getLogger(__name__)

VIEWS = 5  # synthetic images of one building
SHARED = 0.15  # share of an image's features that lie on the building


def published_verify(locations_a: np.ndarray, locations_b: np.ndarray) -> np.ndarray:
    """Return the inliers, bool [M], as the published retrieval finds them."""
    nothing = np.zeros(len(locations_a), dtype=bool)
    if len(locations_a) < 4:
        return nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _, inliers = ransac(
                (locations_a, locations_b),
                AffineTransform,
                min_samples=3,
                residual_threshold=20,
                max_trials=1000,
            )
        except (ValueError, np.linalg.LinAlgError):
            return nothing
    return nothing if inliers is None else inliers


def write_synthetic_features(
    folder: Path, images: int, features: int, dimension: int, seed: int = 0
) -> None:
    """Write features of buildings, each seen in `VIEWS` images through affine maps."""
    rng = np.random.default_rng(seed)
    shared = max(3, round(SHARED * features))
    names = [f"building_{image // VIEWS:05d}_{image % VIEWS}" for image in range(images)]
    for image, name in enumerate(names):
        if image % VIEWS == 0:
            points = rng.uniform(0, 1000, (shared, 2))
            looks = rng.normal(size=(shared, dimension))
        linear = np.eye(2) + 0.15 * rng.normal(size=(2, 2))
        seen = points @ linear.T + rng.uniform(-50, 50, 2) + 3 * rng.normal(size=points.shape)
        locations = np.r_[seen, rng.uniform(0, 1000, (features - shared, 2))]
        noisy = looks + 0.4 * rng.normal(size=looks.shape)
        descriptors = np.r_[noisy, rng.normal(size=(features - shared, dimension))]
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        ones = np.ones(features)
        write_features(feature_path(folder, name), Features(locations, ones, descriptors, ones))
    write_manifest(folder, Manifest(tuple((name, f"{name}.jpg") for name in names), {"seed": seed}))


def cpu_seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor time of a call, which other programs do not lengthen, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def compare_on_known_pairs(matches: int, right: int, repeats: int = 10) -> None:
    """Verify made-up matches of which `right` follow an affine map; print what is found of them."""
    seconds, found = [], []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        a = rng.uniform(0, 1000, (matches, 2))
        b = rng.uniform(0, 1000, (matches, 2))
        linear = np.eye(2) + 0.15 * rng.normal(size=(2, 2))
        b[:right] = a[:right] @ linear.T + 30 + 3 * rng.normal(size=(right, 2))
        here, ours = cpu_seconds(lambda a=a, b=b: verify(a, b).inliers)
        there, published = cpu_seconds(lambda a=a, b=b: published_verify(a, b))
        seconds.append((here, there))
        found.append((ours[:right].sum(), published[:right].sum()))
    here, there = np.median(seconds, axis=0) * 1e3
    ours, published = np.mean(found, axis=0)
    print(
        f"{matches} matches, {right} right: {here:.2f} ms, {ours:.0f} found; "
        f"scikit-image {there:.0f} ms ({there / here:.0f}×), {published:.0f} found"
    )


def run(features_folder: Path, index_folder: Path, queries: int, sample: int) -> None:
    """Build the index, run queries, print the table."""
    built, _ = cpu_seconds(lambda: build_index(features_folder, index_folder))
    index = load_index(index_folder)
    settings = RetrievalSettings()
    rng = np.random.default_rng(0)
    names = read_manifest(features_folder).names
    chosen = [names[i] for i in sorted(rng.permutation(len(names))[:queries])]
    query_seconds, voted, pair_seconds = [], [], []
    for name in chosen:
        query = read_features(feature_path(features_folder, name))
        if not len(query):
            continue
        whole, _ = cpu_seconds(lambda query=query: rank_images(index, query, settings))
        search, (_, neighbours) = cpu_seconds(
            lambda query=query: index.nearest(query.descriptors, settings.neighbours)
        )
        query_seconds.append((search, whole - search, whole))
        groups = list(matches_by_image(index, neighbours))
        voted.append(len(groups))
        for number in rng.permutation(len(groups))[:sample]:
            _, from_query, from_index = groups[number]
            pair = query.locations[from_query], np.asarray(index.locations[from_index])
            here, _ = cpu_seconds(lambda pair=pair: verify(*pair, settings.verify))
            there, _ = cpu_seconds(lambda pair=pair: published_verify(*pair))
            pair_seconds.append((here, there))
    if not voted:
        raise UserError(f"none of the {queries} queries from {features_folder} has features")
    search, rest, whole = np.median(query_seconds, axis=0)
    here, there = np.median(pair_seconds, axis=0) * 1e3
    scaled = np.mean(pair_seconds, axis=0)[1] * np.mean(voted)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{index.image_count} images, {index.offsets[-1]} features of {index.dimension} dimensions"
    )
    print(f"index, built             {built:8.2f} s")
    print(f"query, neighbours        {search:8.2f} s")
    print(f"       votes and RANSAC  {rest:8.2f} s  ({np.mean(voted):.0f} images)")
    print(f"       together          {whole:8.2f} s")
    print(f"       RANSAC as published {scaled:6.0f} s  (scaled from {sample} images a query)")
    print(f"pair                     {here:8.2f} ms; {there:.0f} ms as published")
    print(f"peak memory              {memory:8.0f} MB")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--features_path", type=Path, help="features of your own")
    parser.add_argument("--images", type=int, default=200, help="synthetic images (%(default)s)")
    parser.add_argument("--features", type=int, default=1000, help="of an image (%(default)s)")
    parser.add_argument("--dimension", type=int, default=40, help="of a descriptor (%(default)s)")
    parser.add_argument("--queries", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--sample", type=int, default=10, help="pairs a query (%(default)s)")
    args = parser.parse_args()
    for name in ("images", "features", "dimension", "queries", "sample"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    faiss.omp_set_num_threads(1)
    cv2.setNumThreads(1)
    compare_on_known_pairs(300, 90)
    compare_on_known_pairs(1000, 100)
    with tempfile.TemporaryDirectory() as folder:
        features = args.features_path
        if features is None:
            features = Path(folder) / "features"
            write_synthetic_features(features, args.images, args.features, args.dimension)
        run(features, Path(folder) / "index", args.queries, args.sample)


if __name__ == "__main__":
    run_command(main)
