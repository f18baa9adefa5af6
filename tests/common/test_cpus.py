"""How many processors a process may use."""

import os
import subprocess
import sys

import pytest

from model_utils.environment import PROJECT_ROOT
from src.common import cpus


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 processors, all of which this process may use."""
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def put(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    put("proc/self/cgroup", "0::/jobs/mine\n")
    return tmp_path, put


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 64),
        ({"jobs/mine/cpu.max": "400000 100000\n"}, 4),
        ({"jobs/mine/cpu.max": "max 100000\n"}, 64),
        ({"jobs/mine/cpu.max": "150000 100000\n"}, 2),
        ({"jobs/mine/cpu.max": "20000 100000\n"}, 1),
        ({"jobs/cpu.max": "300000 100000\n", "jobs/mine/cpu.max": "max 100000\n"}, 3),
        ({"jobs/cpu.max": "300000 100000\n", "jobs/mine/cpu.max": "800000 100000\n"}, 3),
        ({"cpu.max": "250000 50000\n"}, 5),  # a container's own, under the host's path
        ({"jobs/mine/cpu.max": "many processors\n"}, 64),
        ({"jobs/mine/cpu.max": ""}, 64),
        ({"jobs/mine/cpu.max": "100000 0\n"}, 64),
        ({"jobs/mine/cpu.max": "9900000 100000\n"}, 64),
    ],
)
def test_control_groups_of_version_2(machine, files, expected):
    root, put = machine
    for name, text in files.items():
        put(f"sys/fs/cgroup/{name}", text)
    assert cpus.usable_cpus(root) == expected


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(
    ("group", "quota", "expected"),
    [("jobs/mine", "600000", 6), ("", "250000", 3), ("jobs", "-1", 64), ("jobs", "what", 64)],
)
def test_control_groups_of_version_1(machine, mount, group, quota, expected):
    root, put = machine
    put("proc/self/cgroup", "7:memory:/jobs/mine\n3:cpu,cpuacct:/jobs/mine\n2:cpuset:/other\n")
    put(f"sys/fs/cgroup/{mount}/{group}/cpu.cfs_quota_us", quota)
    put(f"sys/fs/cgroup/{mount}/{group}/cpu.cfs_period_us", "100000\n")
    assert cpus.usable_cpus(root) == expected


def test_affinity_and_quota_both_count(machine, monkeypatch):
    root, put = machine
    put("sys/fs/cgroup/cpu.max", "600000 100000\n")
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert cpus.usable_cpus(root) == 2


def test_a_system_without_any_of_it(tmp_path, monkeypatch):
    monkeypatch.delattr(cpus.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(cpus.os, "cpu_count", lambda: 8)
    assert cpus.usable_cpus(tmp_path) == 8
    monkeypatch.setattr(cpus.os, "cpu_count", lambda: None)
    assert cpus.usable_cpus(tmp_path) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a system without affinities")
def test_a_process_held_to_one_processor():
    code = (
        "import os; from src.common.cpus import usable_cpus;"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(usable_cpus())"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert said.stdout == "1\n", said.stderr


def test_nobody_counts_processors_in_another_way():
    ways = ("cpu_count", "len(os.sched_getaffinity", "len(sched_getaffinity")
    folders = ("src", "model_utils", "sample_world", "scripts")
    files = [path for folder in folders for path in (PROJECT_ROOT / folder).rglob("*.py")]
    found = {
        path.relative_to(PROJECT_ROOT).as_posix()
        for path in files
        if any(way in path.read_text(encoding="utf-8") for way in ways)
    }
    assert found == {"src/common/cpus.py"}
