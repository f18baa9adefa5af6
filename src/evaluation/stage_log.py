"""The log file of a stage."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from src.common.errors import UserError, one_line, system_line
from src.common.log_files import LogFile


@contextlib.contextmanager
def stage_log(path: str | Path) -> Iterator[None]:
    """Write what is logged inside, and the message of an error, to a file as well.

    The file is begun anew, unless another process is writing to it: then behind what that says.
    """
    handler = LogFile(_opened(path))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except UserError as error:
        handler.add_line(f"error: {one_line(error)}")
        raise
    except OSError as error:
        handler.add_line(f"error: {system_line(error)}")
        raise
    except Exception:
        handler.add_line("error: a defect of the program; see the traceback")
        raise
    finally:
        root.removeHandler(handler)
        handler.close()


def _opened(path: str | Path) -> TextIO:
    """Open a log, empty but for what another process is writing to it."""
    stream = open(Path(path).absolute(), "a", encoding="utf-8")  # noqa: SIM115 (the caller closes it)
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed
    except BlockingIOError:
        return stream
    except (ImportError, OSError):  # nobody can tell
        pass
    stream.truncate(0)
    return stream
