"""Hundreds of damaged files of each kind: read, or refused in a line, in bounded time and memory.

`--fuzz N` tries N of each kind. A fault names its number; the same number makes the same damage.
"""

import json
import signal
import subprocess
import sys

import pytest

from model_utils.environment import PROJECT_ROOT
from tests.helpers.fuzz import SECONDS
from tests.helpers.fuzz_kinds import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused_in_a_line(kind, tmp_path, request):
    count = request.config.getoption("--fuzz")
    command = [sys.executable, "-m", "tests.helpers.fuzz", kind, str(count), str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=300 + SECONDS * count,
    )
    now = tmp_path / "now"
    where = now.read_text() if now.exists() else "the whole files"
    ended = signal.Signals(-done.returncode).name if done.returncode < 0 else done.returncode
    assert done.returncode == 0, f"{ended} at {where}: {done.stderr[-2000:]}"
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["faults"], json.dumps(found["first"], indent=1)
