"""What MindInsight shows of a training: the summary of its figures, and a profile of some steps."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms

LOG = logging.getLogger(__name__)


class Summary:
    """Scalars over the steps in MindSpore's summary format; does nothing without a folder."""

    def __init__(self, folder: str | Path | None):
        self._record = None
        if folder:
            with _default_termination():
                self._record = ms.SummaryRecord(str(folder))

    def add(self, step: int, **scalars: float) -> None:
        """Record named values of a step."""
        if self._record is None:
            return
        for name, value in scalars.items():
            self._record.add_value("scalar", name, ms.Tensor(value, ms.float32))
        self._record.record(step)

    def __enter__(self) -> Summary:
        return self

    def __exit__(self, *_: object) -> None:
        if self._record is not None:
            self._record.close()


@contextlib.contextmanager
def _default_termination() -> Iterator[None]:
    """Let processes that are forked inside end by SIGTERM at once.

    MindSpore's summary ends its writers by that signal. With a handler of ours, which they inherit,
    it would be lost on one that is just about to wait, and the training would never end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def profiled(folder: str | Path | None) -> Iterator[None]:
    """Profile the steps done inside; does nothing without a folder."""
    if not folder:
        yield
        return
    path = Path(folder) / "profiler"
    path.mkdir(parents=True, exist_ok=True)
    profiler = ms.Profiler(output_path=str(path))
    try:
        yield
    finally:
        profiler.analyse()
        LOG.info("the profile is in %s", path)
