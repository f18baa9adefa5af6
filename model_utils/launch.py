"""Start a training on several devices or hosts by msrun, and say which worker failed and why.

    python3 model_utils/launch.py [RANK_TABLE_FILE] tuning|attn [CHECKPOINT] [--name=value ...]

The environment says where: DELF_WORKERS (all devices together), DELF_LOCAL_WORKERS (those of this
host), DELF_NODE_RANK (which host this is: 0 is where DELF_MASTER_ADDR leads), DELF_MASTER_ADDR,
DELF_MASTER_PORT, DELF_START_SECONDS (how long to wait for the other hosts), DELF_LOG_ROOT.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import psutil

from model_utils.device import find_device_target
from model_utils.environment import PROJECT_ROOT
from model_utils.rank_table import Server, read_rank_table
from src.atomic_files import write_text
from src.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError, run_command

LOG = logging.getLogger(__name__)
STAGES = ("tuning", "attn")
USAGE = (
    "usage: bash scripts/run_8p_train.sh [RANK_TABLE_FILE] tuning | attn CHECKPOINT "
    "[--name=value ...]"
)
_PORT = 8118
_LAST_WORDS_SECONDS = 3
_ERROR_LINE = re.compile(r"\w*(Error|Exception)\b")


@dataclass(frozen=True)
class Job:
    """What is trained, and this host's part in it."""

    stage: str
    options: tuple[str, ...]
    workers: int
    local_workers: int
    node_rank: int
    master_addr: str
    master_port: int
    start_seconds: int
    rank_table: str | None
    log_root: Path

    @property
    def ranks(self) -> range:
        """The workers of this host."""
        first = self.node_rank * self.local_workers
        return range(first, first + self.local_workers)

    def folder(self, rank: int) -> Path:
        """Return the folder of a worker."""
        return self.log_root / f"train_parallel{rank}"

    def log(self, rank: int) -> Path:
        """Return the log of a worker."""
        return self.folder(rank) / f"train_{self.stage}.log"

    def command(self, log_folder: Path) -> list[str]:
        """Return the command line of msrun."""
        table = [f"--rank_table_file={self.rank_table}"] if self.rank_table else []
        return [
            "msrun",
            f"--worker_num={self.workers}",
            f"--local_worker_num={self.local_workers}",
            f"--node_rank={self.node_rank}",
            f"--master_addr={self.master_addr}",
            f"--master_port={self.master_port}",
            f"--cluster_time_out={self.start_seconds}",
            f"--log_dir={log_folder}",
            "--join=True",
            # msrun would copy what one worker says to the screen; all logs are files here.
            "--tail_worker_log=-2",
            *table,
            str(PROJECT_ROOT / "train.py"),
            *self.options,
        ]


def plan_job(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Job:
    """Make a job of a command line and the environment.

    Raises `UserError` for wrong arguments, a rank table that does not fit, or numbers that do not.
    """
    words = list(arguments)
    table = None
    if words and words[0] not in STAGES and not words[0].startswith("--"):
        table = words.pop(0)
    if not words or words[0] not in STAGES:
        raise UserError(USAGE)
    stage = words.pop(0)
    options = [f"--train_state={stage}"]
    if words and not words[0].startswith("--"):
        checkpoint = Path(words.pop(0)).absolute()
        if not checkpoint.is_file():
            raise UserError(f"checkpoint {checkpoint} does not exist")
        options.append(f"--checkpoint_path={checkpoint}")
    elif stage == "attn":
        raise UserError(f"attn needs the checkpoint of the tuning stage; {USAGE}")
    for word in words:
        if not re.fullmatch(r"--\w+=.*", word, re.DOTALL):
            raise UserError(f"{word} is not of the form --name=value; {USAGE}")
    options += words
    log_root = Path(environment.get("DELF_LOG_ROOT") or PROJECT_ROOT).absolute()
    if not any(word.startswith("--save_ckpt=") for word in words):
        options.append(f"--save_ckpt={log_root / 'train_parallel0' / 'ckpt'}")

    servers = read_rank_table(table) if table else []
    default = sum(len(server.devices) for server in servers) or _default_workers()
    workers = _number(environment, "DELF_WORKERS", default, 1)
    if servers and workers != default:
        raise UserError(f"DELF_WORKERS is {workers}, but {table} holds {default} devices")
    node_rank = _number(environment, "DELF_NODE_RANK", _own_place(servers), 0)
    if servers and node_rank >= len(servers):
        raise UserError(f"DELF_NODE_RANK is {node_rank}, but {table} holds {len(servers)} hosts")
    local = len(servers[node_rank].devices) if servers else workers
    local = _number(environment, "DELF_LOCAL_WORKERS", local, 1)
    # msrun numbers the workers by node_rank * local_worker_num.
    if workers % local or (node_rank + 1) * local > workers:
        raise UserError(
            f"host {node_rank} with {local} workers does not fit {workers} workers: "
            "each host runs the same number, DELF_WORKERS is their sum"
        )
    if servers and set(servers[node_rank].devices) != set(
        range(node_rank * local, (node_rank + 1) * local)
    ):
        raise UserError(
            f"the ranks of {servers[node_rank].address} in {table} are not {node_rank * local} to "
            f"{(node_rank + 1) * local - 1}: each host holds the same number, one after the other"
        )
    address = servers[0].address if servers else "127.0.0.1"
    return Job(
        stage=stage,
        options=tuple(options),
        workers=workers,
        local_workers=local,
        node_rank=node_rank,
        master_addr=environment.get("DELF_MASTER_ADDR") or address,
        master_port=_number(environment, "DELF_MASTER_PORT", _PORT, 1024),
        start_seconds=_number(environment, "DELF_START_SECONDS", 600, 1),
        rank_table=str(Path(table).absolute()) if table else None,
        log_root=log_root,
    )


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
    stopper = _Stopper(process)
    ranks: dict[int, int] = {}
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stopper) for number in signals}
    try:
        with open(job.log(first), "rb") as followed:
            while process.poll() is None:
                _repeat(followed)
                if len(ranks) < job.local_workers:
                    ranks.update(_find_ranks(process))
                # After a failure msrun kills the workers of this host, and then waits for half a
                # minute until the scheduler has noticed.
                if b"exit with exception" in own_log.read_bytes():
                    time.sleep(_LAST_WORDS_SECONDS)
                    _end(process)
                time.sleep(0.5)
            _repeat(followed)
    finally:
        _end(process)
        for number, handler in before.items():
            signal.signal(number, handler)
    if process.returncode == 0:
        return 0
    return _report_failure(job, own_log, ranks, stopper.was_asked)


