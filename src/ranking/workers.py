"""Ranking many queries in several processes, each with one thread and a log of its own."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import cv2
import faiss

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.log_files import LogFile
from src.common.signals import blocked
from src.common.worker_processes import guard_worker
from src.feature_io import Features, read_features
from src.index.folder import AnyIndex, load_index
from src.ranking.one_query import RankedQuery
from src.ranking.results import QueryTask
from src.ranking.settings import RetrievalSettings
from src.ranking.turning import rank_turned

LOG = logging.getLogger(__name__)


def rank_in_processes(
    tasks: Sequence[QueryTask],
    index_folder: PathLike,
    logs: Path,
    settings: RetrievalSettings,
    workers: int,
) -> Iterator[tuple[str, RankedQuery]]:
    """Do the tasks in `workers` processes, yielding the results in order."""
    workers = min(workers, len(tasks))
    if workers <= 1:
        with _one_thread(), _worker_log(logs, 0):
            index = load_index(index_folder)
            for task in tasks:
                yield task.label, _rank(task, index, settings)
        return
    context = get_context("spawn")
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    with ProcessPoolExecutor(
        workers, context, _start_worker, (os.getpid(), numbers, index_folder, logs, settings)
    ) as pool:
        with blocked(signal.SIGINT):  # it is the parent's, from the first moment on
            futures = {pool.submit(_work, task): task for task in tasks}
        try:
            # In the order of the queries, so that of several faults the first one is named.
            for future, task in futures.items():
                yield task.label, future.result()
        except BrokenProcessPool:
            raise UserError(
                f"a retrieval process ended before its work was done (out of memory?); see the "
                f"logs {logs}/process*/retrieval*.log and run again: finished queries are kept"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _rank(task: QueryTask, index: AnyIndex, settings: RetrievalSettings) -> RankedQuery:
    features = read_features(task.features) if task.features else Features.empty(index.dimension)
    if not len(features):
        LOG.warning(
            "query %s has no features: its images are ranked in the order of the index", task.label
        )
    result = rank_turned(
        index,
        features,
        lambda: [read_features(path) for path in task.turned],
        settings,
        itself=task.photo,
    )
    task.write(result)
    best = result.ranks[0]
    LOG.info(
        "query %s: %d features, %d images voted; neighbours %.2f s, verification %.2f s; "
        "best %s (%d inliers, %d votes)",
        task.label,
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
    handler = LogFile(open(path, "a", encoding="utf-8"))  # noqa: SIM115  closed with it
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


def _start_worker(
    parent: int, numbers: Queue, index_folder: PathLike, logs: Path, settings: RetrievalSettings
) -> None:
    guard_worker(parent)
    try:
        for resource in (_one_thread(), _worker_log(logs, numbers.get())):
            resource.__enter__()
            _worker.setdefault("resources", []).append(resource)  # for the life of the process
        _worker.update(index=load_index(index_folder), settings=settings)
    except (OSError, UserError) as error:  # the first task tells of it
        _worker["error"] = error


def _work(task: QueryTask) -> RankedQuery:
    if "error" in _worker:
        raise _worker["error"]
    try:
        return _rank(task, _worker["index"], _worker["settings"])
    except Exception:
        LOG.exception("query %s failed", task.label)
        raise
