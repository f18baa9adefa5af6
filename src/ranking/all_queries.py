"""Retrieval for many queries: in several processes, resumed where it was stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.progress import progress_bar
from src.feature_io import (
    MANIFEST_NAME,
    check_settings,
    comparable,
    feature_path,
    read_manifest,
)
from src.index.files import read_description
from src.ranking.one_query import RankedQuery
from src.ranking.results import QueryTask, begin_results, result_path, write_results
from src.ranking.settings import RetrievalSettings
from src.ranking.workers import rank_in_processes

LOG = logging.getLogger(__name__)

OUTPUT_FOLDER = Path("retrieval_dataset")


def retrieve(
    index_folder: PathLike,
    features_folder: PathLike,
    queries: Mapping[str, str],
    output_folder: PathLike = OUTPUT_FOLDER,
    settings: RetrievalSettings = RetrievalSettings(),  # noqa: B008 (frozen)
    workers: int = 1,
    log_folder: PathLike | None = None,
    turned: Mapping[str, Sequence[Path]] | None = None,
    photos: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Rank all images for each query, in several processes, and keep the results.

    In the output folder: `ranks.npy` (int32 [queries, images]), `scores.npz` with `scores`,
    `inliers`, `votes`, `turns` and `similarities` of the same shape (by image index) and the
    `queries`, one file a query under `queries`, by which an interrupted run goes on, and
    `process[X]/retrieval[X].log` of worker X (in `log_folder`). Each worker computes with one
    thread, so that the result does not depend on how many there are.

    A query need not be in the index. One whose photo could not be read when the features were
    extracted has none, like one without texture: its images stay in the order of the index.

    Args:
        index_folder: a complete index.
        features_folder: where the query images' features are; may be that of the index.
        queries: label → name of its feature file in `features_folder`, in the order of the rows.
        output_folder: for the results.
        settings: how to rank.
        workers: number of processes, at least 1.
        log_folder: for the logs of the workers; by default the output folder.
        turned: label → feature files of the query's turns, `settings.turns`; by default none.
        photos: label → the query's own name among the images; by default as in `queries`.

    Returns:
        int32 [queries, images], image indices, best first.

    Raises:
        UserError: when there are no queries, the features of one are missing, when the folder
            holds results of other settings, the queries were described otherwise than the images,
            or when a worker dies.
    """
    output = Path(output_folder)
    if not queries:
        raise UserError("there are no queries to rank the images for")
    made_with = {
        "retrieval": asdict(settings),
        "index": read_description(index_folder)["settings"],
    }
    unreadable = _described_queries(features_folder, made_with["index"]["features"])
    begin_results(output, made_with)
    tasks = [
        QueryTask(
            label,
            None if name in unreadable else feature_path(features_folder, name),
            result_path(output, label),
            made_with,
            tuple((turned or {}).get(label, ())),
            (photos or queries)[label],
        )
        for label, name in queries.items()
    ]
    results = _rank_missing(tasks, index_folder, Path(log_folder or output), settings, workers)
    return write_results(output, {label: results[label] for label in queries})


def _rank_missing(
    tasks: Sequence[QueryTask],
    index_folder: PathLike,
    logs: Path,
    settings: RetrievalSettings,
    workers: int,
) -> dict[str, RankedQuery]:
    """Return the result of each query by its label: of an earlier run, or made now."""
    kept = {task.label: task.read() for task in tasks}
    results = {label: found for label, found in kept.items() if found is not None}
    missing = [task for task in tasks if task.label not in results]
    LOG.info("%d queries, %d of them done before", len(tasks), len(results))
    with progress_bar("ranking", len(tasks), "query photo", len(results)) as progress:
        for label, result in rank_in_processes(missing, index_folder, logs, settings, workers):
            results[label] = result
            progress.update()
    return results


def _described_queries(features_folder: PathLike, wanted: Mapping[str, Any]) -> set[str]:
    """Check that queries can be compared with the images; return the unreadable ones.

    Of single feature files, without a manifest, nothing is known.
    """
    if not (Path(features_folder) / MANIFEST_NAME).exists():
        return set()
    manifest = read_manifest(features_folder)
    both = (comparable(settings) for settings in (manifest.settings, wanted))
    check_settings(*both, f"features of the queries in {features_folder}")
    return set(manifest.failed)
