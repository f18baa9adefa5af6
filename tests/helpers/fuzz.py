"""Reading damaged files by the hundred, in a process of its own with bounds of memory and time.

`python -m tests.helpers.fuzz KIND COUNT FOLDER`: the readers of a kind are given COUNT damaged
files. What ended otherwise than by reading or with a `UserError` of one line is printed, as JSON;
so is a reader that took too long. `FOLDER/now` names the damage that is being read.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from src.common.errors import UserError, one_line
from tests.helpers.fuzz_kinds import KINDS

#: What a reader may take of one small file: seconds, and bytes beside what the process has.
SECONDS, BYTES = 10, 2**30
SHOWN = 5


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Raise `TimeoutError` in what takes too long; a loop in native code is ended by the caller."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _fault(read: Callable[[], object]) -> str | None:
    """Return how reading ended, where it is neither by itself nor with the line."""
    try:
        with _bounded():
            read()
    except UserError as error:
        said = one_line(error)
        if len(said) > 2100 or "Traceback" in said:
            return f"a line of {len(said)} characters: {said[:200]}"
    except BaseException as error:  # whatever it is: that is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({where.filename}:{where.lineno})"
    return None


def main(name: str, count: int, folder: Path) -> list[dict[str, object]]:
    """Damage and read; return the faults: number, file, how it ended, and what was in it."""
    kind = KINDS[name](folder)
    whole = {path: path.read_bytes() for path in kind.damages}
    everything = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    kind.read()
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faults: list[dict[str, object]] = []
    for number in range(count):
        random_ = random.Random(f"{name}/{number}")
        path = random_.choice(sorted(whole))
        content = kind.damages[path](random_, whole[path])
        (folder / "now").write_text(f"{number} of {path.name}")
        path.write_bytes(content)
        kind.before(path)
        began = time.perf_counter()
        fault = _fault(kind.read)
        if fault is not None:
            shown = base64.b64encode(content[:2000]).decode()
            took = round(time.perf_counter() - began, 1)
            faults.append(
                {"number": number, "file": path.name, "fault": fault, "s": took, "bytes": shown}
            )
        for other, before in everything.items():
            if not other.exists() or other == path or name == "packed":
                other.write_bytes(before)
    return faults


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    found = main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    print(json.dumps({"faults": len(found), "first": found[:SHOWN]}))
