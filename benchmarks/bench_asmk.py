"""Aggregated local features (ASMK) beside the votes, global descriptors and two stages.

    python benchmarks/bench_asmk.py --set dev=PHOTOS,GROUND_TRUTH [--set …] --train FEATURES \
        --words 4096 65536 --assignments 1 5 --leave_out_queries --work runs/asmk \
        --checkpoint_path=WEIGHTS [--name=value …]

Sets and settings are those of `benchmarks/quality.py`; `--train` names feature folders of other
photos, which the codebook is learnt from (the first `--features` of a photo, `--dims` numbers of
each). For each set two tables (Markdown): the scoreboard of `quality.py`, with each kind of ASMK by
itself, fused with the global descriptors, and finding the candidates of two stages; and the share
of a query's positives among the first 20 to 200 images of what may find candidates. With
`--copies N` also what a search costs where every photo stands in the collection N times.
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
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.asmk import Codebook, InvertedFile, learn_words
from benchmarks.quality import (
    LOCAL,
    Query,
    Scores,
    World,
    add_set_arguments,
    bytes_a_photo,
    rankings,
    same_buildings,
    settings_of_sets,
    table,
    without_queries,
    world,
)
from src.common.atomic_files import atomic_path
from src.common.cpus import cpu_count
from src.common.errors import UserError, run_command
from src.common.progress import progress
from src.evaluation.metrics import evaluate
from src.evaluation.protocols import Benchmark
from src.evaluation.settings import EvaluationSettings
from src.extract_utils_np import unit_length
from src.feature_io import open_features
from src.index.folder import Index
from src.index.lists import even_sample
from src.index.part import Similar
from src.ranking.fusion import fused
from src.ranking.local_scores import local_scores
from src.ranking.settings import RetrievalSettings
from src.ranking.votes import thread_pool

FIRST = (20, 50, 100, 200)
COST_QUERIES = 20
BESIDE = ("global", "global re-ranked", "together upright", "two stages upright")


class Kind(NamedTuple):
    """A kind of ASMK: words of the codebook, numbers of a descriptor, features of a photo."""

    words: int
    dims: int
    features: int
    binary: bool

    def __str__(self) -> str:
        code = "signs" if self.binary else "residuals"
        return f"ASMK {self.words:,} words, {self.features} × {self.dims}, {code}"

    def cut(self, descriptors: np.ndarray) -> np.ndarray:
        """Return the first features and numbers of descriptors [N, D], of unit length."""
        return unit_length(descriptors[: self.features, : self.dims]).astype(np.float32)


def codebook(train: Sequence[Path], kind: Kind, passes: int, a_word: int, work: Path) -> Codebook:
    """Return the codebook of a kind, learnt where it is not kept in `work`.

    Args:
        train: feature folders of the photos to learn from.
        kind: how many words, and what of a photo's features.
        passes: of k-means.
        a_word: from most so many features for each word, taken evenly.
        work: keeps codebooks.
    """
    key = "\n".join([str(path.resolve()) for path in train] + [f"{passes} {a_word}"])
    key = hashlib.sha256(key.encode()).hexdigest()[:10]
    path = work / f"words-{kind.words}-{kind.features}x{kind.dims}-{key}.npy"
    if not path.exists():
        folders = open_features(train)
        found = [folders.read(name) for name in progress(folders.folders, "reading", "photo")]
        learnt_from = np.concatenate([kind.cut(each.descriptors) for each in found if each])
        if len(learnt_from) < kind.words:
            raise UserError(f"{len(learnt_from)} features for {kind.words} words; give more photos")
        chosen = even_sample(len(learnt_from), a_word * kind.words, seed=0)
        learnt_from = learnt_from[chosen]
        print(f"learning {kind.words} words from {len(learnt_from)} features", flush=True)
        start = time.perf_counter()
        centres = learn_words(learnt_from, kind.words, passes)
        print(f"learnt in {time.perf_counter() - start:.0f} s", flush=True)
        work.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, centres)
    return Codebook(np.load(path))


def photos_of(index: Index, kind: Kind) -> list[np.ndarray]:
    """Return the descriptors of each image of an index, as a kind wants them."""
    spans = itertools.pairwise(index.offsets.tolist())
    return [kind.cut(index.descriptors[start:end]) for start, end in spans]


def by_asmk(
    inverted: InvertedFile,
    kind: Kind,
    assignments: int,
    settings: RetrievalSettings,
    stages: bool = True,
) -> dict[str, Scores]:
    """Return rankings by ASMK: alone, fused, and finding the candidates of two `stages`."""

    def alone(index: Index, query: Query) -> np.ndarray:
        return inverted.scores(kind.cut(query.upright.descriptors), assignments)

    def together(index: Index, query: Query) -> np.ndarray:
        whole = query.upright.global_descriptor[None]
        return fused(alone(index, query), whole, index.globals, settings)

    def staged(scores: Scores, weight: float) -> Scores:
        def score(index: Index, query: Query) -> np.ndarray:
            first, whole = scores(index, query), query.upright.global_descriptor[None]
            featured = np.zeros(index.image_count, dtype=bool)
            featured[np.argsort(-first, kind="stable")[: settings.candidate_images]] = True
            part = index.part(Similar(np.arange(len(featured)), index.globals), featured)
            ranking = replace(settings, global_weight=weight).fitted(index, query.upright)
            with thread_pool(cpu_count()) as pool:
                found = local_scores(part, query.upright, ranking, pool).scores
            if weight:
                found = fused(found, whole, index.globals, ranking)
            # Only what is not among the candidates is told apart by this.
            return found + 1e-9 * first

        return score

    name = f"{kind}, {assignments} a feature"
    found = {name: alone, f"{name}; with global": together}
    if not stages:
        return found
    weight = settings.global_weight
    return found | {
        f"{name}; candidates, local": staged(alone, 0.0),
        f"{name}; candidates, together": staged(alone, weight),
        f"{name}; with global; candidates, together": staged(together, weight),
    }


def read_of(index: Index, inverted: InvertedFile, ranking: str) -> float:
    """Return the bytes a photo of what a ranking of `by_asmk` works with."""
    whole = bytes_a_photo(index, "global") if "global" in ranking or "together" in ranking else 0
    local = bytes_a_photo(index, LOCAL) if "candidates" in ranking else 0
    return inverted.bytes_a_photo + whole + local


def judge(
    name: str,
    benchmark: Benchmark,
    asked: World,
    chosen: Mapping[str, tuple[Scores, float]],
    leave_out: bool,
) -> str:
    """Return the tables of a set.

    Args:
        name: of the set.
        benchmark: its protocol and queries.
        asked: index and queries.
        chosen: ranking → its scores, and its bytes a photo.
        leave_out: whether the queries' own photos are junk.
    """
    index, queries = asked
    setups = benchmark.protocol.setups
    if leave_out:
        setups = {setup: without_queries(rule) for setup, rule in setups.items()}
    ranks, costs = {}, {}
    for ranking, (scores, size) in chosen.items():
        start = time.perf_counter()
        found = np.stack([scores(index, each) for each in progress(queries, ranking, "query")])
        costs[ranking] = ((time.perf_counter() - start) / len(queries), size)
        ranks[ranking] = np.argsort(-found, axis=1, kind="stable")
    parts = [f"## {name}: {len(queries)} queries, {index.image_count} images"]
    truth = benchmark.ground_truth
    metrics = {key: evaluate(each, truth, setups) for key, each in ranks.items()}
    for setup, rule in setups.items():
        precisions = {key: each[setup].average_precisions for key, each in metrics.items()}
        if np.isnan(precisions[LOCAL]).all():
            continue
        judged = [rule(query) for query in truth.queries]
        halves = np.zeros(len(queries), int)
        for number, group in enumerate(same_buildings([{*e.positives.tolist()} for e in judged])):
            halves[group] = number % 2
        parts += [f"### {benchmark.title(setup)}", table(precisions, costs, halves)]
        parts.append(recall_table(ranks, judged))
    return "\n\n".join(parts)


def recall_table(ranks: Mapping[str, np.ndarray], judged: Sequence) -> str:
    """Return which share of the positives is among the first images, junk left out, in percent."""
    lines = [
        f"| found among the first | {' | '.join(map(str, FIRST))} |",
        "| --- |" + " --- |" * len(FIRST),
    ]
    for name, rows in ranks.items():
        shares = []
        for row, each in zip(rows, judged):
            if len(each.positives):
                hits = np.isin(row[~np.isin(row, each.junk)], each.positives)
                shares.append([hits[:first].sum() / len(each.positives) for first in FIRST])
        means = 100 * np.mean(shares, axis=0)
        lines.append(f"| {name} | {' | '.join(f'{share:.1f}' for share in means)} |")
    return "\n".join(lines)


def cost_table(
    asked: World,
    kinds: Mapping[str, tuple[InvertedFile, Kind, int]],
    settings: RetrievalSettings,
    copies: Sequence[int],
) -> str:
    """Return what the first stage costs where every photo is there so many times.

    Where they are there once, what whole rankings cost, too. The median of up to `COST_QUERIES`
    queries; the stages take turns, on as many threads as NumPy and FAISS take.
    """
    index, queries = asked
    lines = [
        "| photos | first stage | ms a query | entries compared |",
        "| --- | --- | --- | --- |",
    ]
    for many in copies:
        whole = np.tile(index.globals, (many, 1))
        crowd = replace(index, globals=whole)
        files = {name: repeated(inverted, many) for name, (inverted, _, _) in kinds.items()}
        known = rankings(settings, has_globals=True)
        beside = {key: known[key] for key in (LOCAL, BESIDE[-1]) if many == 1}
        spent: dict[str, list[float]] = {name: [] for name in (*beside, "global", *kinds)}
        entries: dict[str, list[int]] = {name: [] for name in kinds}
        for query in queries[:: -(-len(queries) // COST_QUERIES)]:
            for name, ranking in beside.items():
                start = time.perf_counter()
                ranking(index, query)
                spent[name].append(time.perf_counter() - start)
            start = time.perf_counter()
            asked_by = query.upright.global_descriptor[None]
            near = crowd.similar(asked_by, settings.rerank_images).globals
            fused(np.zeros(len(near)), asked_by, near, settings, collection=len(whole))
            spent["global"].append(time.perf_counter() - start)
            for name, (_, kind, assignments) in kinds.items():
                descriptors = kind.cut(query.upright.descriptors)
                start = time.perf_counter()
                files[name].scores(descriptors, assignments)
                spent[name].append(time.perf_counter() - start)
                entries[name].append(files[name].compared(descriptors, assignments))
        for name, times in spent.items():
            compared = f"{np.median(entries[name]):,.0f}" if name in entries else ""
            lines.append(f"| {len(whole):,} | {name} | {1e3 * np.median(times):.1f} | {compared} |")
    return "\n".join(lines)


def repeated(inverted: InvertedFile, many: int) -> InvertedFile:
    """Return an inverted file of the same photos, each there so many times."""
    copy = object.__new__(InvertedFile)
    copy.__dict__.update(inverted.__dict__)
    lengths = np.diff(inverted.offsets)
    # The list of a word, so many times one after the other.
    starts = np.repeat(inverted.offsets[:-1], lengths * many)
    firsts = np.repeat(inverted.offsets[:-1] * many, lengths * many)
    within = np.arange(len(starts)) - firsts
    rows = starts + within % np.repeat(lengths, lengths * many)
    turn = within // np.repeat(lengths, lengths * many)
    copy.offsets = inverted.offsets * many
    copy.images = (inverted.images[rows] + turn * len(inverted.norms)).astype(np.int32)
    copy.codes = inverted.codes[rows]
    copy.norms = np.tile(inverted.norms, many)
    return copy


def bench(
    name: str, settings: EvaluationSettings, kinds: Sequence[Kind], given: argparse.Namespace
) -> str:
    """Rank a set in all ways and return its tables."""
    benchmark, asked = world(settings)
    index = asked[0]
    known = rankings(settings.retrieval, bool(index.globals.size))
    chosen = {key: (known[key], bytes_a_photo(index, key)) for key in (LOCAL, *BESIDE)}
    timed = {}
    for kind in kinds:
        words = codebook(given.train, kind, given.passes, given.a_word, given.work)
        start = time.perf_counter()
        inverted = InvertedFile(words, photos_of(index, kind), kind.binary, given.alpha, given.tau)
        print(f"{kind}: {time.perf_counter() - start:.1f} s for the inverted file", flush=True)
        for many in given.assignments:
            found = by_asmk(inverted, kind, many, settings.retrieval, given.stages)
            chosen |= {
                key: (scores, read_of(index, inverted, key)) for key, scores in found.items()
            }
            timed[f"{kind}, {many} a feature"] = (inverted, kind, many)
    parts = [] if given.only_cost else [judge(name, benchmark, asked, chosen, given.leave_out)]
    if given.copies:
        parts.append(cost_table(asked, timed, settings.retrieval, given.copies))
    return "\n\n".join(parts)


def main() -> None:
    """Measure each set and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add_set_arguments(parser)
    parser.add_argument("--leave_out_queries", dest="leave_out", action="store_true")
    parser.add_argument("--train", nargs="+", type=Path, required=True, help="feature folders")
    parser.add_argument("--words", nargs="+", type=int, default=[4096])
    parser.add_argument("--dims", nargs="+", type=int, default=[40])
    parser.add_argument("--features", nargs="+", type=int, default=[1000])
    parser.add_argument("--codes", nargs="+", choices=["signs", "residuals"], default=["signs"])
    parser.add_argument("--assignments", nargs="+", type=int, default=[5])
    parser.add_argument("--alpha", type=float, default=3.0)
    parser.add_argument("--tau", type=float, default=0.0)
    parser.add_argument("--passes", type=int, default=10, help="of k-means")
    parser.add_argument("--a_word", type=int, default=50, help="features to learn a word from")
    parser.add_argument("--copies", nargs="+", type=int, help="measure the cost at so many")
    parser.add_argument("--stages", action="store_true", help="two stages by ASMK, too")
    parser.add_argument("--only_cost", action="store_true")
    given, rest = parser.parse_known_args()
    codes = [code == "signs" for code in given.codes]
    kinds = [
        Kind(*each) for each in itertools.product(given.words, given.dims, given.features, codes)
    ]
    for name, settings in settings_of_sets(given, rest):
        print(bench(name, settings, kinds, given), "\n", flush=True)


if __name__ == "__main__":
    run_command(main)
