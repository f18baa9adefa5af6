"""The log file of a stage."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from src.common.errors import LOG_FORMAT, UserError, one_line


@contextlib.contextmanager
def stage_log(path: str | Path) -> Iterator[None]:
    """Write what is logged inside, and the message of an error, to a file as well."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except UserError as error:
        handler.stream.write(f"error: {one_line(error)}\n")
        raise
    except Exception:
        handler.stream.write("error: a defect of the program; see the traceback\n")
        raise
    finally:
        root.removeHandler(handler)
        handler.close()
