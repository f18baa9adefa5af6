"""Start a training on several devices or hosts by msrun, and say which worker failed and why.

    python3 model_utils/launch.py [RANK_TABLE_FILE] tuning|attn [CHECKPOINT] [--name=value ...]

The environment says where: DELF_WORKERS (all devices together), DELF_LOCAL_WORKERS (those of this
host), DELF_NODE_RANK (which host this is: 0 is where DELF_MASTER_ADDR leads), DELF_MASTER_ADDR,
DELF_MASTER_PORT, DELF_START_SECONDS (how long to wait for the other hosts), DELF_WAIT_SECONDS (how
long the workers wait for each other then), DELF_RESTARTS (how often a job that has lost a worker is
started again), DELF_LOG_ROOT.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import psutil

from model_utils.launch_failure import Failure, find_failure
from model_utils.launch_plan import Job, plan_job
from src.common.atomic_files import write_text
from src.common.errors import run_command
from src.common.signals import CountedSignals

LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_LAST_WORDS_SECONDS = 3


def run_job(job: Job) -> int:
    """Run this host's part of a job to its end; return an exit code.

    What the first worker of this host says is repeated on standard output. When a worker fails,
    msrun ends the others, and the failing one's message is repeated here, with exit code 2 for a
    person's mistake. When one is lost (killed, or silent), the job is started again and goes on
    from its newest checkpoint, `job.restarts` times. Ctrl-C and SIGTERM are handed to the workers,
    who write a checkpoint (exit code 130); the second time everything is ended.
    """
    log_folder = job.folder(job.ranks[0]) / "msrun"
    with CountedSignals("the workers are asked to stop") as asked:
        for restart in range(job.restarts + 1):
            failure = _run_once(job, log_folder, asked, restart)
            if failure is None:
                return 0
            for line in failure.lines:
                print(line, file=sys.stderr)
            if restart == job.restarts or asked.count or not failure.worker_was_lost:
                break
            kept = log_folder.with_name(f"msrun.lost{restart + 1}")
            shutil.rmtree(kept, ignore_errors=True)
            log_folder.rename(kept)
            LOG.warning(
                "the job is started again and goes on from its newest checkpoint (%d of %d times); "
                "the logs so far: %s",
                *(restart + 1, job.restarts, kept),
            )
    return failure.code


def _run_once(job: Job, log_folder: Path, asked: CountedSignals, restart: int) -> Failure | None:
    """Run msrun once, with its logs in a folder; return how it failed, None where it did not."""
    first = job.ranks[0]
    log_folder.mkdir(parents=True, exist_ok=True)
    for rank in job.ranks:
        job.folder(rank).mkdir(parents=True, exist_ok=True)
        _link(job.log(rank), log_folder / f"worker_{rank}.log")
    # msrun calls `python`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    LOG.info(
        "%s: workers %d to %d of %d on this host, meeting at %s:%d; logs: %s",
        *(job.stage, first, job.ranks[-1], job.workers, job.master_addr, job.master_port + restart),
        job.log(first).parent,
    )
    own_log = log_folder / "msrun.log"
    with open(own_log, "wb") as output:
        # A session of its own: Ctrl-C comes to this process only, and is handed on in order.
        process = subprocess.Popen(
            job.command(log_folder, restart),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PATH": path},
        )
    started = _Started(process)
    with open(job.log(first), "rb") as followed:
        try:
            _watch(job, started, own_log, followed, asked)
        finally:
            started.end()
        _repeat(followed)
    if process.returncode == 0:
        return None
    return find_failure(job, own_log, started.ranks, asked.count > 0)


def _watch(
    job: Job, started: _Started, own_log: Path, followed: BinaryIO, asked: CountedSignals
) -> None:
    """Repeat what the first worker says until msrun has ended."""
    process = started.process
    while process.poll() is None:
        _repeat(followed)
        # Not for ever: this goes through all processes of the host.
        if len(started.ranks) < job.local_workers:
            started.look()
        if asked.count:
            started.ask_to_stop()
        # After a failure msrun kills the workers of this host, and then waits until the scheduler
        # has noticed.
        if asked.count > 1 or b"exit with exception" in own_log.read_bytes():
            time.sleep(_LAST_WORDS_SECONDS)
            process.kill()
            process.wait()
        time.sleep(_LOOK_SECONDS)


class _Started:
    """msrun and what it has started: the scheduler, and workers in sessions of their own."""

    def __init__(self, process: subprocess.Popen):
        self.ranks: dict[int, int] = {}  # of the workers, by process id
        self.process = process
        self._seen: dict[int, psutil.Process] = {}
        self._asked: set[int] = set()

    def look(self) -> None:
        """Find out what was started since."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                if child.pid in self._seen:
                    continue
                with contextlib.suppress(psutil.Error):
                    environment = child.environ()
                    # Before it becomes the worker, a new process is a copy of msrun.
                    if "MS_ROLE" not in environment:
                        continue
                    self._seen[child.pid] = child
                    if environment["MS_ROLE"] == "MS_WORKER" and "RANK_ID" in environment:
                        self.ranks[child.pid] = int(environment["RANK_ID"])

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the workers that have not had it yet."""
        for pid in self.ranks.keys() - self._asked:
            self._asked.add(pid)
            with contextlib.suppress(psutil.NoSuchProcess):
                self._seen[pid].send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Kill what is left."""
        self.look()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        for child in self._seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait()


def _repeat(followed: BinaryIO) -> None:
    """Copy what is new in a log to standard output, without MindSpore's notes to itself."""
    for line in followed.readlines():
        if not line.startswith(b"[INFO]"):
            sys.stdout.write(line.decode("utf-8", errors="replace"))
    sys.stdout.flush()


def _link(link: Path, target: Path) -> None:
    """Make an empty log and a relative link to it."""
    write_text(target, "")
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


def main() -> int:
    """Run the job of the command line."""
    return run_job(plan_job(sys.argv[1:]))


if __name__ == "__main__":
    run_command(main)
