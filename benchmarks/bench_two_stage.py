"""What a whole search costs at up to a million photos: two stages over packed local features.

    python benchmarks/bench_two_stage.py FEATURES [FEATURES …] --photos 10000 100000 1000000 \
        --work runs/two_stage

FEATURES are feature folders of real photos with global descriptors (`eval.py` leaves them). Photos
beyond those are perturbed copies: global descriptors as in `bench_scale.py`; of the `--features`
local features with the highest scores each descriptor is moved by noise of a tenth of its length
and brought to unit length again, locations stay. They are written into one packed store, an index
in two stages is made of it, and real photos that are not copied are asked for, upright, with the
settings of a search. Nothing can be said of mAP here: copies of one photo are all right.

For each number of photos a line: seconds to index, bytes a photo of the index and of the packed
features, median ms a query warm, cold (a process of its own each, the files dropped from the
system's cache before: posix_fadvise), resident memory of the process that searches, what of that is
its own and no page of a file, and the share of the 100 nearest by exact search of the global
descriptors that the first stage finds. What is made is kept and gone on with.
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
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.bench_scale import BLOCK, COLD_QUERIES, TOP, copies, drop_from_cache, exact
from benchmarks.runs import in_own_process
from src.common.atomic_files import write_json
from src.common.cpus import cpu_count
from src.common.errors import run_command
from src.common.packed_arrays import pack_arrays
from src.common.packed_store import PackedStore, is_packed, record_sum
from src.common.progress import progress
from src.describe.keepers import packing
from src.extract_utils_np import unit_length
from src.feature_io import (
    Features,
    Manifest,
    open_features,
    settings_digest,
    write_manifest,
)
from src.index.build import build_index
from src.index.choice import TWO_STAGE, IndexSettings
from src.index.folder import load_index
from src.ranking.one_query import rank_images
from src.ranking.settings import RetrievalSettings

NOISE = 0.1
_NOISES = 64
SEARCH = RetrievalSettings(query_rotations="0")


def real_features(folders: Sequence[Path], most: int) -> tuple[list[Features], dict[str, Any]]:
    """Return the features of photos that have a global descriptor, the best of each; settings."""
    there = open_features(folders)
    found = []
    for name in progress(list(there.folders), "reading", "photo"):
        features = there.read(name)
        if features is None or features.global_descriptor is None or not len(features):
            continue
        best = np.sort(np.argsort(-features.attention, kind="stable")[:most])
        parts = ("locations", "scales", "descriptors", "attention")
        found.append(replace(features, **{part: getattr(features, part)[best] for part in parts}))
    return found, there.settings


def copied(real: Sequence[Features], count: int) -> Iterator[tuple[str, Features]]:
    """Yield name and features of perturbed copies; a larger number begins with the smaller one's.

    The copy of a global descriptor and of local features are of the same photo.
    """
    whole = np.stack([features.global_descriptor for features in real])
    rng = np.random.default_rng(0)
    most, dimension = max(map(len, real)), real[0].dimension
    noises = rng.standard_normal((_NOISES, most, dimension)).astype(np.float32)
    noises *= NOISE / np.sqrt(dimension)
    for block, vectors in enumerate(copies(whole, count)):
        chosen = np.random.default_rng((0, block)).integers(len(real), size=len(vectors))
        for place, (photo, vector) in enumerate(zip(chosen.tolist(), vectors)):
            features = real[photo]
            noise = noises[(block * BLOCK + place) % _NOISES, : len(features)]
            moved = unit_length(features.descriptors + noise)
            yield (
                f"{block:05}/{place:04}",
                replace(features, descriptors=moved, global_descriptor=vector),
            )


def make_store(
    folder: Path, real: Sequence[Features], settings: dict[str, Any], count: int
) -> None:
    """Write a packed store of so many copies; what is there is kept."""
    if (folder / "features.json").exists():
        return
    there = PackedStore(folder).whole(()) if is_packed(folder) else {}
    names = []
    with packing(folder, settings_digest(settings)) as keeper:
        for name, features in progress(copied(real, count), "packing", "photo", count):
            names.append(name)
            if name not in there:
                record = pack_arrays(features.arrays())
                keeper.append(name, "", record_sum(record), record)
    PackedStore(folder).keep_table()
    write_manifest(folder, Manifest(tuple((name, f"{name}.jpg") for name in names), settings))


def make_index(store: Path, folder: Path) -> float:
    """Build the index of a store; return the seconds that took."""
    note = folder.with_suffix(".json")
    if not note.exists():
        start = time.perf_counter()
        build_index(store, folder, IndexSettings(TWO_STAGE))
        write_json(note, {"seconds": time.perf_counter() - start})
    return json.loads(note.read_text(encoding="utf-8"))["seconds"]


def warm(folder: Path, queries: Sequence[Features]) -> dict[str, Any]:
    """Search in this process; return seconds, memory, and what the first stage finds."""
    index = load_index(folder)
    for query in queries:
        rank_images(index, query, SEARCH, cpu_count())
    seconds = []
    for query in queries:
        start = time.perf_counter()
        rank_images(index, query, SEARCH, cpu_count())
        seconds.append(time.perf_counter() - start)
    names = []
    for query in queries:
        similar = index.similar(query.global_descriptor[None], SEARCH.rerank_images)
        order = np.argsort(-(similar.globals @ query.global_descriptor), kind="stable")[:TOP]
        names.append([index.names[image] for image in similar.images[order].tolist()])
    held = psutil.Process().memory_info()
    own = held.rss - getattr(held, "shared", 0)
    return {"seconds": seconds, "names": names, "memory": held.rss, "own": own}


def cold(folder: Path, query: Features) -> float:
    """Return the seconds of one query in this process, which has read nothing; opening counts."""
    start = time.perf_counter()
    rank_images(load_index(folder), query, SEARCH, cpu_count())
    return time.perf_counter() - start


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", nargs="+", type=Path, help="feature folders")
    parser.add_argument("--photos", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--features", dest="most", type=int, default=300, help="a photo")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--work", type=Path, default=Path("runs/two_stage"))
    given = parser.parse_args(arguments)
    real, settings = real_features(given.features, given.most)
    order = np.random.default_rng(1).permutation(len(real)).tolist()
    queries = [real[i] for i in order[: given.queries]]
    real = [real[i] for i in order[given.queries :]]
    whole = np.stack([features.global_descriptor for features in real])
    asked = np.stack([query.global_descriptor for query in queries])
    print(
        "| photos | index, s | index, bytes a photo | features, bytes a photo | warm, ms "
        "| cold, ms | memory, MB | its own, MB | recall@100 |\n" + "| --- " * 9 + "|"
    )
    for count in sorted(given.photos):
        store, folder = given.work / f"packed-{count}", given.work / f"index-{count}"
        make_store(store, real, settings, count)
        seconds = make_index(store, folder)
        found = in_own_process(warm, folder, queries)
        colds = []
        for query in queries[:COLD_QUERIES]:
            drop_from_cache(folder)
            drop_from_cache(store)
            colds.append(in_own_process(cold, folder, query))
        wanted = exact(whole, count, asked)
        recall = np.mean([len(a & set(b)) / len(a) for a, b in zip(wanted, found["names"])])
        print(
            f"| {count:,} | {seconds:.0f} | {_bytes(folder) / count:.0f} "
            f"| {_bytes(store) / count:.0f} | {1e3 * np.median(found['seconds']):.0f} "
            f"| {1e3 * np.median(colds):.0f} | {found['memory'] / 1e6:.0f} "
            f"| {found['own'] / 1e6:.0f} | {recall:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    run_command(main)
