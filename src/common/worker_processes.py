"""Working through many tasks in several processes: in order, and no hanging when one dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from src.common.errors import UserError
from src.common.signals import blocked

T = TypeVar("T")
R = TypeVar("R")


def in_processes(function: Callable[[T], R], tasks: Iterable[T], workers: int) -> Iterator[R]:
    """Yield `function(task)` of each task, in order, with a bounded number of tasks under way.

    Raises:
        UserError: a process was killed. What `function` raises is raised here.
    """
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context(_start_method()),
        initializer=guard_worker,
        initargs=(os.getpid(),),
    )
    pending: deque = deque()
    try:
        for task in tasks:
            with blocked(signal.SIGINT):  # it is the parent's, from the first moment on
                pending.append(pool.submit(function, task))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, perhaps for want of memory; run the same command again, with "
            "a smaller --num_workers"
        ) from error
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown()


def _start_method() -> str:
    """Return how processes are started: forked, at once; anew where the system forks none."""
    methods = multiprocessing.get_all_start_methods()
    return "fork" if "fork" in methods else methods[0]


def guard_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when it is gone: nobody would fetch the results.

    Called once in each worker process, by the process id of its parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
