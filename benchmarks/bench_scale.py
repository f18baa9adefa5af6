"""What a search costs at ten thousand to a million photos: the first of two stages, measured.

    python benchmarks/bench_scale.py FEATURES [FEATURES …] --photos 10000 100000 1000000 \
        --work runs/scale --plot docs/scale_cost.png

FEATURES are feature folders of real photos with global descriptors (`eval.py` leaves them). Photos
beyond those are perturbed copies: unit(v + s · n), v the descriptor of a real photo drawn at
random, n a normal vector with the covariance of the real ones, s such that the cosine of copy and
original is that of a photo and its third nearest among the real ones, in the median. Queries are
real photos that are not copied. Recall is the share of the 100 nearest by exact search (float32,
all photos) that the store finds, over `--queries` queries. Cold: the store's files are dropped from
the system's cache (posix_fadvise) before each of ten queries.

For each number of photos a line: kind, build time, bytes on the disk, resident memory of the
process that searches, median ms a query warm and cold, recall@100. The build is resumable: the same
command goes on where it was stopped.
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
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import psutil

from benchmarks.runs import in_own_process
from src.common.atomic_files import atomic_path, write_json
from src.common.errors import UserError, run_command
from src.extract_utils_np import unit_length
from src.index.stores.filling import Described, read_folders
from src.index.stores.opening import open_store
from src.index.stores.settings import StoreSettings

BLOCK = 10_000
TOP = 100
COLD_QUERIES = 10


def real_descriptors(folders: Sequence[Path]) -> tuple[np.ndarray, Described]:
    """Return the global descriptors of feature folders, float32 [N, G], and the first folder."""
    described = read_folders(folders)
    vectors = [vector for folder in described for vector in folder.vectors(folder.names)[1]]
    if len(vectors) < 2 * TOP:
        raise UserError(f"{len(vectors)} photos have a global descriptor; give {2 * TOP} or more")
    return np.stack(vectors).astype(np.float32), described[0]


def spread(real: np.ndarray) -> tuple[np.ndarray, float]:
    """Return noise directions [G, G] (n = z @ them) and how far copies are moved along them."""
    centred = real - real.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(real))
    directions = (vectors * np.sqrt(np.maximum(values, 0))).T.astype(np.float32)
    sample = real[: min(len(real), 2000)]
    cosines = np.sort(sample @ sample.T, axis=1)[:, -4]
    target = float(np.median(cosines))
    length = float(np.sqrt(np.maximum(values, 0).sum()))
    return directions, float(np.sqrt(1 / target**2 - 1) / length)


def copies(real: np.ndarray, count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield blocks of perturbed copies; a larger number of photos begins with the smaller one's."""
    directions, far = spread(real)
    for block in range(-(-count // BLOCK)):
        rng = np.random.default_rng((seed, block))
        size = min(BLOCK, count - block * BLOCK)
        chosen = real[rng.integers(len(real), size=size)]
        noise = rng.standard_normal((size, len(directions))).astype(np.float32) @ directions
        yield unit_length(chosen + far * noise)


def build(
    folder: Path, real: np.ndarray, count: int, made: dict[str, Any], settings: StoreSettings
) -> float:
    """Fill a store; return the seconds that took, 0 where it was there."""
    note = folder.with_suffix(".json")
    if note.exists():
        return json.loads(note.read_text(encoding="utf-8"))["seconds"]
    start = time.perf_counter()
    with open_store(settings, folder, made, real.shape[1]) as store:
        for number, block in enumerate(copies(real, count)):
            names = [f"{number:05}/{i:04}" for i in range(len(block))]
            sums = ["copy"] * len(names)
            new = store.absent(names, sums)
            if new:
                store.add([names[i] for i in new], block[new], [sums[i] for i in new])
        store.flush()
    seconds = time.perf_counter() - start
    write_json(note, {"seconds": seconds})
    return seconds


def exact(real: np.ndarray, count: int, queries: np.ndarray) -> list[set[str]]:
    """Return the names of the `TOP` nearest copies of each query, by exact search."""
    scores = np.zeros((len(queries), 0), np.float32)
    places = np.zeros((len(queries), 0), np.int64)
    for number, block in enumerate(copies(real, count)):
        # As they are kept.
        stored = block.astype(np.float16).astype(np.float32)
        scores = np.concatenate([scores, queries @ stored.T], axis=1)
        here = np.broadcast_to(np.arange(len(block)) + number * BLOCK, (len(queries), len(block)))
        places = np.concatenate([places, here], axis=1)
        best = np.argpartition(-scores, min(TOP, scores.shape[1]) - 1, axis=1)[:, :TOP]
        scores = np.take_along_axis(scores, best, axis=1)
        places = np.take_along_axis(places, best, axis=1)
    return [{f"{p // BLOCK:05}/{p % BLOCK:04}" for p in row} for row in places.tolist()]


def searched(
    folder: Path, made: dict[str, Any], settings: StoreSettings, queries: np.ndarray
) -> dict[str, Any]:
    """Search a store in this process; return times, names, memory and what the store says."""
    process = psutil.Process()
    with open_store(settings, folder, made, queries.shape[1]) as store:
        found = [store.nearest(query[None], TOP)[0].names for query in queries]  # and warms
        warm = []
        for query in queries:
            start = time.perf_counter()
            store.nearest(query[None], TOP)
            warm.append(time.perf_counter() - start)
        memory = process.memory_info().rss
        about = store.describe()
    cold = []
    for query in queries[:COLD_QUERIES]:
        drop_from_cache(folder)
        with open_store(settings, folder, made, queries.shape[1]) as store:
            start = time.perf_counter()
            store.nearest(query[None], TOP)
            cold.append(time.perf_counter() - start)
    return {
        "names": found,
        "warm": float(np.median(warm)),
        "cold": float(np.median(cold)),
        "memory": memory,
        "about": about,
    }


def drop_from_cache(folder: Path) -> None:
    """Let the system forget what it has read of a folder's files."""
    for path in folder.rglob("*"):
        if path.is_file() and hasattr(os, "posix_fadvise"):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(
    folders: Sequence[Path], count: int, work: Path, query_count: int, settings: StoreSettings
) -> dict[str, Any]:
    """Build the store of so many photos, search it, and return what it costs."""
    real, first = real_descriptors(folders)
    order = np.random.default_rng(1).permutation(len(real))
    queries, real = real[order[:query_count]], real[order[query_count:]]
    folder = work / f"store-{count}-{query_count}"  # queries are not copied
    seconds = build(folder, real, count, dict(first.made_with), settings)
    result = in_own_process(searched, folder, dict(first.made_with), settings, queries)
    wanted = exact(real, count, queries)
    shares = [len(a & set(b)) / len(a) for a, b in zip(wanted, result.pop("names"))]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"photos": count, "build": seconds, "bytes": size, "recall": np.mean(shares), **result}


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw what a search costs against the number of photos."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    photos = [row["photos"] for row in rows]
    parts = {
        "ms a query, warm": [1e3 * row["warm"] for row in rows],
        "ms a query, cold": [1e3 * row["cold"] for row in rows],
        "memory of the process, MB": [row["memory"] / 1e6 for row in rows],
        "on the disk, MB": [row["bytes"] / 1e6 for row in rows],
        "build, s": [row["build"] for row in rows],
    }
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for name, values in parts.items():
        axes.plot(photos, values, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="photos", title="Global descriptors in a folder")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", nargs="+", type=Path, help="feature folders")
    parser.add_argument("--photos", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--work", type=Path, default=Path("runs/scale"))
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--memory", type=int, default=StoreSettings.memory, help="MB")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args(arguments)
    settings = StoreSettings(memory=given.memory)
    print("| photos | kind | build, s | disk, MB | memory, MB | warm, ms | cold, ms | recall@100 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for count in sorted(given.photos):
        row = measure(given.features, count, given.work, given.queries, settings)
        rows.append(row)
        print(
            f"| {count:,} | {row['about']['search']} "
            f"| {row['build']:.0f} | {row['bytes'] / 1e6:.0f} | {row['memory'] / 1e6:.0f} "
            f"| {1e3 * row['warm']:.1f} | {1e3 * row['cold']:.1f} | {row['recall']:.3f} |",
            flush=True,
        )
    if given.plot:
        plot(rows, given.plot)


if __name__ == "__main__":
    run_command(main)
