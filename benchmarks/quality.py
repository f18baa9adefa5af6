"""The scoreboard: what local features, global descriptors and both together find in sets of photos.

    python benchmarks/quality.py --set dev=PHOTOS,GROUND_TRUTH [--set …] [--leave_out_queries] \
        --checkpoint_path=WEIGHTS [--name=value …]

A set's ground truth is a folder of text files (Oxford layout) or a gnd pickle; all settings of
delf_config.yaml may follow. For each set and each of its setups one table (Markdown): mAP, the
difference to local features alone, paired by query (mean ± standard error, better, worse), the same
for every second building and for the others, seconds a query and bytes a photo. Photos are
described once, under `--work`. With `--leave_out_queries` the query's own photo is junk.
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
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.rootsift_features import extract_rootsift, rootsift
from model_utils.config import load_config
from src.common.cpus import cpu_count
from src.common.errors import UserError, run_command
from src.common.progress import progress
from src.dataset import Judge, Judgement
from src.describe.tasks import read_cropped
from src.evaluation.metrics import evaluate
from src.evaluation.protocols import Benchmark
from src.evaluation.retrieval import describe_photos, read_questions, search_folders
from src.evaluation.settings import EvaluationSettings
from src.feature_io import Features, feature_path, read_features
from src.index.build import build_index
from src.index.folder import Index, load_index
from src.photos.finding import list_images
from src.ranking.fusion import fused
from src.ranking.settings import RetrievalSettings
from src.ranking.turning import rank_turned


class Query(NamedTuple):
    """A query: its features, those of its turns, its own name among the images."""

    upright: Features
    turned: list[Features]
    photo: str


#: An index and the queries that are asked of it.
World = tuple[Index, list[Query]]
#: From an index and a query to the scores of the images, float64 [images].
Scores = Callable[[Index, Query], np.ndarray]
LOCAL = "local"
ROOTSIFT = "RootSIFT"


def ranked_by(settings: RetrievalSettings) -> Scores:
    """Return the ranking of the project with some settings."""

    def score(index: Index, query: Query) -> np.ndarray:
        turned = lambda: query.turned  # noqa: E731
        found = rank_turned(index, query.upright, turned, settings, cpu_count(), query.photo)
        return found.scores

    return score


def by_global(settings: RetrievalSettings) -> Scores:
    """Return the ranking by global descriptors alone."""

    def score(index: Index, query: Query) -> np.ndarray:
        nothing = np.zeros(index.image_count)
        if query.upright.global_descriptor is None:
            return nothing
        return fused(nothing, query.upright.global_descriptor[None], index.globals, settings)

    return score


def rankings(settings: RetrievalSettings, has_globals: bool) -> dict[str, Scores]:
    """Return the rankings to compare by name, local features alone first."""
    settings = replace(settings, search_kind="local")
    upright = replace(settings, query_rotations="0")
    always = replace(settings, query_rotations="0,90,180,270")
    found = {
        LOCAL: ranked_by(replace(upright, global_weight=0.0)),
        "local turned": ranked_by(replace(always, global_weight=0.0)),
        "plain (as published)": ranked_by(RetrievalSettings.plain()),
    }
    if has_globals:
        found |= {
            "global": by_global(replace(settings, rerank_images=0)),
            "global re-ranked": by_global(settings),
            "together not re-ranked": ranked_by(replace(upright, rerank_images=0)),
            "together upright": ranked_by(upright),
            "together turned": ranked_by(always),
            "together": ranked_by(settings),
            "two stages upright": ranked_by(replace(upright, search_kind="two_stage")),
            "two stages": ranked_by(replace(settings, search_kind="two_stage")),
        }
    return found


def without_queries(judge: Judge) -> Judge:
    """Return a rule that counts the query's own photo, where it is in the index, as junk."""

    def judged(query: object) -> Judgement:
        found, image = judge(query), getattr(query, "image", None)
        if image is None:
            return found
        junk = np.union1d(found.junk, [image]).astype(np.int64)
        return Judgement(np.setdiff1d(found.positives, [image]), junk)

    return judged


