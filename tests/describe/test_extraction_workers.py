"""Worker processes in trouble: their message, nothing left behind, and the next run goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from src.common.errors import UserError
from src.describe.folder import extract_folder
from tests.helpers.processes import hear_ctrl_c
from tests.helpers.toy_engine import CONFIG, PCA, FakeEngine

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("trouble", "error", "message"),
    [
        ("die", UserError, r"worker 1.*SIGKILL"),
        ("defect", RuntimeError, "the device is on fire"),
        ("user error", UserError, "the checkpoint is for something else"),
    ],
)
def test_a_worker_in_trouble_ends_the_run_with_its_message(
    photos, tmp_path, trouble, error, message
):
    out = tmp_path / "features"
    start = time.monotonic()
    with pytest.raises(error, match=message):
        extract_folder(photos, out, FakeEngine(trouble=trouble), CONFIG, PCA, devices=(0, 1))
    assert time.monotonic() - start < 20
    assert _children_of(os.getpid()) == []
    assert not (out / "features.json").exists()
    # The next run goes on.
    summary = extract_folder(photos, out, FakeEngine(), CONFIG, PCA)
    assert summary.extracted + summary.skipped == 7


def _children_of(pid):
    """Processes whose parent is `pid`, those of multiprocessing's own bookkeeping aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z" and b"resource_tracker" not in command:
            found.append(int(stat.parent.name))
    return found


_SLOW_RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from src.common.errors import (run_command)
from src.describe.folder import extract_folder
from tests.helpers.toy_engine import CONFIG, PCA, FakeEngine

if __name__ == "__main__":
    run_command(lambda: extract_folder(
        sys.argv[2], sys.argv[3],
        FakeEngine(trouble="slow", started=sys.argv[3] + ".started"), CONFIG, PCA,
        devices=range(int(sys.argv[4])),
    ))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks processes up in /proc")
@pytest.mark.parametrize(
    ("how", "workers"),
    [(signal.SIGKILL, 2), (signal.SIGTERM, 2), (signal.SIGINT, 2), (signal.SIGINT, 1)],
)
def test_workers_do_not_outlive_their_parent(photos, tmp_path, how, workers):
    script = tmp_path / "slow.py"
    script.write_text(_SLOW_RUN)
    out = tmp_path / "features"
    process = subprocess.Popen(
        [sys.executable, str(script), str(ROOT), str(photos), str(out), str(workers)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    watchdog = threading.Timer(40, process.kill)
    watchdog.start()
    try:
        while len(list(tmp_path.glob("features.started.*"))) < workers:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        children = _children_of(process.pid)
        assert len(children) == (workers if workers > 1 else 0)
        if how == signal.SIGINT:  # a terminal sends it to the whole group
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        text = process.stderr.read()
        code = process.wait()
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            assert time.monotonic() < deadline, "a worker lives on"
            time.sleep(0.05)
        if how == signal.SIGKILL:
            assert code == -how
        else:  # SIGTERM is what MindSpore makes of Ctrl-C: both end alike
            assert code == 130
            assert "Traceback" not in text
            assert "interrupted" in text
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
