"""Opening files that somebody else put there: what is no regular file is refused at once."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from src.common.atomic_files import PathLike


def open_regular(path: PathLike) -> BinaryIO:
    """Open a file for reading.

    A pipe without a writer would keep whoever opens it waiting, a device may give bytes for ever.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller's to close)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return file


def read_regular(path: PathLike) -> bytes:
    """Return the bytes of a file; raises as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