class _Stopper:
    """Hands Ctrl-C or SIGTERM to the workers; the second time it ends them."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self.was_asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.was_asked:
            _end(self.process)
            return
        self.was_asked = True
        LOG.info("%s: the workers are asked to stop", signal.Signals(number).name)
        for pid in _find_ranks(self.process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _find_ranks(process: subprocess.Popen) -> dict[int, int]:
    """Return the ranks of the workers that msrun has started, by process id."""
    ranks = {}
    for child in _descendants(process):
        with contextlib.suppress(psutil.Error):
            environment = child.environ()
            if environment.get("MS_ROLE") == "MS_WORKER" and "RANK_ID" in environment:
                ranks[child.pid] = int(environment["RANK_ID"])
    return ranks


def _descendants(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end(process: subprocess.Popen) -> None:
    """Kill what is left of msrun and what it started."""
    if process.poll() is not None:
        return
    left = _descendants(process)
    process.kill()
    for other in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            other.kill()
    process.wait()


def _report_failure(job: Job, own_log: Path, ranks: dict[int, int], was_asked: bool) -> int:
    """Say on standard error which workers failed and why; return the exit code."""
    messages = {rank: _last_error(job.log(rank)) for rank in job.ranks}
    messages = {rank: message for rank, message in messages.items() if message}
    mistakes = {rank: text for rank, text in messages.items() if text.startswith("error: ")}
    if was_asked and not mistakes:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return EXIT_INTERRUPTED
    # A person's mistake explains what follows from it on the other workers.
    for rank, message in (mistakes or messages).items():
        print(f"error: worker {rank}: {message.removeprefix('error: ')}", file=sys.stderr)
    for rank, number in _killed(own_log, ranks):
        if rank not in messages:
            name = signal.Signals(number).name
            print(f"error: worker {rank} was ended by {name}; is there memory?", file=sys.stderr)
            messages[rank] = name
    if not messages:
        print(
            "error: the job was ended from outside this host, or a worker fell silent; see "
            f"{own_log.parent} and the logs of the other hosts",
            file=sys.stderr,
        )
    return EXIT_USER_ERROR if mistakes else 1


def _killed(own_log: Path, ranks: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Yield rank and signal of the workers that msrun saw ended by a signal."""
    text = own_log.read_text(encoding="utf-8", errors="replace")
    for pid, code in re.findall(
        r"Worker process (\d+) exit with exception. Error code: -(\d+)", text
    ):
        yield ranks.get(int(pid), -1), int(code)


def _last_error(log: Path) -> str:
    """Return what a worker's log says about its failure, in one line, or nothing."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    ours = [line for line in lines if line.startswith("error: ")]
    if ours:
        return ours[-1]
    found = [number for number, line in enumerate(lines) if _ERROR_LINE.match(line)]
    if not found:
        return ""
    # MindSpore's own messages begin after a few lines of dashes and headings.
    rest = [line for line in lines[found[-1] :] if line.strip(" -") and not line.startswith("- ")]
    return " ".join(rest[:2])


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


def _default_workers() -> int:
    """Return the Ascends of this host; two workers on CPU."""
    if find_device_target() == "CPU":
        return 2
    return len([path for path in Path("/dev").glob("davinci*") if path.name[7:].isdigit()])


def _own_place(servers: Sequence[Server]) -> int:
    """Return the place of this host in the rank table, by its addresses."""
    own = {address.address for some in psutil.net_if_addrs().values() for address in some}
    for place, server in enumerate(servers):
        if server.address in own:
            return place
    return 0


def _number(environment: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise UserError(f"{name} is {text!r}; give a whole number of at least {least}")
    return int(text)


def main() -> int:
    """Run the job of the command line."""
    return run_job(plan_job(sys.argv[1:]))


if __name__ == "__main__":
    run_command(main)
