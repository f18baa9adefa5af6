"""Verifying the matches of two photos beside scikit-image's RANSAC, as published DELF does it.

Both get the same matches in turn in one process with one thread, and processor time is counted.
Made-up matches have a known truth, so that it can be said how many of the right ones are found;
with features of real photos the most similar pairs are matched, and inliers are counted.

    python benchmarks/bench_pairs.py [--features_path=runs/x/features]
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.measure import ransac
from skimage.transform import AffineTransform

from src.common.errors import UserError, run_command
from src.feature_io import feature_path, read_features, read_manifest
from src.ranking.geometry import VerifySettings, match_descriptors, verify

#: scikit-image, too, takes any map.
ANY_MAP = VerifySettings(max_scale=0)


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


def cpu_seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor time of a call, which other programs do not lengthen, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def known_pair(seed: int, matches: int, right: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return made-up matches, (y, x) in two photos, and which follow an affine map, bool."""
    rng = np.random.default_rng(seed)
    a = rng.uniform(0, 1000, (matches, 2))
    b = rng.uniform(0, 1000, (matches, 2))
    linear = np.eye(2) + 0.15 * rng.normal(size=(2, 2))
    truth = np.zeros(matches, dtype=bool)
    # Scattered: a sampler must not find them by their place in the list.
    truth[rng.permutation(matches)[:right]] = True
    b[truth] = a[truth] @ linear.T + 30 + 3 * rng.normal(size=(right, 2))
    return a, b, truth


def compare_on_known_pairs(matches: int, right: int, repeats: int) -> None:
    """Verify made-up matches of which `right` follow an affine map; print what is found of them."""
    seconds, found, wrong = [], [], []
    for seed in range(repeats):
        a, b, truth = known_pair(seed, matches, right)
        here, ours = cpu_seconds(lambda a=a, b=b: verify(a, b).inliers)
        there, published = cpu_seconds(lambda a=a, b=b: published_verify(a, b))
        seconds.append((here, there))
        found.append((ours[truth].sum(), published[truth].sum()))
        wrong.append((ours[~truth].sum(), published[~truth].sum()))
    here, there = np.median(seconds, axis=0) * 1e3
    print(
        f"{matches} matches, {right} right: {here:.2f} ms, "
        f"{np.mean(found, axis=0)[0]:.1f} right and {np.mean(wrong, axis=0)[0]:.1f} wrong found; "
        f"scikit-image {there:.0f} ms ({there / here:.0f}×), "
        f"{np.mean(found, axis=0)[1]:.1f} and {np.mean(wrong, axis=0)[1]:.1f}"
    )


def compare_on_features(folder: Path, queries: int, pairs: int) -> None:
    """Match `queries` photos of a feature folder with those most alike; print time and inliers."""
    manifest = read_manifest(folder)
    names = [name for name in manifest.names if name not in manifest.failed]
    features = [read_features(feature_path(folder, name)) for name in names]
    features = [one for one in features if len(one)]
    if len(features) < 2:
        raise UserError(f"{folder} holds fewer than two photos with features")
    chosen = np.random.default_rng(0).permutation(len(features))[:queries]
    seconds, inliers, matches = [], [], []
    for number in chosen:
        a = features[number]
        found = [
            match_descriptors(a.descriptors, b.descriptors, 0.8, mutual=True) for b in features
        ]
        alike = np.argsort([-len(one) for one in found], kind="stable")
        for other in [other for other in alike if other != number][:pairs]:
            b, rows = features[other], found[other]
            pair = a.locations[rows[:, 0]], b.locations[rows[:, 1]]
            here, ours = cpu_seconds(lambda p=pair: verify(*p, ANY_MAP).inliers)
            there, published = cpu_seconds(lambda p=pair: published_verify(*p))
            seconds.append((here, there))
            inliers.append((ours.sum(), published.sum()))
            matches.append(len(rows))
    here, there = np.median(seconds, axis=0) * 1e3
    ours, published = np.mean(inliers, axis=0)
    more = np.sum([a >= b for a, b in inliers])
    print(
        f"{len(seconds)} real pairs of {np.median(matches):.0f} matches: {here:.2f} ms, "
        f"{ours:.1f} inliers; scikit-image {there:.0f} ms ({there / here:.0f}×), {published:.1f}; "
        f"as many or more in {more} pairs"
    )


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--features_path", type=Path, help="features of real photos")
    parser.add_argument("--repeats", type=int, default=20, help="made-up pairs (%(default)s)")
    parser.add_argument("--queries", type=int, default=10, help="real photos (%(default)s)")
    parser.add_argument("--pairs", type=int, default=4, help="matched with each (%(default)s)")
    args = parser.parse_args()
    for name in ("repeats", "queries", "pairs"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    cv2.setNumThreads(1)
    compare_on_known_pairs(300, 90, args.repeats)
    compare_on_known_pairs(1000, 100, args.repeats)
    if args.features_path:
        compare_on_features(args.features_path, args.queries, args.pairs)


if __name__ == "__main__":
    run_command(main)
