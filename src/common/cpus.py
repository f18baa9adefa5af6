"""How many processors this process may use: not how many the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cpus(root: str | os.PathLike = "/") -> int:
    """Return the number of processors this process may use, at least 1.

    The least of what its affinity allows (taskset, a batch system) and of what the control groups
    it is in grant it (containers), a part of a processor counting as one. Where neither is known,
    the processors of the machine.

    Args:
        root: folder that holds `proc` and `sys`.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min([count, *(math.ceil(quota) for quota in _quotas(Path(root)))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the processors that each control group of this process, or around it, grants.

    Version 2 says them in `cpu.max`, version 1 in `cpu.cfs_quota_us` and `cpu.cfs_period_us`. In
    a container the path of the group may be the host's: then its own is the uppermost folder.
    """
    for controllers, group in _groups(root):
        for mount in [""] if not controllers else [controllers, "cpu", "cpu,cpuacct"]:
            top = root / "sys" / "fs" / "cgroup" / mount
            inner = top / group.lstrip("/")
            for folder in (inner, *inner.parents):
                if folder != top and top not in folder.parents:
                    break
                quota = _quota(folder, bool(controllers))
                if quota is not None:
                    yield quota


def _groups(root: Path) -> list[tuple[str, str]]:
    """Return the controllers ("" for version 2) and the path of each group that may limit it."""
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    return [(names, path) for _, names, path in found if not names or "cpu" in names.split(",")]


def _quota(folder: Path, is_version1: bool) -> float | None:
    """Return the processors that a group grants; None for no limit, or where it says nothing."""
    try:
        if is_version1:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            spent, period = (int((folder / name).read_text(encoding="ascii")) for name in names)
        else:
            spent, period = map(int, (folder / "cpu.max").read_text(encoding="ascii").split())
    except (OSError, ValueError):  # the word "max" among them
        return None
    return spent / period if spent > 0 and period > 0 else None
