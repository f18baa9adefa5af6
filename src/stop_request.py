"""Ctrl-C and SIGTERM as a wish that a loop grants when it is safe."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

LOG = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Context in which the first Ctrl-C or SIGTERM only sets `is_made`; the second interrupts.

    Schedulers send SIGTERM and kill after a grace period; MindSpore turns Ctrl-C into SIGTERM while
    it computes. Outside the main thread signals are left alone.
    """

    def __init__(self, what_follows: str):
        self.is_made = False
        self._what_follows = what_follows
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.is_made:
            raise KeyboardInterrupt
        self.is_made = True
        LOG.info("%s: %s", signal.Signals(number).name, self._what_follows)
