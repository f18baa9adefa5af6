"""Start a training on several devices or hosts by msrun, and say which worker failed and why.

    python3 model_utils/launch.py [RANK_TABLE_FILE] tuning|attn [CHECKPOINT] [--name=value ...]

The environment says where: DELF_WORKERS (all devices together), DELF_LOCAL_WORKERS (those of this
host), DELF_NODE_RANK (which host this is: 0 is where DELF_MASTER_ADDR leads), DELF_MASTER_ADDR,
DELF_MASTER_PORT, DELF_START_SECONDS (how long to wait for the other hosts), DELF_LOG_ROOT.
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
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil

from model_utils.launch_plan import Job, plan_job
from model_utils.worker_group import WAITED_IN_VAIN
from src.common.atomic_files import write_text
from src.common.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, run_command
from src.common.signals import CountedSignals

LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_LAST_WORDS_SECONDS = 3
_ERROR_LINE = re.compile(r"[\w.]*(Error|Exception|error)(:|$)")


def run_job(job: Job) -> int:
    """Run this host's part of a job to its end; return an exit code.

    What the first worker of this host says is repeated on standard output. When a worker fails,
    msrun ends the others, and the failing one's message is repeated here, with exit code 2 for a
    person's mistake. Ctrl-C and SIGTERM are handed to the workers, who write a checkpoint (exit
    code 130); the second time everything is ended.
    """
    first = job.ranks[0]
    log_folder = job.folder(first) / "msrun"
    log_folder.mkdir(parents=True, exist_ok=True)
    for rank in job.ranks:
        job.folder(rank).mkdir(parents=True, exist_ok=True)
        _link(job.log(rank), log_folder / f"worker_{rank}.log")
    # The workers share the cores of this host among their input pipelines. msrun calls `python`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "DELF_LOCAL_WORKERS": str(job.local_workers)}
    LOG.info(
        "%s: workers %d to %d of %d on this host, meeting at %s:%d; logs: %s",
        *(job.stage, first, job.ranks[-1], job.workers, job.master_addr, job.master_port),
        job.log(first).parent,
    )
    own_log = log_folder / "msrun.log"
    with open(own_log, "wb") as output:
        # A session of its own: Ctrl-C comes to this process only, and is handed on in order.
        process = subprocess.Popen(
            job.command(log_folder),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
    started = _Started(process)
    with (
        CountedSignals("the workers are asked to stop") as asked,
        open(job.log(first), "rb") as followed,
    ):
        try:
            while process.poll() is None:
                _repeat(followed)
                # Not for ever: this goes through all processes of the host.
                if len(started.ranks) < job.local_workers:
                    started.look()
                if asked.count:
                    started.ask_to_stop()
                # After a failure msrun kills the workers of this host, and then waits for half a
                # minute until the scheduler has noticed.
                if asked.count > 1 or b"exit with exception" in own_log.read_bytes():
                    time.sleep(_LAST_WORDS_SECONDS)
                    process.kill()
                    process.wait()
                time.sleep(_LOOK_SECONDS)
        finally:
            started.end()
        _repeat(followed)
    if process.returncode == 0:
        return 0
    return _report_failure(job, own_log, started.ranks, asked.count > 0)


class _Started:
    """msrun and what it has started: the scheduler, and workers in sessions of their own."""

    def __init__(self, process: subprocess.Popen):
        self.ranks: dict[int, int] = {}  # of the workers, by process id
        self._process = process
        self._seen: dict[int, psutil.Process] = {}
        self._asked: set[int] = set()

    def look(self) -> None:
        """Find out what was started since."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children(recursive=True):
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
            self._process.kill()
        for child in self._seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.wait()


def _report_failure(job: Job, own_log: Path, ranks: dict[int, int], was_asked: bool) -> int:
    """Say on standard error which workers failed and why; return the exit code."""
    messages = {rank: _last_error(job.log(rank)) for rank in job.ranks}
    messages = {rank: message for rank, message in messages.items() if message}
    # Who waited in vain says nothing of the cause.
    causes = {rank: text for rank, text in messages.items() if WAITED_IN_VAIN not in text}
    mistakes = {rank: text for rank, text in causes.items() if text.startswith("error: ")}
    killed = {rank: number for rank, number in _killed(own_log, ranks) if rank not in messages}
    if was_asked and not mistakes:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return EXIT_INTERRUPTED
    for rank, number in killed.items():
        worker = "a worker" if rank is None else f"worker {rank}"
        print(
            f"error: {worker} was ended by {signal.Signals(number).name}; is there memory enough?",
            file=sys.stderr,
        )
    shown = mistakes or causes or ({} if killed else messages)
    for rank, message in shown.items():
        print(f"error: worker {rank}: {message.removeprefix('error: ')}", file=sys.stderr)
    if not shown and not killed:
        print(
            "error: the job was ended from outside this host, or a worker fell silent; see "
            f"{own_log.parent} and the logs of the other hosts",
            file=sys.stderr,
        )
    return EXIT_USER_ERROR if mistakes else 1


def _killed(own_log: Path, ranks: dict[int, int]) -> Iterator[tuple[int | None, int]]:
    """Yield rank and signal of the workers that msrun saw ended by a signal."""
    text = own_log.read_text(encoding="utf-8", errors="replace")
    for pid, code in re.findall(
        r"Worker process (\d+) exit with exception. Error code: -(\d+)", text
    ):
        yield ranks.get(int(pid)), int(code)


def _last_error(log: Path) -> str:
    """Return what a worker's log says about its failure, in one line, or nothing."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    ours = [line for line in lines if line.startswith("error: ")]
    if ours:
        return ours[-1]
    found = [number for number, line in enumerate(lines) if _ERROR_LINE.match(line)]
    if not found:
        return ""
    name, _, text = lines[found[-1]].partition(":")
    if not text.strip():
        # MindSpore's own messages begin after a few lines of dashes and headings.
        rest = (line.strip() for line in lines[found[-1] + 1 :])
        text = next((line for line in rest if line and line[0] not in "-[#"), "")
    return f"{name}: {text.strip()}" if text else name


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
