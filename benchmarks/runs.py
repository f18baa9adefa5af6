"""Runs in processes of their own that take turns, and what is printed of their speed."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple


class Run(NamedTuple):
    """One run: photos, processor seconds, seconds by the clock, peak memory of a process."""

    photos: int
    processor: float
    clock: float
    peak_bytes: int


def in_own_process(function: Callable, *arguments: Any) -> Any:
    """Return `function(*arguments)` of a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def take_turns(
    names: Sequence[str], rounds: int, measure: Callable[[str], Run]
) -> dict[str, list[Run]]:
    """Return what `measure` says of each name, `rounds` times each, one after the other."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, some in runs.items():
            some.append(measure(name))
    return runs


def print_speeds(runs: dict[str, list[Run]]) -> None:
    """Print a line each, of medians, and how many times faster the last one is than the first."""
    width = max(map(len, runs)) + 1
    for name, some in runs.items():
        print(
            f"{name:{width}}"
            f"{statistics.median(run.photos / run.processor for run in some):7.0f} photos/s of "
            f"processor time, {statistics.median(run.photos / run.clock for run in some):6.0f} by "
            f"the clock, peak memory {max(run.peak_bytes for run in some) / 1e6:.0f} MB"
        )
    first, *_, last = runs
    ratio = statistics.median(
        (a.processor / a.photos) / (b.processor / b.photos) for a, b in zip(runs[first], runs[last])
    )
    print(f"{last} / {first}: {ratio:.1f}×")
