"""Where the time of describing goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

PARTS = ("open", "decode", "pyramid", "network", "selection", "write")


class Stopwatch:
    """Seconds spent in each of some parts.

    Of `PARTS`, "open" is reading weights and compiling; decoding runs beside the network, "decode"
    is the time that the network waited for it.
    """

    def __init__(self, parts: Sequence[str] = PARTS):
        self.seconds = dict.fromkeys(parts, 0.0)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block for a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def text(self) -> str:
        """Return the seconds of each part in a line."""
        return ", ".join(f"{name} {spent:.2f} s" for name, spent in self.seconds.items())
