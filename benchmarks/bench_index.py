"""The index at growing numbers of photos: build, memory, time of a query's neighbours, recall.

Features are made up (`synthetic_features.py` says how, and how they compare with real ones), the
queries are views that are not in the index, with 1,000 descriptors and 60 neighbours each. Building
and searching run in processes of their own, so that their memory can be told: of the search, what
it adds to the process, divided into its own (anonymous) memory and pages of the index's files. Both
count, since a search from the disk would be slow. Recall is the share of the exact 60 nearest, by
FAISS's exact comparison of some of the descriptors with all.

    python benchmarks/bench_index.py                                   # 200 and 1,000 photos
    python benchmarks/bench_index.py --photos 500 5000 20000 --kinds ivf ivf_sq8 --output index.json
    python benchmarks/bench_index.py --features_path=runs/x/features   # your own; queries from it
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
import gc
import logging
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil

from benchmarks.runs import in_own_process
from benchmarks.synthetic_features import FeatureWorld
from src.common.atomic_files import write_json
from src.common.errors import run_command
from src.feature_io import feature_path, read_features, read_manifest
from src.index.build import build_index
from src.index.choice import KINDS, IndexSettings
from src.index.folder import Index, load_index

NEIGHBOURS = 60
_MB = 2**20
_BLOCK = 65_536
_HEADER = (
    "     rows kind      lists probes  build s    cpu s  peak MB  query s    cpu s   RSS MB"
    "  file MB  recall"
)


def build(features: str, folder: str, settings: IndexSettings, threads: int) -> dict[str, Any]:
    """Build an index; return seconds and the peak of anonymous memory."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    faiss.omp_set_num_threads(threads)
    before = own_memory()
    peak, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        build_index(features, folder, settings)
    finally:
        done.set()
        watcher.join()
    return {
        "build_seconds": time.perf_counter() - wall,
        "build_cpu_seconds": time.process_time() - cpu,
        "build_peak_mb": (peak[0] - before) / _MB,
    }


def own_memory() -> int:
    """Return the bytes of this process that are not pages of files."""
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


def search(folder: str, queries: list[np.ndarray], rounds: int, threads: int) -> dict[str, Any]:
    """Search an index; return the time of a query, memory added, and the rows found."""
    faiss.omp_set_num_threads(threads)
    gc.collect()
    before = psutil.Process().memory_info()
    opening = time.perf_counter()
    index = load_index(folder)
    opening = time.perf_counter() - opening
    index.nearest(queries[0], NEIGHBOURS)  # pages come from the disk
    wall, cpu, found = [], [], {}
    for _ in range(rounds):
        for number, query in enumerate(queries):
            started = time.perf_counter(), time.process_time()
            found[number] = index.nearest(query, NEIGHBOURS)[1]
            wall.append(time.perf_counter() - started[0])
            cpu.append(time.process_time() - started[1])
    after = psutil.Process().memory_info()
    return {
        "open_seconds": opening,
        "query_seconds": float(np.median(wall)),
        "query_seconds_best": float(np.min(wall)),
        "query_cpu_seconds": float(np.median(cpu)),
        "memory_mb": (after.rss - before.rss) / _MB,
        "file_mb": (after.shared - before.shared) / _MB,
        "found": found,
        "search": index.description["search"],
        "rows": int(index.offsets[-1]),
    }


