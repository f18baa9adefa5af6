"""Ctrl-C and SIGTERM: held back, let through, counted, or a wish granted when it is safe."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from src.common.leaving import leave

LOG = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_IMPORTER = "<frozen importlib._bootstrap>"  # the file of its frames


def is_ours(number: int) -> bool:
    """Tell whether a signal is ours to handle: in the main thread, and where it is not ignored.

    A program that was started with Ctrl-C ignored, as a job that a script put in the background,
    goes on ignoring it.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and signal.getsignal(number) != signal.SIG_IGN


def how_it_ended(code: int | None) -> str:
    """Say how a process ended by its exit code: below 0 it is the number of a signal."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, perhaps for lack of memory" if name == "SIGKILL" else name


@contextlib.contextmanager
def handled(number: int, handler: Any) -> Iterator[None]:
    """Handle a signal in another way until the end of a block, where it `is_ours`."""
    if not is_ours(number):
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL if before is None else before)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt in a block that runs MindSpore here, unless it is ignored.

    While it computes, MindSpore turns Ctrl-C into a SIGTERM to its own process, which would end
    without a word.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(handled(signal.SIGINT, _interrupt))
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            stack.enter_context(handled(signal.SIGTERM, _interrupt))
        yield


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, or leave at once where modules are being imported.

    An import that is cut in two ends in other errors than that, or in a crash (MindSpore's). What
    is under way beside it survives as it survives a kill.
    """
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTER:
            leave()
        frame = frame.f_back
    raise KeyboardInterrupt


@contextlib.contextmanager
def blocked(number: int) -> Iterator[None]:
    """Hold a signal back until the end of a block, from this thread and all that is started in it.

    Processes that are started keep it so: they are deaf to it from the first moment on.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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

    A signal that is not ours (see `is_ours`) is left alone.
    """

    def __init__(self, what_follows: str):
        self.count = 0
        self._what_follows = what_follows
        self._before: dict[int, object] = {}

    def __enter__(self) -> CountedSignals:
        mine = filter(is_ours, _SIGNALS)
        self._before = {number: signal.signal(number, self._take) for number in mine}
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
