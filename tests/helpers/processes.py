"""Waiting for other processes."""

from __future__ import annotations

import time
from typing import Callable

import psutil


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be counted does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so, but not for ever; the caller looks again."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
