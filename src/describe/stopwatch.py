"""Where the time of describing goes."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence

from src.common.progress import duration

LOG = logging.getLogger(__name__)

PARTS = ("open", "decode", "pyramid", "network", "selection", "write")


class Stopwatch:
    """Seconds spent in each of some parts.

    Of `PARTS`, "open" is reading weights and compiling; decoding runs beside the network, "decode"
    is the time that the network waited for it.
    """

    def __init__(self, parts: Sequence[str] = PARTS):
        self.seconds = dict.fromkeys(parts, 0.0)
        self._inside = 0.0  # counted for parts inside the one that is open

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block for a part, but for that of parts inside of it."""
        start = time.perf_counter()
        outside, self._inside = self._inside, 0.0
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] += spent - self._inside
            self._inside = outside + spent

    def text(self) -> str:
        """Return the seconds of each part in a line."""
        return ", ".join(f"{name} {spent:.2f} s" for name, spent in self.seconds.items())


class Pace:
    """Says once, as soon as it is known, how long describing takes, where that is long."""

    MEASURED = 3  # photos after the first, which waits for the network to be compiled
    LONG = 10.0  # seconds

    def __init__(self, photos: int, clock: Callable[[], float] = time.monotonic):
        """Begin; photos: how many there are to be described."""
        self._photos, self._clock = photos, clock
        self._done = 0
        self._start = 0.0

    def photo_done(self) -> None:
        """Note that another photo is described."""
        self._done += 1
        if self._done == 1:
            self._start = self._clock()
        if self._done != 1 + self.MEASURED:
            return
        seconds = (self._clock() - self._start) / self.MEASURED
        left = self._photos - self._done
        if seconds * left >= self.LONG:
            LOG.info(
                "%.2g s a photo: describing the other %d takes about %s",
                *(seconds, left, duration(seconds * left)),
            )
