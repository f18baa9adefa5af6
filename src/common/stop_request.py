"""Ctrl-C and SIGTERM as a wish that a loop grants when it is safe."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

LOG = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
