"""How far a long work is: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

LOG = logging.getLogger(__name__)
T = TypeVar("T")

#: Without a terminal a line comes when so much more is done, or so many seconds have passed …
SHARE, SECONDS = 0.05, 30.0
#: … but none sooner after another one.
PAUSE = 5.0
_PREFIXES = ("", "k", "M", "G", "T")

#: Called with what is done, how much of it, and how much there is, where that is known.
Listener = Callable[[str, int, "int | None"], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Tell a listener too how far the works are that this thread begins in a block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextlib.contextmanager
def part_of(before: int, total: int) -> Iterator[None]:
    """Tell the listener of works in a block as parts of one work, of which `before` was done."""
    listener = _LISTENER.get()
    if listener is None:
        yield
        return
    with told_to(lambda what, done, _: listener(what, before + done, total)):
        yield


def progress(items: Iterable[T], what: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield items, and tell how many are done.

    Args:
        items: the work, item by item.
        what: is done, such as "describing".
        unit: of the items, in the singular.
        total: how many there are; by default the length of `items`, where it has one.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    with progress_bar(what, total, unit) as bar:
        for item in items:
            yield item
            bar.update()


def progress_bar(
    what: str, total: int | None, unit: str, initial: int = 0, scaled: bool = False
) -> Any:
    """Return something with `update(count)`, a context that closes it.

    Args:
        what: is done.
        total: how much there is to be done, where that is known.
        unit: of it.
        initial: how much was done before.
        scaled: large numbers are written with k, M, G.
    """
    listener = _LISTENER.get()
    if listener is not None:
        return HeardProgress(_shown(what, total, unit, initial, scaled), listener, what, total)
    return _shown(what, total, unit, initial, scaled)


def _shown(what: str, total: int | None, unit: str, initial: int, scaled: bool) -> Any:
    # Of nothing there is nothing to tell; who wants it quiet wants no bar.
    if sys.stderr.isatty() and total != 0 and LOG.isEnabledFor(logging.INFO):
        from tqdm import tqdm

        return tqdm(desc=what, total=total, unit=unit, initial=initial, unit_scale=scaled)
    return ProgressLines(what, total, unit, initial, scaled)


class HeardProgress:
    """A bar that also tells a listener how far it is."""

    def __init__(self, bar: Any, listener: Listener, what: str, total: int | None):
        """Begin; see `progress_bar`."""
        self._bar, self._listener, self._what, self._total = bar, listener, what, total

    def __enter__(self) -> HeardProgress:
        self._bar.__enter__()
        self._listener(self._what, self._bar.n, self._total)
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def update(self, count: int = 1) -> None:
        """Note that so much more is done."""
        self._bar.update(count)
        self._listener(self._what, self._bar.n, self._total)


class ProgressLines:
    """Log lines about a work, as `progress_bar` returns where there is no terminal."""

    def __init__(
        self,
        what: str,
        total: int | None,
        unit: str,
        initial: int = 0,
        scaled: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Begin; see `progress_bar`."""
        self._what, self._total, self._unit, self._scaled = what, total, unit, scaled
        self._initial = self.n = self._told = initial
        self._clock = clock
        self._start = self._last = clock()

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, count: int = 1) -> None:
        """Note that so much more is done."""
        self.n += count
        now = self._clock()
        waited = now - self._last
        is_share = self._total is not None and self.n - self._told >= SHARE * self._total
        if waited >= SECONDS or (is_share and waited >= PAUSE):
            LOG.info("%s", self._line(now - self._start))
            self._told, self._last = self.n, now

    def close(self) -> None:
        """End; what is done is told by whoever did it."""

    def _line(self, seconds: float) -> str:
        speed = (self.n - self._initial) / seconds if seconds else 0.0
        done = self._number(self.n)
        if self._total is not None:
            done += f" of {self._number(self._total)}"
        unit = self._unit if self._unit == "B" else f"{self._unit}s"
        line = f"{self._what}: {done} {unit}, {self._number(speed)} {unit}/s"
        if self._total is not None and speed:
            line += f", {duration((self._total - self.n) / speed)} left"
        return line

    def _number(self, value: float) -> str:
        if not self._scaled:
            return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
        power = 0
        while value >= 1000 and power + 1 < len(_PREFIXES):
            value, power = value / 1000, power + 1
        return f"{value:.3g}{_PREFIXES[power]}"


def duration(seconds: float) -> str:
    """Return a duration as people read it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
