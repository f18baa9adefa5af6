"""What MindInsight shows of a training: the summary of its figures, and a profile of some steps."""

from __future__ import annotations

import contextlib
import logging
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
from mindspore.train.summary.enums import WriterPluginEnum
from mindspore.train.summary.writer import SummaryWriter
from mindspore.train.summary_pb2 import Event

from src.common.errors import one_line

LOG = logging.getLogger(__name__)


class Summary:
    """Scalars over the steps in MindSpore's summary format; does nothing without a folder.

    They are written by this process. MindSpore's `SummaryRecord` has processes for that which look
    for work without a pause: on a busy host the worker that had them came late to the others.
    """

    def __init__(self, folder: str | Path | None):
        self._writer = None
        if folder:
            folder = Path(folder)
            folder.mkdir(parents=True, exist_ok=True)
            # As MindInsight finds it; the worker that writes is the first.
            name = f"events.out.events.summary.{int(time.time())}.0.{platform.node()}_MS"
            self._writer = SummaryWriter(str(folder / name))

    def add(self, step: int, **scalars: float) -> None:
        """Record named values of a step."""
        if self._writer is None:
            return
        event = Event(wall_time=time.time(), step=step)
        for name, value in scalars.items():
            event.summary.value.add(tag=name, scalar_value=value)
        try:
            self._writer.write(WriterPluginEnum.SUMMARY.value, event.SerializeToString())
            self._writer.flush()
        except RuntimeError as error:  # a full disk: no reason to end a training
            LOG.warning("no more summary is written: %s", one_line(error))
            self.__exit__()

    def __enter__(self) -> Summary:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


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
