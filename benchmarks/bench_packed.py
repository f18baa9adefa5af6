"""What packing features costs and saves: mAP, bytes a photo, time to read them.

    python benchmarks/bench_packed.py --set dev=PHOTOS,GROUND_TRUTH [--set …] --work WORK \
        --checkpoint_path=WEIGHTS [--name=value …]

Photos are described as by `quality.py`, into the same folders; the features of the images and of
the queries are packed, and each set is ranked twice, with the files and with the packed stores, by
the same settings, queries upright: by local features alone, and with global descriptors. The
queries' own photos are junk, the difference is paired by query. Features are read in shuffled
order, files and store in turn, from a warm disk.
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
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.quality import (
    Query,
    Scores,
    add_set_arguments,
    ranked_by,
    settings_of_sets,
    without_queries,
)
from src.common.errors import run_command
from src.common.progress import progress
from src.describe.merge import merge
from src.evaluation.metrics import evaluate
from src.evaluation.protocols import Benchmark
from src.evaluation.retrieval import DescribedPhotos, describe_photos, read_questions
from src.evaluation.settings import EvaluationSettings
from src.feature_io import feature_path, open_features, read_features
from src.index.build import build_index
from src.index.folder import load_index

_ROUNDS = 5


def packed(folder: Path, where: Path) -> Path:
    """Pack a feature folder, once."""
    merge([folder], where / folder.name)
    return where / folder.name


def precisions(
    features: Sequence[Path],
    queries: Path,
    photos: DescribedPhotos,
    settings: EvaluationSettings,
    benchmark: Benchmark,
    rankings: Mapping[str, Scores],
) -> dict[str, np.ndarray]:
    """Return the average precisions, float64 [queries], by ranking and setup."""
    with tempfile.TemporaryDirectory() as made:
        build_index(features, Path(made, "index"), settings.index, benchmark.images)
        index = load_index(Path(made, "index"))
        asked = [
            Query(
                read_features(feature_path(queries, photos.queries[query.label])),
                [read_features(path) for path in photos.turned[query.label]],
                query.name,
            )
            for query in benchmark.ground_truth.queries
        ]
        found = {}
        for name, scores in rankings.items():
            scored = np.stack([scores(index, query) for query in progress(asked, name, "query")])
            ranks = np.argsort(-scored, axis=1, kind="stable")
            setups = benchmark.protocol.setups.items()
            setups = {setup: without_queries(judge) for setup, judge in setups}
            judged = evaluate(ranks, benchmark.ground_truth, setups)
            for setup, each in judged.items():
                found[f"{name}, {benchmark.title(setup)}"] = each.average_precisions
    return found


def seconds_to_read(folders: Sequence[Path]) -> list[float]:
    """Return the seconds that a photo takes in each of some folders of the same photos."""
    names = [name for name in open_features(folders[0]).folders]
    taken = np.full((_ROUNDS, len(folders)), np.inf)
    for number in range(_ROUNDS):
        names = np.random.default_rng(number).permutation(names).tolist()
        for place, folder in enumerate(folders):
            there = open_features(folder)
            start = time.perf_counter()
            for name in names:
                there.read(name)
            taken[number, place] = (time.perf_counter() - start) / len(names)
    return taken.min(axis=0).tolist()


def bytes_a_photo(folder: Path) -> float:
    """Return how many bytes a folder takes for each of its photos."""
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return total / len(open_features(folder).folders)


def judge_set(name: str, settings: EvaluationSettings, work: Path) -> None:
    """Pack and rank a set, and print what that gives."""
    benchmark, distractors = read_questions(settings)
    photos = describe_photos(settings, benchmark, distractors)
    store = work / f"packed-{photos.folder.name}"
    folders = list(photos.features.values())
    stores = [packed(folder, store) for folder in folders]
    queries = photos.query_folder
    asked = stores[folders.index(queries)] if queries in folders else packed(queries, store)
    retrieval = settings.retrieval
    rankings = {
        "local": ranked_by(replace(retrieval, query_rotations="0", global_weight=0.0)),
        "together": ranked_by(replace(retrieval, query_rotations="0")),
    }
    common = (photos, settings, benchmark, rankings)
    before = precisions(folders, queries, *common)
    after = precisions(stores, asked, *common)
    sizes, times = (
        [*map(bytes_a_photo, (folders[0], stores[0]))],
        seconds_to_read([folders[0], stores[0]]),
    )
    print(f"## {name}: {len(benchmark.ground_truth.queries)} queries\n")
    print("| ranking | files | packed | difference |\n| --- | --- | --- | --- |")
    for key, there in before.items():
        if np.isnan(there).all():
            continue
        gone = 100 * (after[key] - there)
        gone = gone[~np.isnan(gone)]
        error = gone.std(ddof=1) / np.sqrt(len(gone))
        means = (100 * np.nanmean(each) for each in (there, after[key]))
        print("| {} | {:.2f} | {:.2f} |".format(key, *means), f"{gone.mean():+.2f} ± {error:.2f} |")
    print(f"\nbytes a photo: {sizes[0]:.0f} in files, {sizes[1]:.0f} packed")
    print(f"reading a photo: {1e3 * times[0]:.3f} ms of a file, {1e3 * times[1]:.3f} ms packed\n")


def main() -> None:
    """Judge each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add_set_arguments(parser)
    given, rest = parser.parse_known_args()
    for name, settings in settings_of_sets(given, rest):
        judge_set(name, settings, given.work)


if __name__ == "__main__":
    run_command(main)