def same_buildings(positives: Sequence[set]) -> list[list[int]]:
    """Return the numbers of queries that share positives, together."""
    groups: list[tuple[set, list[int]]] = []
    for number, names in enumerate(positives):
        if not names:
            continue
        joined = [group for group in groups if group[0] & names]
        groups = [group for group in groups if not group[0] & names]
        names = names.union(*(group[0] for group in joined))
        groups.append((names, [*(n for group in joined for n in group[1]), number]))
    return [sorted(numbers) for _, numbers in groups]


def table(
    precisions: Mapping[str, np.ndarray],
    costs: Mapping[str, tuple[float, float]],
    halves: np.ndarray,
) -> str:
    """Return the table of a setup.

    Args:
        precisions: ranking → average precision of each query, NaN where it has no positives.
        costs: ranking → seconds a query, bytes a photo.
        halves: 0 or 1 for each query: every second building.
    """
    lines = [
        "| ranking | mAP | to local | better, worse | halves | s a query | bytes a photo |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    counts = ~np.isnan(precisions[LOCAL])
    for name, values in precisions.items():
        change = 100 * (values - precisions[LOCAL])[counts]
        error = change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else float("nan")
        seconds, size = costs[name]
        by_half = ", ".join(_mean(change[halves[counts] == half]) for half in (0, 1))
        lines.append(
            f"| {name} | {100 * values[counts].mean():.2f} | {change.mean():+.2f} ± {error:.2f} | "
            f"{(change > 0).sum()}, {(change < 0).sum()} | "
            f"{by_half} | {seconds:.3f} | {size:.0f} |"
        )
    return "\n".join(lines)


def _mean(change: np.ndarray) -> str:
    return f"{change.mean():+.2f}" if len(change) else "–"


def bytes_a_photo(index: Index, name: str) -> float:
    """Return what a ranking reads of a photo: float32 rows with their places, float16 vectors."""
    local = int(index.offsets[-1]) * 4 * (index.dimension + 2) / index.image_count
    whole = 2 * index.globals.shape[1]
    if name.startswith("global"):
        return whole
    return local + (whole if name.startswith("together") else 0)


def rootsift_world(settings: EvaluationSettings, benchmark: Benchmark) -> World:
    """Return the index and the queries of a set, described by RootSIFT; queries in their boxes."""
    photos, most = Path(settings.images_path), settings.describe.features.max_feature_num
    digest = hashlib.sha256(str(photos.resolve()).encode()).hexdigest()[:10]
    folder = settings.work_path / f"rootsift-{most}-{digest}"
    extract_rootsift(photos, folder / "features", most, cpu_count())
    key = hashlib.sha256("\n".join(benchmark.images).encode()).hexdigest()[:10]
    build_index(folder / "features", folder / f"index-{key}", settings.index, benchmark.images)
    files, queries = dict(list_images(photos)), []
    for query in benchmark.ground_truth.queries:
        part = read_cropped(photos / files[query.name], query.box if benchmark.crop else None)
        grey = cv2.cvtColor(part.pixels, cv2.COLOR_RGB2GRAY)
        queries.append(Query(rootsift(grey, most).shifted(part.origin), [], query.name))
    return load_index(folder / f"index-{key}"), queries


def world(settings: EvaluationSettings) -> tuple[Benchmark, World]:
    """Describe a set, where it is not yet, and return it with its index and queries."""
    benchmark, distractors = read_questions(settings)
    photos = describe_photos(settings, benchmark, distractors)
    _, index_folder = search_folders(settings, photos, benchmark)
    build_index(list(photos.features.values()), index_folder, settings.index, benchmark.images)
    index = load_index(index_folder)
    queries = [
        Query(
            read_features(feature_path(photos.query_folder, photos.queries[query.label])),
            [read_features(path) for path in photos.turned[query.label]],
            query.name,
        )
        for query in benchmark.ground_truth.queries
    ]
    return benchmark, (index, queries)


def judge_set(
    name: str, settings: EvaluationSettings, leave_out: bool, wanted: Sequence[str] = ()
) -> str:
    """Describe and rank a set, and return its tables.

    Args:
        name: of the set.
        settings: what is described and how.
        leave_out: whether the queries' own photos are junk.
        wanted: rankings to compare beside `LOCAL`; none: all of them.

    Raises:
        UserError: there is no such ranking.
    """
    benchmark, (index, queries) = world(settings)
    chosen = rankings(settings.retrieval, bool(index.globals.size))
    unknown = sorted({*wanted} - {*chosen, ROOTSIFT})
    if unknown:
        raise UserError(f"there is no ranking {unknown[0]!r}; give some of {', '.join(chosen)}")
    chosen = {
        key: ranking for key, ranking in chosen.items() if key in {LOCAL, *(wanted or chosen)}
    }
    worlds = {key: (ranking, (index, queries)) for key, ranking in chosen.items()}
    if not wanted or ROOTSIFT in wanted:
        by_local = ranked_by(replace(settings.retrieval, query_rotations="0"))
        worlds[ROOTSIFT] = by_local, rootsift_world(settings, benchmark)
    return _tables(name, benchmark, worlds, leave_out)


def _tables(
    name: str,
    benchmark: Benchmark,
    worlds: Mapping[str, tuple[Scores, World]],
    leave_out: bool,
) -> str:
    setups = benchmark.protocol.setups
    if leave_out:
        setups = {setup: without_queries(judge) for setup, judge in setups.items()}
    metrics, costs = {}, {}
    for ranking, (scores, (index, queries)) in worlds.items():
        start = time.perf_counter()
        found = [scores(index, query) for query in progress(queries, ranking, "query")]
        costs[ranking] = (
            (time.perf_counter() - start) / len(queries),
            bytes_a_photo(index, ranking),
        )
        ranks = np.argsort(-np.stack(found), axis=1, kind="stable")
        metrics[ranking] = evaluate(ranks, benchmark.ground_truth, setups)
    parts = [f"## {name}: {len(queries)} queries, {index.image_count} images"]
    for setup in setups:
        judged = [setups[setup](query).positives for query in benchmark.ground_truth.queries]
        halves = np.zeros(len(queries), int)
        for number, group in enumerate(same_buildings([set(each.tolist()) for each in judged])):
            halves[group] = number % 2
        precisions = {key: each[setup].average_precisions for key, each in metrics.items()}
        if np.isnan(precisions[LOCAL]).all():
            continue
        own = ", their own photos left out" if leave_out else ""
        parts += [f"### {benchmark.title(setup)}{own}", table(precisions, costs, halves)]
    return "\n\n".join(parts)


def parse_set(text: str) -> tuple[str, str, str]:
    """Return the name, photos and ground truth of NAME=PHOTOS,GROUND_TRUTH."""
    name, _, paths = text.partition("=")
    photos, _, truth = paths.rpartition(",")
    if not (name and photos and truth):
        raise UserError(f"--set is {text!r}; give NAME=PHOTOS,GROUND_TRUTH")
    return name, photos, truth


def add_set_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name sets of photos and where their features are kept."""
    parser.add_argument("--set", action="append", required=True, help="NAME=PHOTOS,GROUND_TRUTH")
    parser.add_argument("--work", type=Path, default=Path("quality"), help="keeps the features")


def settings_of_sets(
    given: argparse.Namespace, rest: Sequence[str]
) -> list[tuple[str, EvaluationSettings]]:
    """Return name and settings of each set of a command line."""
    found = []
    for name, photos, truth in [parse_set(text) for text in given.set]:
        config = load_config([*rest, f"--images_path={photos}", f"--gt_path={truth}"])
        settings = replace(EvaluationSettings.from_config(config), work_path=given.work)
        found.append((name, settings))
    return found


def main() -> None:
    """Judge each set and print its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="All settings of delf_config.yaml may follow as --name=value.",
        allow_abbrev=False,
    )
    add_set_arguments(parser)
    parser.add_argument("--leave_out_queries", action="store_true", help="their photos are junk")
    parser.add_argument(
        "--rankings", default="", help="only these, beside local features, with commas between them"
    )
    given, rest = parser.parse_known_args()
    wanted = [each.strip() for each in given.rankings.split(",") if each.strip()]
    for name, settings in settings_of_sets(given, rest):
        print(judge_set(name, settings, given.leave_out_queries, wanted), "\n", flush=True)


if __name__ == "__main__":
    run_command(main)
