"""How a command ends: one line for a person's mistake, exit codes that say what happened."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from src.common.leaving import EXIT_INTERRUPTED, INTERRUPTED, leave
from src.common.signals import interruptible
from src.common.utf8_names import speak_utf8

EXIT_USER_ERROR = 2
#: How much a program says: "quiet", "verbose", or "" for what is between.
LOG_VARIABLE = "DELF_LOG"
QUIET, VERBOSE = "quiet", "verbose"
_OURS = ("delf", "model_utils", "sample_world", "src", "__main__")  # loggers
#: More than anybody reads; the longest of ours, with long paths, stay below.
_LONGEST_LINE = 2000
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
    """Return the message of an error on a single line, or its type where it has none.

    What a damaged file holds may stand in it: of a line nobody can read the middle is left out.
    """
    line = " ".join(str(error).split()) or type(error).__name__
    half = _LONGEST_LINE // 2
    return line if len(line) <= _LONGEST_LINE else f"{line[:half]} […] {line[-half:]}"


def first_clause(error: UserError) -> str:
    """Return what has happened, without what a person is to do about it."""
    return one_line(error).split("; ")[0]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message: MindSpore's go on with stacks."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no reason given"


#: What the system says, and what a person is to do about it.
_FULL = "free some space and run the same command again: what was complete is kept"
_NO_RIGHT = "get the right to it, or name another place"
_NO_FOLDER = "name another place, or move away the file that stands where a folder belongs"
_TOO_MANY = "close other programs, or raise the limit (ulimit -n)"
_BROKEN = "look at the disk; nothing was deleted, run the same command again when it is well"
_WHAT_TO_DO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "raise the limit for files (ulimit -f), or take a disk that holds larger ones; "
    "what was complete is kept",
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: "name a place that can be written to",
    errno.EISDIR: "name a file: this is a folder",
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTEMPTY: "name another place, or empty the folder",
    errno.ENAMETOOLONG: "take a shorter name",
    errno.ENOENT: "look at the path",
    errno.ELOOP: "its symbolic links lead nowhere, or are not followed: name the file itself",
    errno.EIO: _BROKEN,
    errno.ESTALE: _BROKEN,
    errno.EMFILE: _TOO_MANY,
    errno.ENFILE: _TOO_MANY,
    errno.ENOMEM: "close other programs, or take less at a time",
    errno.EBUSY: "somebody else uses it: run the same command again when it is free",
    errno.ETXTBSY: "somebody else uses it: run the same command again when it is free",
    errno.EXDEV: "the two places lie on different disks",
}


def is_of_system(error: BaseException) -> bool:
    """Tell an error of the operating system, say of the rights to a file, from one of its content.

    Libraries raise OSError without a number for content that they do not understand, and a damaged
    zip archive has its reader seek where no file can: EINVAL.
    """
    return (
        isinstance(error, OSError)
        and error.errno is not None
        and (error.errno != errno.EINVAL or error.filename is not None)
    )


def raise_if_of_system(error: BaseException, path: object) -> None:
    """Raise an error again that the operating system gives for a file that is read.

    For whoever is about to call the file damaged: one that may not be read, or cannot be for now,
    is no damaged one, and nothing is to be made anew in its place. One that is not there is for the
    caller to judge.
    """
    if is_of_system(error) and not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        _name(error, path)
        raise error


def system_line(error: OSError) -> str:
    """Return what the operating system has refused: which file, why, and what to do about it."""
    path = error.filename if error.filename2 is None else error.filename2
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing {_shown(path)}" if path else ""
        return f"the disk is full{where}; {_FULL}"
    if path is None and error.errno == errno.ENOENT:  # of all calls that one names no file
        return "the current folder is gone; go to another one and run the same command again"
    # A library's own text of an error says all again at length: EINVAL is what only it can explain.
    own = error.errno in (None, errno.EINVAL)
    reason = one_line(Exception(error.strerror or error)) if own else os.strerror(error.errno)
    what = f"{_shown(path)}: {reason}" if path else reason
    advice = _WHAT_TO_DO.get(error.errno or 0)
    return f"{what}; {advice}" if advice else what


def _shown(path: object) -> str:
    text = os.fsdecode(path) if isinstance(path, (bytes, os.PathLike)) else str(path)
    return " ".join(text.split("\n"))


def _name(error: OSError, path: object) -> None:
    """Note the file in an error that names none."""
    if error.filename is None and error.errno is not None:
        error.filename = os.fspath(path) if isinstance(path, os.PathLike) else str(path)


@contextlib.contextmanager
def naming_file(path: object) -> Iterator[None]:
    """Say in an error of the operating system which file was being read or written."""
    try:
        yield
    except OSError as error:
        _name(error, path)
        raise


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # standard error may be a full disk too: the code is left
        print(line, file=sys.stderr, flush=True)


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Run a command-line program and exit with its code.

    A `UserError`, and whatever the operating system refuses, ends with one line on standard error
    and exit code 2, Ctrl-C with 130. Any other exception is a defect of ours and keeps its
    traceback (exit code 1).
    """
    speak_utf8()
    set_up_logging()
    with contextlib.suppress(AttributeError, ValueError):  # it may be none of a terminal or file
        # A name that the terminal has no letters for must not end the program.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with interruptible():
            code = main() or 0
        sys.stdout.flush()
    except UserError as error:
        _say(f"error: {one_line(error)}")
        code = EXIT_USER_ERROR
    except KeyboardInterrupt:
        _say(INTERRUPTED)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = 1
    except OSError as error:
        _say(f"error: {system_line(error)}")
        code = EXIT_USER_ERROR
    if signal.getsignal(signal.SIGINT) is leave:  # all is said; Python may take a while to end
        signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    sys.exit(code)
