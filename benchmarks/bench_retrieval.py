"""A whole query, searched, voted and verified, beside the published way, at growing collections.

The baseline is written from the published description of DELF retrieval: Annoy with 10 trees, 60
neighbours for each descriptor of the query, scikit-image's RANSAC (affine, 20 pixels, 1,000 trials)
for every image with a vote. It takes half an hour a query at 5,000 photos, so it verifies a sample
of the images and the time is scaled to all; everything else is done in full. Both see the same
queries in turn, in one process; ours uses `--threads`, the baseline one thread, as published.

Features are made up (`synthetic_features.py`); queries are further views of buildings that stand in
the collection. Ours is measured with the descriptors in float32 and compressed.

    pip install annoy==1.17.3
    python benchmarks/bench_retrieval.py --photos 5000
    python benchmarks/bench_retrieval.py --photos 500 1000 2000 5000 10000 20000 \\
        --baseline_up_to 5000 --plot docs/search_cost.png
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
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np

from benchmarks.bench_index import NEIGHBOURS, build, in_own_process, recall, search
from benchmarks.bench_pairs import published_verify
from benchmarks.synthetic_features import VIEWS, FeatureWorld
from src.common.atomic_files import write_json
from src.common.errors import UserError, run_command
from src.evaluation.metrics import average_precision
from src.feature_io import Features
from src.index.choice import IndexSettings
from src.index.folder import Index, load_index
from src.ranking.one_query import rank_images
from src.ranking.settings import RetrievalSettings

KINDS = {"float32": "ivf", "compressed": "ivf_sq8"}
TREES = 10


class Published:
    """The baseline: an Annoy index, and what is verified for a query."""

    def __init__(self, index: Index, threads: int):
        try:
            from annoy import AnnoyIndex
        except ImportError:
            raise UserError("the baseline needs Annoy: pip install annoy==1.17.3") from None
        self._index = index
        started = time.perf_counter()
        self._annoy = AnnoyIndex(index.dimension, "euclidean")
        self._annoy.set_seed(0)
        for row in range(len(index.descriptors)):
            self._annoy.add_item(row, index.descriptors[row : row + 1][0])
        self._annoy.build(TREES, n_jobs=threads)
        self.build_seconds = time.perf_counter() - started

    def query(self, features: Features, sample: int, seed: int) -> dict[str, float]:
        """Search, vote, verify a sample of the voted images; return seconds, scaled to all."""
        wall, cpu = time.perf_counter(), time.process_time()
        neighbours = [
            self._annoy.get_nns_by_vector(descriptor, NEIGHBOURS)
            for descriptor in features.descriptors
        ]
        votes: dict[int, list[tuple[int, int]]] = {}
        for row, found in enumerate(neighbours):
            for other in found:
                votes.setdefault(int(self._index.images_of(other)), []).append((row, other))
        searched = time.perf_counter() - wall, time.process_time() - cpu
        images = sorted(votes)
        chosen = np.random.default_rng(seed).permutation(len(images))[:sample]
        wall, cpu = time.perf_counter(), time.process_time()
        for position in chosen:
            ours, theirs = np.array(votes[images[position]]).T
            published_verify(features.locations[ours], self._index.locations[theirs])
        scale = len(images) / max(1, len(chosen))
        return {
            "wall": searched[0] + (time.perf_counter() - wall) * scale,
            "cpu": searched[1] + (time.process_time() - cpu) * scale,
            "search": searched[0],
            "images": len(images),
        }


def timed(function: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall seconds, processor seconds and the result of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def precision_of(ranks: np.ndarray, building: int) -> float:
    """Return the average precision of a query whose building's views are the positives."""
    found = np.flatnonzero(ranks // VIEWS == building)
    return average_precision(found, len(found))


def measure(photos: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Build everything for a number of photos, run the queries in turn, print and return."""
    world = FeatureWorld(photos, args.features, args.dimension)
    world.write(folder / "features")
    chosen = np.linspace(0, photos // VIEWS - 1, args.queries).astype(int)
    queries = [world.query(int(building)) for building in chosen]
    descriptors = [query.descriptors for query in queries]
    result: dict[str, Any] = {"photos": photos}
    indexes: dict[str, Index] = {}
    for name, kind in KINDS.items():
        path = str(folder / name)
        settings = IndexSettings(kind)
        result[name] = in_own_process(build, str(folder / "features"), path, settings, args.threads)
        result[name].update(in_own_process(search, path, descriptors, 1, args.threads))
        result[name]["recall"] = recall(path, descriptors, result[name].pop("found"), 60)
        indexes[name] = load_index(path)
        rank_images(indexes[name], queries[0], threads=args.threads)  # pages come from the disk
    published = None
    if photos <= args.baseline_up_to:
        published = Published(indexes["float32"], args.threads)
        result["published"] = {"build_seconds": published.build_seconds}
    for name, measured in run_queries(queries, chosen, indexes, published, args).items():
        if measured:
            medians = {key: statistics.median(run[key] for run in measured) for key in measured[0]}
            result[name].update(medians)
            if name != "published":
                result[name]["mAP"] = float(np.mean([run["precision"] for run in measured]))
    report(result)
    return result


def run_queries(
    queries: Sequence[Features],
    buildings: Sequence[int],
    indexes: dict[str, Index],
    published: Published | None,
    args: argparse.Namespace,
) -> dict[str, list[dict[str, float]]]:
    """Return the figures of each query and round, of all kinds in turn."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in (*KINDS, "published")}
    settings = RetrievalSettings()
    for round_number in range(args.rounds):
        for query, building in zip(queries, buildings):
            for name, index in indexes.items():
                wall, cpu, ranked = timed(
                    lambda index=index, query=query: rank_images(
                        index, query, settings, threads=args.threads
                    )
                )
                precision = precision_of(ranked.ranks, building)
                runs[name].append(
                    {"wall": wall, "cpu": cpu, "search": ranked.seconds[0], "precision": precision}
                )
            if published and round_number < args.baseline_rounds:
                runs["published"].append(published.query(query, args.sample, int(building)))
    return runs


def report(result: dict[str, Any]) -> None:
    """Print the figures of one number of photos."""
    print(f"\n{result['photos']} photos")
    for name in KINDS:
        part = result[name]
        print(
            f"  {name:10} query {part['wall']:.3f} s ({part['cpu']:.3f} CPU s), neighbours "
            f"{part['search']:.3f} s; recall@60 {part['recall']:.3f}, mAP {part['mAP']:.3f}; "
            f"memory {part['memory_mb']:.0f} MB; built in {part['build_seconds']:.0f} s"
        )
    if "published" in result:
        part, ours = result["published"], result["float32"]
        print(
            f"  published  query {part['wall']:.0f} s ({part['images']:.0f} images verified), "
            f"neighbours {part['search']:.2f} s; built in {part['build_seconds']:.0f} s; "
            f"{part['wall'] / ours['wall']:.0f}× ours, {part['cpu'] / ours['cpu']:.0f}× in CPU time"
        )


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw time, memory and build time over the number of photos."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.8), constrained_layout=True)
    panels = (
        ("wall", "seconds a query"),
        ("memory_mb", "MB in memory"),
        ("build_seconds", "seconds to build"),
    )
    styles = {"float32": "o-", "compressed": "s--", "published": "^:"}
    for axis, (key, label) in zip(axes, panels):
        for name, style in styles.items():
            points = [(r["photos"], r[name][key]) for r in results if key in r.get(name, {})]
            if points:
                axis.plot(*zip(*points), style, label=name)
        axis.set(xscale="log", yscale="log", xlabel="photos of 1,000 features", ylabel=label)
        axis.grid(True, which="both", alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[500], help="(%(default)s)")
    parser.add_argument("--features", type=int, default=1000, help="of a photo (%(default)s)")
    parser.add_argument("--dimension", type=int, default=40, help="of a descriptor (%(default)s)")
    parser.add_argument("--queries", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of all queries (%(default)s)")
    parser.add_argument("--baseline_rounds", type=int, default=1, help="(%(default)s)")
    parser.add_argument(
        "--sample", type=int, default=20, help="images the baseline verifies (%(default)s)"
    )
    parser.add_argument(
        "--baseline_up_to", type=int, default=5000, help="photos; more without it (%(default)s)"
    )
    parser.add_argument("--threads", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--work_path", type=Path, help="where the files go (a temporary folder)")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    parser.add_argument("--plot", type=Path, help="picture of the costs")
    args = parser.parse_args()
    faiss.omp_set_num_threads(args.threads)
    cv2.setNumThreads(1)
    results = []
    for photos in args.photos:
        with tempfile.TemporaryDirectory(dir=args.work_path) as folder:
            results.append(measure(photos, args, Path(folder)))
        if args.output:
            write_json(args.output, results)
    if args.plot:
        plot(results, args.plot)


if __name__ == "__main__":
    run_command(main)
