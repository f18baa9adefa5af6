"""How many processors this process may use: fewer than there are where it was given a share."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_SELF = Path("/proc/self")
_OCTAL = re.compile(r"\\(\d{3})")


def cpu_count() -> int:
    """Return the number of processors this process may use, at least 1.

    Those it may run on (Linux: its affinity), or less where its control groups allow it less time
    than these have: a quota of one and a half is two, which are then not always busy.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, math.ceil(min(count, cpu_quota())))


def cpu_quota(process: Path = _SELF) -> float:
    """Return how many processors' time the control groups of a process allow it.

    Its own group and all around it count (Linux: Control Group v2, `cpu.max`; CFS Scheduler,
    `cpu.cfs_quota_us`), as far as they can be seen: in a container only those inside it can.

    Args:
        process: its folder in /proc.

    Returns:
        Infinity where nothing limits it.
    """
    quotas = [math.inf]
    with contextlib.suppress(OSError, ValueError):
        groups = _groups(process)
        for is_v2, root, mount in _mounts(process):
            if is_v2 in groups:
                folders = _folders(groups[is_v2], root, mount)
                quotas += [_quota(folder, is_v2) for folder in folders]
    return min(quotas)


def _groups(process: Path) -> dict[bool, PurePosixPath]:
    """Return a process's group in the hierarchy of v2 (True) and in v1's of processors (False)."""
    groups = {}
    for line in (process / "cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        is_v2 = number == "0" and not controllers
        if is_v2 or "cpu" in controllers.split(","):
            groups[is_v2] = PurePosixPath(path)
    return groups


def _mounts(process: Path) -> Iterator[tuple[bool, PurePosixPath, Path]]:
    """Yield whether of v2, the group seen at the top, and the folder, of each mounted hierarchy."""
    for line in (process / "mountinfo").read_text().splitlines():
        about, _, system = line.partition(" - ")
        if not system.startswith(("cgroup2 ", "cgroup ")):
            continue
        kind, *_, options = system.split(" ")
        if kind == "cgroup2" or "cpu" in options.split(","):
            root, mount = (
                _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
                for text in about.split(" ")[3:5]
            )
            yield kind == "cgroup2", PurePosixPath(root), Path(mount)


def _folders(group: PurePosixPath, root: PurePosixPath, mount: Path) -> list[Path]:
    """Return the folders of a group and of those around it; the top only where it is outside."""
    inside = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    return [mount / part for part in (inside, *inside.parents)]


def _quota(folder: Path, is_v2: bool) -> float:
    """Return the quota of one group in processors, infinity where it has none or tells none."""
    try:
        if is_v2:
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((folder / name).read_text() for name in names)
        processors = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" is not a number
        return math.inf
    return processors if processors > 0 else math.inf
