"""Work beside the training: writing checkpoints, which the other workers need not wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class Background:
    """Context that does one piece of work at a time in a thread of its own.

    What goes wrong in a piece is raised by the next call. When the block ends, the piece under way
    is waited for, unless Ctrl-C ended it: then nobody wants to wait.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begin a piece of work; wait for the one before."""
        self.wait()
        # A daemon: a process that is told to end does not wait for it.
        self._thread = threading.Thread(target=self._do, args=(work,), daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what went wrong so far."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        """Return when nothing is left to do."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # of another thread: nobody else would see it
            self._error = error

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.wait()
        elif not isinstance(error, KeyboardInterrupt) and self._thread is not None:
            self._thread.join()
