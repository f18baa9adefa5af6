"""Where the time of describing goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

PARTS = ("decode", "pyramid", "network", "selection", "write")


class Stopwatch:
    """Seconds spent in each of `PARTS`.

    Decoding runs beside the network; "decode" is the time that the network waited for it.
    """

    def __init__(self):
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block for a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start
