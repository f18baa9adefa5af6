"""How many processors this process may use: affinity and the quotas of its control groups."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from src.common import cpus
from src.common.cpus import cpu_count, cpu_quota


def made_up(tmp_path: Path, group: str, mounts: list[str], files: dict[str, str]) -> Path:
    """Write a process's folder of /proc and the files of its groups; MOUNT is where they are."""
    process = tmp_path / "process"
    process.mkdir()
    (process / "cgroup").write_text(group)
    here = str(tmp_path).replace(" ", "\\040")
    lines = ["22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw,cpu", *mounts]
    (process / "mountinfo").write_text("\n".join(lines).replace("MOUNT", here) + "\n")
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return process


V2 = "31 23 0:28 / MOUNT rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 / MOUNT/cpu rw - cgroup cgroup rw,cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, math.inf),
        ({"a/b/cpu.max": "150000 100000\n"}, 1.5),
        ({"a/b/cpu.max": "max 100000\n"}, math.inf),
        ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5),
        ({"a/b/cpu.max": "100000 100000\n", "a/cpu.max": "400000 100000\n"}, 1.0),
        ({"cpu.max": "20000 10000\n", "a/b/cpu.max": "nonsense"}, 2.0),
        ({"cpu.max": "20000 0\n"}, math.inf),
        ({"c/cpu.max": "10000 100000\n"}, math.inf),
    ],
)
def test_quota_of_version_2_is_the_least_of_nested_groups(tmp_path, files, wanted):
    assert cpu_quota(made_up(tmp_path, "0::/a/b\n", [V2], files)) == wanted


@pytest.mark.parametrize(("quota", "wanted"), [("-1", math.inf), ("300000", 3.0), ("0", math.inf)])
def test_quota_of_version_1(tmp_path, quota, wanted):
    files = {"cpu/a/cpu.cfs_quota_us": f"{quota}\n", "cpu/a/cpu.cfs_period_us": "100000\n"}
    group = "5:cpuset:/x\n4:cpu,cpuacct:/a\n0::/y\n"
    assert cpu_quota(made_up(tmp_path, group, [V1], files)) == wanted


def test_both_versions_mounted_at_once(tmp_path):
    files = {
        "cpu/a/cpu.cfs_quota_us": "300000\n",
        "cpu/a/cpu.cfs_period_us": "100000\n",
        "unified/a/cpu.max": "200000 100000\n",
    }
    unified = V2.replace("MOUNT", "MOUNT/unified")
    group = "4:cpu,cpuacct:/a\n0::/a\n"
    assert cpu_quota(made_up(tmp_path, group, [V1, unified], files)) == 2.0


@pytest.mark.parametrize("group", ["/docker/123", "/", "/elsewhere/456", "/../456", "/docker/.."])
def test_a_container_sees_its_own_group_at_the_top(tmp_path, group):
    """Its group may be named from outside, whatever is mounted."""
    mount = V2.replace("0:28 /", "0:28 /docker/123")
    process = made_up(tmp_path, f"0::{group}\n", [mount], {"cpu.max": "100000 100000\n"})
    assert cpu_quota(process) == 1.0


def test_folders_with_spaces(tmp_path):
    (tmp_path / "a b").mkdir()
    process = made_up(tmp_path / "a b", "0::/\n", [V2], {"cpu.max": "100000 100000\n"})
    assert cpu_quota(process) == 1.0


@pytest.mark.parametrize("group", ["", "what:ever\n", "no colons at all\n"])
def test_nothing_to_be_seen_limits_nothing(tmp_path, group):
    assert cpu_quota(made_up(tmp_path, group, [V2, "short - cgroup2"], {})) == math.inf
    assert cpu_quota(tmp_path / "missing") == math.inf


@pytest.mark.parametrize(
    ("own", "quota", "wanted"), [(8, math.inf, 8), (8, 2.5, 3), (2, 4.0, 2), (8, 0.1, 1)]
)
def test_the_lesser_of_affinity_and_quota_counts(monkeypatch, own, quota, wanted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(own)), raising=False)
    monkeypatch.setattr(cpus, "cpu_quota", lambda: quota)
    assert cpu_count() == wanted


def test_a_system_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(cpus, "cpu_quota", lambda: math.inf)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu_count() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu_count() == 1
