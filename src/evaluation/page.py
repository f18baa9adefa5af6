"""The page of an evaluation: what each query found, beside the metrics."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.common.atomic_files import PathLike
from src.common.progress import progress
from src.dataset import Judgement
from src.evaluation.metrics import Metrics, ranks_without_junk
from src.evaluation.precision_recall import draw_protocol, draw_query, precision_recall
from src.evaluation.protocols import Benchmark
from src.evaluation.report import summary_line
from src.feature_io import features_checksum, read_features, read_manifest
from src.index.folder import load_index
from src.pages.document import Entry, Page, flat_settings, write_page
from src.pages.query_sheet import Matcher, Result, Sheet, verdicts, write_sheet
from src.ranking.query_matches import QueryMatches
from src.ranking.results import SETTINGS_NAME
from src.ranking.settings import RetrievalSettings

LOG = logging.getLogger(__name__)

#: Results shown of each query.
TOP = 10


@dataclass(frozen=True)
class JudgedQuery:
    """One query with its ranking.

    Attributes:
        label: of the query.
        photo: its file.
        box: of what is asked for, in pixels of the photo.
        ranked: int [images], all image indices, best first.
        inliers, votes: [images], by image index.
        judgements: protocol → what counts.
        evidence: identifies its features.
        matcher: gives the matcher of the query; called only when its sheet is drawn.
    """

    label: str
    photo: Path
    box: tuple[float, float, float, float] | None
    ranked: np.ndarray
    inliers: np.ndarray
    votes: np.ndarray
    judgements: Mapping[str, Judgement]
    evidence: str
    matcher: Callable[[], Matcher]


def write_evaluation_page(
    folder: PathLike,
    queries: Sequence[JudgedQuery],
    photos: Sequence[tuple[str, Path]],
    metrics: Mapping[str, Metrics],
    title: str,
    lead: Sequence[str],
    settings: Mapping[str, object],
    with_recall: bool = True,
) -> Path:
    """Draw the sheets and curves of an evaluation and write the page that collects them.

    A sheet that is there and shows the same is kept; one photo and one sheet at a time are in
    memory.

    Args:
        folder: for the page, `sheets` and `curves`.
        queries: in the order of the metrics' rows.
        photos: (name, file) of each image index.
        metrics: protocol → metrics.
        title: heading of the page.
        lead: sentences that name the protocol and whether queries were cropped.
        settings: name → value, shown at the end of the page.
        with_recall: whether the table has the recalls.

    Returns:
        The page.
    """
    folder = Path(folder)
    curves = _draw_protocols(folder, queries, metrics)
    entries = []
    for row, query in enumerate(progress(queries, "drawing sheets", "sheet")):
        precisions = {name: float(m.average_precisions[row]) for name, m in metrics.items()}
        sheet = _sheet(query, photos, precisions)
        picture = f"sheets/{sheet.file}"
        write_sheet(sheet, folder / picture, _Once(query.matcher))
        curve = f"curves/query-{Path(sheet.file).stem}.png"
        draw_query(folder / curve, _curves(query))
        entries.append(Entry(sheet, picture, curve, precisions))
    first = next(iter(metrics))
    entries.sort(key=lambda entry: _worst_first(entry.precisions[first]))
    page = Page(title, lead, entries, _metrics_table(metrics, with_recall), curves, settings)
    return write_page(folder, page)


class _Once:
    """A matcher that is made when it is first called."""

    def __init__(self, make: Callable[[], Matcher]):
        self._make, self._made = make, None

    def __call__(self, image: int):
        self._made = self._made or self._make()
        return self._made(image)


def _sheet(
    query: JudgedQuery, photos: Sequence[tuple[str, Path]], precisions: Mapping[str, float]
) -> Sheet:
    first = query.ranked[:TOP].tolist()
    judged = query.judgements.values()
    words = verdicts(first, [j.positives for j in judged], [j.junk for j in judged])
    results = tuple(
        Result(
            image,
            rank,
            *photos[image],
            verdict,
            query.inliers[image].item(),
            query.votes[image].item(),
        )
        for rank, (image, verdict) in enumerate(zip(first, words), 1)
    )
    caption = "average precision: " + " · ".join(
        f"{name} {'– (no positives)' if math.isnan(value) else f'{value:.2%}'}"
        for name, value in precisions.items()
    )
    return Sheet(query.label, query.photo, query.box, caption, results, query.evidence)


def _curves(query: JudgedQuery) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        name: precision_recall(
            ranks_without_junk(query.ranked, judgement), len(judgement.positives)
        )
        for name, judgement in query.judgements.items()
        if len(judgement.positives)
    }


def _draw_protocols(
    folder: Path, queries: Sequence[JudgedQuery], metrics: Mapping[str, Metrics]
) -> list[tuple[str, str]]:
    drawn = []
    curves = [_curves(query) for query in queries]
    for name in metrics:
        of_protocol = [each[name] for each in curves if name in each]
        path, what = f"curves/{name}.png", f"{name}: {len(of_protocol)} queries"
        draw_protocol(folder / path, what, of_protocol)
        drawn.append((path, what))
    return drawn


def _worst_first(precision: float) -> tuple[bool, float]:
    return math.isnan(precision), precision


def _metrics_table(metrics: Mapping[str, Metrics], with_recall: bool) -> list[list[str]]:
    """Return what `mAP.txt` says as a table."""
    ranks = next(iter(metrics.values())).ranks
    heads = [f"{what}@{k}" for what in ("mP", "mR")[: 1 + with_recall] for k in ranks]
    rows = [["protocol", "mAP", *heads]]
    for name, found in metrics.items():
        values = [found.mean_average_precision, *found.mean_precisions]
        values += [*found.mean_recalls] if with_recall else []
        rows.append([name, *("–" if math.isnan(x) else f"{x * 100:.2f}" for x in values)])
    return rows


# ---------------------------------------------------------------- from the folders of eval.py


def page_folder(map_path: PathLike) -> Path:
    """Return where the page of a table goes: `mAP_page` beside `mAP.txt`."""
    return Path(map_path).with_name(f"{Path(map_path).stem}_page")


def evaluation_page(
    folder: PathLike,
    photos: Mapping[PathLike, PathLike],
    queries: Mapping[str, Sequence[Path]],
    index_folder: PathLike,
    ranks_folder: PathLike,
    benchmark: Benchmark,
    metrics: Mapping[str, Metrics],
    retrieval: RetrievalSettings,
    weights: str,
) -> Path:
    """Write the page of an evaluation from what it leaves behind.

    Args:
        folder: for the page.
        photos: folder of photos → their feature folder; the data set's first, then distractors.
        queries: label → feature files, of the query and of its turns.
        index_folder: the index that was searched.
        ranks_folder: what the search found.
        benchmark: what was asked.
        metrics: setup of the protocol → metrics.
        retrieval: how the images were ranked.
        weights: the file of the network's weights.

    Returns:
        The page.
    """
    files: dict[str, Path] = {}
    for path, features in photos.items():
        manifest = read_manifest(features)
        files.update((name, Path(path) / file) for name, file in manifest.images)
    index = load_index(index_folder)
    built = json.loads(Path(ranks_folder, SETTINGS_NAME).read_text(encoding="utf-8"))
    ranks = np.load(Path(ranks_folder, "ranks.npy"))
    with np.load(Path(ranks_folder, "scores.npz"), allow_pickle=False) as scores:
        inliers, votes, turns = scores["inliers"], scores["votes"], scores["turns"]
    judged = []
    for row, query in enumerate(benchmark.ground_truth.queries):
        paths = queries[query.label][: turns[row].max() + 1]
        content = json.dumps([built, *map(features_checksum, paths)], sort_keys=True)
        judged.append(
            JudgedQuery(
                query.label,
                files[query.name],
                query.box,
                ranks[row],
                inliers[row],
                votes[row],
                {name: judge(query) for name, judge in benchmark.protocol.setups.items()},
                hashlib.sha256(content.encode()).hexdigest(),
                lambda paths=paths, turns=turns[row]: QueryMatches(
                    index, [read_features(path) for path in paths], retrieval, turns
                ),
            )
        )
    images = Path(next(iter(photos)))
    settings = {
        "photos": ", ".join(map(str, photos)),
        "weights": weights,
        **flat_settings(manifest.settings, "features"),
        **flat_settings(built["index"]["index"], "index"),
        **flat_settings(built["retrieval"], "search"),
    }
    summary = summary_line(benchmark, metrics)
    page = write_evaluation_page(
        folder,
        judged,
        [(name, files[name]) for name in index.names],
        metrics,
        f"Retrieval in {images.resolve().name}",
        [f"{summary[0].upper()}{summary[1:]}."],
        settings,
        benchmark.protocol.recall,
    )
    LOG.info("page of the results: %s", page)
    return page
