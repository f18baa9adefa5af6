"""Ctrl-C and SIGTERM: held back, let through, counted, or a wish granted when it is safe."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

LOG = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def handled(number: int, handler: Any) -> Iterator[None]:
    """Handle a signal in another way until the end of a block; not outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL if before is None else before)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt in a block that runs MindSpore here.

    While it computes, MindSpore turns Ctrl-C into a SIGTERM to its own process, which would end
    without a word.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    with handled(signal.SIGTERM, interrupt):
        yield


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the end of a block: an import of MindSpore cut in two is a crash."""
    seen = []
    with handled(signal.SIGINT, lambda *_: seen.append(True)):
        yield
    if seen:
        signal.raise_signal(signal.SIGINT)


class CountedSignals:
    """Context in which Ctrl-C and SIGTERM are counted and logged with `what_follows`.

    Outside the main thread signals are left alone.
    """

    def __init__(self, what_follows: str):
        self.count = 0
        self._what_follows = what_follows
        self._before: dict[int, object] = {}

    def __enter__(self) -> CountedSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        LOG.info("%s: %s", signal.Signals(number).name, self._what_follows)


class StopRequest(CountedSignals):
    """Context in which the first Ctrl-C or SIGTERM only sets `is_made`; the second interrupts.

    Schedulers send SIGTERM and kill after a grace period; MindSpore turns Ctrl-C into SIGTERM while
    it computes.
    """

    @property
    def is_made(self) -> bool:
        """Whether somebody has asked."""
        return self.count > 0

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.is_made:
            raise KeyboardInterrupt
        super()._take(number, frame)
