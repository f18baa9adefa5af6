"""How a command ends: one line for a person's mistake, exit codes that say what happened."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from src.common.leaving import EXIT_INTERRUPTED, INTERRUPTED, leave
from src.common.signals import interruptible

EXIT_USER_ERROR = 2
#: How much a program says: "quiet", "verbose", or "" for what is between.
LOG_VARIABLE = "DELF_LOG"
QUIET, VERBOSE = "quiet", "verbose"
_OURS = ("delf", "model_utils", "sample_world", "src", "__main__")  # loggers
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class UserError(Exception):
    """Something a person can put right: one line that says what, where and what to do."""


def set_up_logging(how: str | None = None) -> None:
    """Send log records to standard error, with the time in front.

    Those of level INFO and above; where it is to be quiet, warnings only; where it is to be
    verbose, all of ours, and the warnings of libraries, which otherwise are for whoever programs.

    Args:
        how: "quiet", "verbose" or "", for this process and those it starts from now on; by default
            as it was told before, or as the variable DELF_LOG says.
    """
    if how is not None:
        os.environ[LOG_VARIABLE] = how
    how = os.environ.get(LOG_VARIABLE, "")
    logging.basicConfig(format=LOG_FORMAT, datefmt="%H:%M:%S")
    logging.getLogger().setLevel(logging.WARNING if how == QUIET else logging.INFO)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if how == VERBOSE else logging.NOTSET)
    # Which of its builds FAISS tries on this processor is nobody's concern.
    logging.getLogger("faiss").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.NOTSET if how == VERBOSE else logging.ERROR)


def one_line(error: BaseException) -> str:
    """Return the message of an error on a single line, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def first_clause(error: UserError) -> str:
    """Return what has happened, without what a person is to do about it."""
    return one_line(error).split("; ")[0]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message: MindSpore's go on with stacks."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no reason given"


@contextlib.contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Say in the error of a full disk which file was being written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)
        raise


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Run a command-line program and exit with its code.

    A `UserError` or a full disk ends with one line on standard error and exit code 2, Ctrl-C with
    130. Any other exception is a defect of ours and keeps its traceback (exit code 1).
    """
    set_up_logging()
    with contextlib.suppress(AttributeError, ValueError):  # it may be none of a terminal or file
        # A name that the terminal has no letters for must not end the program.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with interruptible():
            code = main() or 0
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        code = EXIT_USER_ERROR
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        print(
            f"error: the disk is full{where}; free some space and run the same command again: "
            "what was complete is kept",
            file=sys.stderr,
        )
        code = EXIT_USER_ERROR
    if signal.getsignal(signal.SIGINT) is leave:  # all is said; Python may take a while to end
        signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    sys.exit(code)