def exact(folder: str, queries: np.ndarray) -> np.ndarray:
    """Return the exact neighbours, a block of the descriptors at a time."""
    index: Index = load_index(folder)
    squares = np.zeros((len(queries), 0), dtype=np.float32)
    rows = np.zeros((len(queries), 0), dtype=np.int64)
    for start in range(0, len(index.descriptors), _BLOCK):
        block = np.ascontiguousarray(index.descriptors[start : start + _BLOCK])
        found = faiss.knn(queries, block, min(NEIGHBOURS, len(block)))
        squares = np.concatenate([squares, found[0]], axis=1)
        rows = np.concatenate([rows, found[1] + start], axis=1)
        order = np.argsort(squares, axis=1, kind="stable")[:, :NEIGHBOURS]
        squares = np.take_along_axis(squares, order, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
    return rows


def recall(
    folder: str, queries: list[np.ndarray], found: dict[int, np.ndarray], count: int
) -> float:
    """Return the share of the exact neighbours among those found, of `count` rows a query.

    Args:
        folder: the index.
        queries: descriptors of each.
        found: number of a query → its rows of neighbours.
        count: how many descriptors of each query are compared, evenly chosen.
    """
    picked = [np.linspace(0, len(query) - 1, count).astype(int) for query in queries]
    wanted = exact(folder, np.concatenate([q[p] for q, p in zip(queries, picked)]))
    rows = np.concatenate([found[number][p] for number, p in enumerate(picked)])
    hits = [len(np.intersect1d(a, b)) for a, b in zip(wanted, rows)]
    return float(np.mean(hits) / wanted.shape[1])


def disk_mb(folder: Path) -> dict[str, float]:
    """Return the sizes of an index's files by what they hold."""
    sizes: dict[str, float] = {}
    for path in folder.iterdir():
        kind = path.name.split("-")[0].split(".")[0]
        sizes[kind] = sizes.get(kind, 0) + path.stat().st_size / _MB
    return sizes


def measure(
    features: Path, queries: list[np.ndarray], settings: IndexSettings, args: argparse.Namespace
) -> dict[str, Any]:
    """Build and search one index; print a line, return the figures."""
    with tempfile.TemporaryDirectory(dir=args.work_path) as folder:
        index = Path(folder) / "index"
        result = in_own_process(build, str(features), str(index), settings, args.threads)
        result.update(in_own_process(search, str(index), queries, args.rounds, args.threads))
        result["disk_mb"] = disk_mb(index)
        result["recall"] = recall(str(index), queries, result.pop("found"), args.exact)
    plan, probes = result["search"]["plan"], result["search"]["probes"]
    print(
        f"{result['rows']:>9} {plan['kind']:8} {plan['lists']:>6} {probes:>6} "
        f"{result['build_seconds']:8.1f} {result['build_cpu_seconds']:8.1f} "
        f"{result['build_peak_mb']:8.0f} "
        f"{result['query_seconds']:8.3f} {result['query_cpu_seconds']:8.3f} "
        f"{result['memory_mb']:8.0f} {result['file_mb']:8.0f} {result['recall']:7.3f}",
        flush=True,
    )
    return result


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--features_path", type=Path, help="features of your own")
    parser.add_argument("--photos", type=int, nargs="+", default=[200, 1000], help="(%(default)s)")
    parser.add_argument("--features", type=int, default=1000, help="of a photo (%(default)s)")
    parser.add_argument("--dimension", type=int, default=40, help="of a descriptor (%(default)s)")
    parser.add_argument("--uniform", action="store_true", help="without clusters: hardest")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=["auto", "ivf", "ivf_sq8"],
        help="(%(default)s)",
    )
    parser.add_argument("--memory", type=int, default=IndexSettings.memory, help="MB, of auto")
    parser.add_argument("--probes", type=int, default=0, help="0: measured (%(default)s)")
    parser.add_argument("--recall", type=float, default=IndexSettings.recall, help="(%(default)s)")
    parser.add_argument("--queries", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of all queries (%(default)s)")
    parser.add_argument("--exact", type=int, default=60, help="descriptors of a query whose recall "
                        "is measured (%(default)s)")  # fmt: skip
    parser.add_argument("--threads", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--work_path", type=Path, help="where the files go (a temporary folder)")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    args = parser.parse_args()
    for name in ("features", "dimension", "queries", "rounds", "exact", "threads"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    print(_HEADER)
    results = []
    for photos in [0] if args.features_path else args.photos:
        with tempfile.TemporaryDirectory(dir=args.work_path) as folder:
            features, queries = args.features_path, []
            if features is None:
                features = Path(folder)
                world = FeatureWorld(photos, args.features, args.dimension, uniform=args.uniform)
                world.write(features)
                chosen = np.linspace(0, world.buildings - 1, args.queries).astype(int)
                queries = [world.query(int(building)).descriptors for building in chosen]
            else:
                names = read_manifest(features).names
                for i in np.linspace(0, len(names) - 1, args.queries).astype(int):
                    queries.append(read_features(feature_path(features, names[i])).descriptors)
            for kind in args.kinds:
                settings = IndexSettings(
                    kind, args.memory, probes=args.probes, recall=args.recall
                )  # fmt: skip
                result = measure(features, queries, settings, args)
                result.update(photos=photos, asked=kind, uniform=args.uniform)
                results.append(result)
    if args.output:
        write_json(args.output, results)


if __name__ == "__main__":
    run_command(main)
