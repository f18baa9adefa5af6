"""Retrieval for many queries: in several processes, resumed where it was stopped."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np
from tqdm import tqdm

from src.common.atomic_files import PathLike, write_json, write_npy, write_npz
from src.common.errors import LOG_FORMAT, UserError
from src.feature_io import (
    MANIFEST_NAME,
    Features,
    check_settings,
    feature_path,
    features_checksum,
    read_features,
    read_manifest,
)
from src.index.build import Index, load_index, read_description
from src.ranking.one_query import RankedQuery, RetrievalSettings, rank_images

LOG = logging.getLogger(__name__)

OUTPUT_FOLDER = Path("retrieval_dataset")
SETTINGS_NAME = "retrieval.json"
_KEPT = ("ranks", "scores", "inliers", "votes")  # of a query's result


def retrieve(
    index_folder: PathLike,
    features_folder: PathLike,
    queries: Mapping[str, str],
    output_folder: PathLike = OUTPUT_FOLDER,
    settings: RetrievalSettings = RetrievalSettings(),  # noqa: B008 (frozen)
    workers: int = 1,
    log_folder: PathLike | None = None,
) -> np.ndarray:
    """Rank all images for each query, in several processes, and keep the results.

    In the output folder: `ranks.npy` (int32 [queries, images]), `scores.npz` with `scores`,
    `inliers` and `votes` of the same shape (by image index) and the `queries`, one file a query
    under `queries`, by which an interrupted run goes on, and `process[X]/retrieval[X].log` of
    worker X (in `log_folder`). Each worker computes with one thread, so that the result does not
    depend on how many there are.

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
    index_settings = read_description(index_folder)["settings"]
    unreadable = _described_queries(features_folder, index_settings["features"])
    wanted = {"retrieval": asdict(settings), "index": index_settings}
    if (output / SETTINGS_NAME).exists():
        check_settings(_read_settings(output), wanted, f"the retrieval in {output}")
    else:
        write_json(output / SETTINGS_NAME, wanted)
    jobs = [
        _Job(
            label,
            None if name in unreadable else feature_path(features_folder, name),
            _result_path(output, label),
            wanted,
        )
        for label, name in queries.items()
    ]
    results: dict[str, RankedQuery] = {}
    for job in jobs:
        found = job.read()
        if found is not None:
            results[job.label] = found
    todo = [job for job in jobs if job.label not in results]
    LOG.info("%d queries, %d of them done before", len(jobs), len(results))
    progress = tqdm(total=len(jobs), initial=len(results), desc="queries", disable=None)
    with progress:
        for label, result in _run(
            todo, index_folder, Path(log_folder or output), settings, workers
        ):
            results[label] = result
            progress.update()
    ordered = [results[label] for label in queries]
    ranks = np.stack([result.ranks for result in ordered])
    scores = {
        "queries": np.array(list(queries)),
        "scores": np.stack([result.scores for result in ordered]),
        "inliers": np.stack([result.inliers for result in ordered]),
        "votes": np.stack([result.votes for result in ordered]),
    }
    write_npz(output / "scores.npz", scores)
    write_npy(output / "ranks.npy", ranks)
    return ranks


def _described_queries(features_folder: PathLike, wanted: Mapping[str, Any]) -> set[str]:
    """Check that queries were described as the images, boxes apart; return the unreadable ones.

    Of single feature files, without a manifest, nothing is known.
    """
    if not (Path(features_folder) / MANIFEST_NAME).exists():
        return set()
    manifest = read_manifest(features_folder)
    both = ({k: v for k, v in d.items() if k != "crop_boxes"} for d in (manifest.settings, wanted))
    check_settings(*both, f"features of the queries in {features_folder}")
    return set(manifest.failed)


