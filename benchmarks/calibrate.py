"""Fit the calibration of verdicts to sets of photos, and draw how far it can be relied on.

    python benchmarks/calibrate.py --set dev=PHOTOS,GROUND_TRUTH --set other=… \
        --checkpoint_path=WEIGHTS --output weights/calibration.json \
        --diagram docs/reliability.png [--name=value …]

Questions, of which the first three hits count: (a) each set's queries in its own images, their own
photos left out; (b) the same queries in the images of another set, which has nothing of the kind;
(c) folders drawn from a set: half of its buildings, some photos each, beside photos of another set
of nothing in particular; queries of those buildings, of the others, and photos of no building at
all. What (b) and the last two of (c) find is wrong. All groups of questions count alike. By halves:
fitted to every second building, judged by the others. Photos are described once, under `--work`.
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
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.quality import (
    Query,
    add_set_arguments,
    same_buildings,
    settings_of_sets,
    without_queries,
)
from src.common.errors import UserError, run_command
from src.common.progress import progress
from src.evaluation.retrieval import describe_photos, read_questions
from src.evaluation.settings import EvaluationSettings
from src.feature_io import feature_path, read_features
from src.index.build import build_index
from src.index.choice import IndexSettings
from src.index.folder import Index, load_index
from src.ranking.settings import RetrievalSettings
from src.ranking.turning import rank_turned
from src.ranking.verdict import Calibration, write_calibration

HITS = 3
DRAWS = 6
#: Name of a kind of folder → photos of each building, photos of nothing in particular.
FOLDERS = {"folders of 36": (8, 12), "folders of 144": (32, 48)}
QUERIES_OF_A_BUILDING = 8
STRANGERS = 20
#: How strongly the coefficients are held to 0, as a share of the number of hits.
RIDGE = 1e-3


@dataclass(frozen=True)
class World:
    """A described set.

    Attributes:
        name: of the set.
        folder: its feature folder.
        images: names of the images to search.
        queries: each query, the names of its positives and of what is not counted.
        buildings: numbers of the queries of each building.
        strangers: names of images that no query counts or ignores.
    """

    name: str
    folder: Path
    images: tuple[str, ...]
    queries: list[tuple[Query, set[str], set[str]]]
    buildings: list[list[int]]
    strangers: list[str]


class Question(NamedTuple):
    """A query, the names of what is right and of what is not counted, and its half."""

    query: Query
    right: set[str]
    ignored: set[str]
    half: int
    absent: bool = False


class Hit(NamedTuple):
    """A hit of a question."""

    inliers: int
    similarity: float
    right: bool
    first: bool
    absent: bool
    half: int


def describe(name: str, settings: EvaluationSettings) -> tuple[World, dict[str, object]]:
    """Describe a set; return it and the settings of its features."""
    benchmark, distractors = read_questions(settings)
    if distractors:
        raise UserError("distractors are of no use here; give them as a set of its own")
    photos = describe_photos(settings, benchmark, distractors)
    judge = without_queries(benchmark.protocol.setups["medium"])
    queries = []
    for query in benchmark.ground_truth.queries:
        upright = read_features(feature_path(photos.query_folder, photos.queries[query.label]))
        turned = [read_features(path) for path in photos.turned[query.label]]
        judged = judge(query)
        right, ignored = (
            {benchmark.images[image] for image in images}
            for images in (judged.positives, judged.junk)
        )
        queries.append((Query(upright, turned, query.name), right, ignored))
    named = set().union(*(right | ignored for _, right, ignored in queries))
    strangers = [image for image in benchmark.images if image not in named]
    (folder,) = photos.features.values()
    buildings = same_buildings([right for _, right, _ in queries])
    return World(name, folder, benchmark.images, queries, buildings, strangers), {
        "network": photos.describer.engine.fingerprint,
        **photos.describer.engine.settings()["global"],
    }


def whole_questions(world: World, here: bool) -> list[Question]:
    """Return the queries of a set: for its own images, or for those of another set."""
    half = {number: k % 2 for k, group in enumerate(world.buildings) for number in group}
    return [
        Question(query, right if here else set(), ignored, half[number], not here)
        for number, (query, right, ignored) in enumerate(world.queries)
        if number in half
    ]


def drawn_folder(
    world: World, other: World, kind: str, draw: int
) -> tuple[list[str], list[Question]] | None:
    """Draw a folder of photos and what is asked of it; None where a set is too small."""
    each, extra = FOLDERS[kind]
    rights = [set.union(*(world.queries[n][1] for n in group)) for group in world.buildings]
    usable = [k for k, right in enumerate(rights) if len(right) >= each]
    if len(usable) < 4 or len(other.strangers) < extra:
        return None
    rng = np.random.default_rng(draw)
    inside = set(rng.choice(usable, len(usable) // 2, replace=False).tolist())
    photos = [name for k in sorted(inside) for name in rng.choice(sorted(rights[k]), each, False)]
    photos += rng.choice(other.strangers, extra, replace=False).tolist()
    asked = []
    for k in usable:
        group = world.buildings[k]
        for n in rng.choice(group, min(QUERIES_OF_A_BUILDING, len(group)), replace=False):
            query, right, ignored = world.queries[n]
            asked.append(
                Question(query, right if k in inside else set(), ignored, k % 2, k not in inside)
            )
    count = min(STRANGERS, len(world.strangers))
    for number, name in enumerate(rng.choice(world.strangers, count, replace=False).tolist()):
        alone = Query(read_features(feature_path(world.folder, name)), [], name)
        asked.append(Question(alone, set(), set(), number % 2, True))
    return sorted(photos), asked


def hits_of(index: Index, questions: Sequence[Question], what: str) -> list[Hit]:
    """Rank an index for each question and return its first hits."""
    found = []
    for asked in progress(questions, what, "query"):
        query = asked.query
        turned = partial(list, query.turned)
        ranked = rank_turned(
            index, query.upright, turned, RetrievalSettings(), threads=2, itself=query.photo
        )
        images = (i for i in ranked.ranks.tolist() if index.names[i] not in asked.ignored)
        for number, image in zip(range(HITS), images):
            right = index.names[image] in asked.right
            facts = int(ranked.inliers[image]), float(ranked.similarities[image])
            found.append(Hit(*facts, right, number == 0, asked.absent, asked.half))
    return found


def all_groups(worlds: Sequence[World], work: Path) -> Iterator[tuple[str, list[Hit]]]:
    """Yield the hits of each group of questions."""
    for world in worlds:
        own = index_of([world.folder], world.images, work)
        yield world.name, hits_of(own, whole_questions(world, True), world.name)
        for other in worlds:
            if other is not world:
                what = f"{other.name} in {world.name}"
                yield what, hits_of(own, whole_questions(other, False), what)
    for kind in FOLDERS:
        hits = []
        for world in worlds:
            for other in worlds:
                for draw in range(DRAWS) if other is not world else ():
                    drawn = drawn_folder(world, other, kind, draw)
                    if drawn is not None:
                        index = index_of([world.folder, other.folder], drawn[0], work)
                        hits += hits_of(index, drawn[1], f"{kind}, draw {draw}")
        if hits:
            yield kind, hits


def index_of(folders: Sequence[Path], names: Sequence[str], work: Path) -> Index:
    """Build the index of some photos, or find it built."""
    digest = hashlib.sha256(json.dumps([*map(str, folders), *names]).encode()).hexdigest()
    path = work / "calibration" / digest[:16]
    build_index(folders, path, IndexSettings(), names)
    return load_index(path)


def fitted(groups: dict[str, list[Hit]], not_half: int | None = None) -> np.ndarray:
    """Return bias, coefficient of log(1 + inliers), of similarity: ridge logistic regression.

    By Newton's method; each group of questions has the same weight.
    """
    parts = [[hit for hit in hits if hit.half != not_half] for hits in groups.values()]
    inputs = np.concatenate([inputs_of(hits) for hits in parts])
    right = np.array([hit.right for hits in parts for hit in hits], float)
    weights = np.concatenate([np.full(len(hits), 1 / len(hits)) for hits in parts if hits])
    held = np.diag([0.0, 1.0, 1.0]) * RIDGE * weights.sum()
    found = np.zeros(3)
    for _ in range(50):
        probable = 1 / (1 + np.exp(-inputs @ found))
        slope = inputs.T @ (weights * (right - probable)) - held @ found
        curve = (inputs * (weights * probable * (1 - probable))[:, None]).T @ inputs + held
        found = found + np.linalg.solve(curve, slope)
    return found


def inputs_of(hits: Sequence[Hit]) -> np.ndarray:
    """Return 1, log(1 + inliers), similarity of each hit, float64 [N, 3]."""
    facts = np.array([(1.0, hit.inliers, hit.similarity) for hit in hits]).reshape(-1, 3)
    facts[:, 1] = np.log1p(facts[:, 1])
    return facts


def probabilities(hits: Sequence[Hit], coefficients: np.ndarray) -> np.ndarray:
    """Return the probabilities of hits."""
    return 1 / (1 + np.exp(-inputs_of(hits) @ coefficients))


def judged_by_halves(hits: Sequence[Hit], by_half: Sequence[np.ndarray]) -> np.ndarray:
    """Return the probability of each hit by the coefficients for its half."""
    return np.array([probabilities([hit], by_half[hit.half])[0] for hit in hits])


def table(groups: dict[str, list[Hit]], by_half: Sequence[np.ndarray], same: float) -> str:
    """Return what is called the same among first hits, each judged by the other half's fit."""
    lines = [
        "| questions | first hits right | of the right ones: the same | of wrong ones | "
        "of what is not there |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, hits in groups.items():
        first = [hit for hit in hits if hit.first]
        said = judged_by_halves(first, by_half) >= same
        right = np.array([hit.right for hit in first])
        absent = np.array([hit.absent for hit in first])
        cells = [right & ~absent, ~right & ~absent, absent]
        shares = [f"{said[c].sum()} of {c.sum()} ({_percent(said[c])})" for c in cells]
        lines.append(f"| {name} | {_percent(right[~absent])} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _percent(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f} %" if len(values) else "–"


def draw_reliability(path: Path, hits: Sequence[Hit], by_half: Sequence[np.ndarray]) -> None:
    """Draw how often hits of some probability are right, each judged by the other half's fit."""
    from matplotlib.figure import Figure

    probable = judged_by_halves(hits, by_half)
    right = np.array([hit.right for hit in hits])
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#aaa", linewidth=1)
    for low in np.arange(10) / 10:
        inside = (probable >= low) & (probable < low + 0.1)
        if not inside.any():
            continue
        share, count = right[inside].mean(), inside.sum()
        error = np.sqrt(max(share * (1 - share), 0.25 / count) / count)
        axes.errorbar(probable[inside].mean(), share, error, marker="o", color="#285aa0")
        axes.annotate(f" {count}", (probable[inside].mean(), share), fontsize=8, va="top")
    names = {"xlabel": "probability", "ylabel": "share that shows the same"}
    axes.set(**names, xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"{len(hits)} hits, each by the fit to the other half of the buildings", size=9)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Fit, print the table, write calibration and diagram."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="All settings of delf_config.yaml may follow as --name=value.",
        allow_abbrev=False,
    )
    add_set_arguments(parser)
    parser.add_argument("--output", type=Path, default=Path("calibration.json"))
    parser.add_argument("--diagram", type=Path, help="picture of how far it can be relied on")
    parser.add_argument("--same", type=float, default=0.7, help="the same from here on")
    parser.add_argument("--perhaps", type=float, default=0.3, help="perhaps from here on")
    given, rest = parser.parse_known_args()
    worlds, made_with = [], []
    for name, settings in settings_of_sets(given, rest):
        world, about = describe(name, settings)
        worlds.append(world)
        made_with.append(about)
    groups = dict(all_groups(worlds, given.work))
    by_half = [fitted(groups, half) for half in (0, 1)]
    bias, inliers, similarity = fitted(groups).round(4).tolist()
    calibration = Calibration(
        *(made_with[0]["network"], made_with[0]["whitening"], bias, inliers, similarity),
        *(given.same, given.perhaps),
    )
    every = [hit for hits in groups.values() for hit in hits]
    made = {
        "sets": [world.name for world in worlds],
        "hits": len(every),
        "settings": rest,
        "day": time.strftime("%Y-%m-%d"),
    }
    write_calibration(given.output, calibration, made)
    print(f"halves: {', '.join(str(each.round(3).tolist()) for each in by_half)}")
    print(f"all: {bias} + {inliers} · log(1 + inliers) + {similarity} · similarity")
    print(table(groups, by_half, given.same))
    if given.diagram:
        draw_reliability(given.diagram, every, by_half)


if __name__ == "__main__":
    run_command(main)
