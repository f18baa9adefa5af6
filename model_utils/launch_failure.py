"""Why a job failed: what msrun and the workers' logs say of it."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model_utils.launch_plan import Job
from model_utils.worker_group import WAITED_IN_VAIN
from src.common.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR

_ERROR_LINE = re.compile(r"[\w.]*(Error|Exception|error)(:|$)")


@dataclass(frozen=True)
class Failure:
    """How a job failed.

    Attributes:
        code: exit code of the launcher.
        lines: what is to be said of it.
        worker_was_lost: whether nothing is wrong with the job itself: a worker was killed, fell
            silent or could not be reached, and the job may be started again.
    """

    code: int
    lines: list[str]
    worker_was_lost: bool


def find_failure(job: Job, own_log: Path, ranks: dict[int, int], was_asked: bool) -> Failure:
    """Find out which workers failed and why.

    Args:
        job: the job.
        own_log: what msrun said.
        ranks: of the workers, by process id.
        was_asked: whether somebody asked the job to stop.
    """
    messages = {rank: last_error(job.log(rank)) for rank in job.ranks}
    messages = {rank: message for rank, message in messages.items() if message}
    # Who waited in vain says nothing of the cause.
    causes = {rank: text for rank, text in messages.items() if WAITED_IN_VAIN not in text}
    mistakes = {rank: text for rank, text in causes.items() if text.startswith("error: ")}
    killed = {rank: number for rank, number in _killed(own_log, ranks) if rank not in messages}
    if was_asked and not mistakes:
        return Failure(
            EXIT_INTERRUPTED, ["interrupted; run the same command again to go on"], False
        )
    lines = []
    for rank, number in killed.items():
        worker = "a worker" if rank is None else f"worker {rank}"
        lines.append(
            f"error: {worker} was ended by {signal.Signals(number).name}; is there memory enough?"
        )
    shown = mistakes or causes or ({} if killed else messages)
    for rank, message in shown.items():
        lines.append(f"error: worker {rank}: {message.removeprefix('error: ')}")
    if not shown and not killed:
        lines.append(
            "error: the job was ended from outside this host, or a worker fell silent; see "
            f"{own_log.parent} and the logs of the other hosts"
        )
    lost = not mistakes and (bool(killed) or not causes)
    return Failure(EXIT_USER_ERROR if mistakes else 1, lines, lost)


def _killed(own_log: Path, ranks: dict[int, int]) -> Iterator[tuple[int | None, int]]:
    """Yield rank and signal of the workers that msrun saw ended by a signal."""
    text = own_log.read_text(encoding="utf-8", errors="replace")
    for pid, code in re.findall(
        r"Worker process (\d+) exit with exception. Error code: -(\d+)", text
    ):
        yield ranks.get(int(pid)), int(code)


def last_error(log: Path) -> str:
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