def _read_settings(output: Path) -> dict:
    try:
        return json.loads((output / SETTINGS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {output / SETTINGS_NAME} ({error}); delete {output} and run again"
        ) from None


def _result_path(output: Path, label: str) -> Path:
    return output / "queries" / f"{label}.npz"


@dataclass(frozen=True)
class _Job:
    """One query: its features' file, where its result goes, the settings the result depends on.

    A query whose photo could not be read has no file.
    """

    label: str
    features: Path | None
    result: Path
    settings: dict

    def fingerprint(self) -> str:
        """Identify everything that the result depends on."""
        content = features_checksum(self.features) if self.features else "unreadable"
        parts = [content, json.dumps(self.settings, sort_keys=True)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def read(self) -> RankedQuery | None:
        """Return the result of an earlier run, None where there is none that still holds."""
        try:
            with np.load(self.result, allow_pickle=False) as arrays:
                if str(arrays["fingerprint"]) != self.fingerprint():
                    return None
                return RankedQuery(*(arrays[name] for name in _KEPT))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            LOG.warning("%s is damaged and is computed again", self.result)
            return None

    def write(self, result: RankedQuery) -> None:
        """Keep a result."""
        arrays = {name: getattr(result, name) for name in _KEPT}
        write_npz(self.result, {"fingerprint": np.array(self.fingerprint()), **arrays})


def _run(
    jobs: Sequence[_Job],
    index_folder: PathLike,
    logs: Path,
    settings: RetrievalSettings,
    workers: int,
) -> Iterator[tuple[str, RankedQuery]]:
    """Do the jobs in `workers` processes, yielding the results in order."""
    workers = min(workers, len(jobs))
    if workers <= 1:
        with _one_thread(), _worker_log(logs, 0):
            index = load_index(index_folder)
            for job in jobs:
                yield job.label, _do(job, index, settings)
        return
    context = get_context("spawn")
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    with ProcessPoolExecutor(
        workers, context, _start_worker, (numbers, str(index_folder), str(logs), settings)
    ) as pool:
        futures = {pool.submit(_work, job): job for job in jobs}
        try:
            # In the order of the queries, so that of several faults the first one is named.
            for future, job in futures.items():
                yield job.label, future.result()
        except BrokenProcessPool:
            raise UserError(
                f"a retrieval process ended before its work was done (out of memory?); see the "
                f"logs {logs}/process*/retrieval*.log and run again: finished queries are kept"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _do(job: _Job, index: Index, settings: RetrievalSettings) -> RankedQuery:
    features = read_features(job.features) if job.features else Features.empty(index.dimension)
    if not len(features):
        LOG.warning(
            "query %s has no features: its images are ranked in the order of the index", job.label
        )
    result = rank_images(index, features, settings)
    job.write(result)
    best = result.ranks[0]
    LOG.info(
        "query %s: %d features, %d images voted; neighbours %.2f s, verification %.2f s; "
        "best %s (%d inliers, %d votes)",
        job.label,
        len(features),
        (result.votes > 0).sum(),
        *result.seconds,
        index.names[best],
        result.inliers[best],
        result.votes[best],
    )
    return replace(result, seconds=(0.0, 0.0))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let FAISS and OpenCV use one thread: sums do not depend on how work is divided."""
    before = faiss.omp_get_max_threads(), cv2.getNumThreads()
    faiss.omp_set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before[0])
        cv2.setNumThreads(before[1])


@contextmanager
def _worker_log(logs: Path, number: int) -> Iterator[None]:
    """Append this process's log records to `process[X]/retrieval[X].log`."""
    path = logs / f"process{number}" / f"retrieval{number}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    level = LOG.level
    LOG.setLevel(logging.INFO)
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)
        handler.close()


# The state of a worker process, made once by `_start_worker`.
_worker: dict = {}


def _start_worker(numbers, index_folder: str, logs: str, settings: RetrievalSettings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    number = numbers.get()
    for resource in (_one_thread(), _worker_log(Path(logs), number)):
        resource.__enter__()
        _worker.setdefault("resources", []).append(resource)  # for the life of the process
    _worker.update(index=load_index(index_folder), settings=settings)


def _end_with_parent() -> None:
    """End this process when its parent is gone, killed perhaps: nobody would fetch its results."""
    parent_process().join()
    os._exit(1)


def _work(job: _Job) -> RankedQuery:
    try:
        return _do(job, _worker["index"], _worker["settings"])
    except Exception:
        LOG.exception("query %s failed", job.label)
        raise
