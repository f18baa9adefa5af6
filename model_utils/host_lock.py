"""Processes of one host that share folders: one at a time, and who is still there."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from src.common.errors import UserError, one_line

LOG = logging.getLogger(__name__)


def state_folder(folder: Path) -> Path:
    """Return where notes about a folder are kept: beside it, hidden, never copied with it."""
    return folder.parent / f".{folder.name}.modelarts"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; raise `UserError` where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder} ({one_line(error)})") from error


@contextlib.contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[None]:
    """Let one process of this host at a time work on what belongs to `folder`.

    The lock ends with its process, however that ends. It does not keep threads apart.

    Args:
        folder: the folder; the lock file is in its `state_folder`.
        doing: what a waiting process says that another one is doing.

    Raises:
        UserError: the lock file cannot be written, or its disk has no locks.
    """
    state = state_folder(folder)
    make_folder(state)
    with _open_locked(state / "lock", doing):
        yield


def _open_locked(path: Path, doing: str) -> BinaryIO:
    try:
        file = open(path, "ab")  # noqa: SIM115  the lock lasts until the caller closes the file
        if not _try_lock(file):
            LOG.info("another process of this host is %s; waiting for it", doing)
            fcntl.lockf(file, fcntl.LOCK_EX)
    except OSError as error:
        raise UserError(
            f"cannot lock {path} ({one_line(error)}); choose a folder on a local disk"
        ) from error
    return file


def _try_lock(file: BinaryIO) -> bool:
    # lockf, not flock: its locks are not inherited. The workers that a copying process has forked
    # may outlive it, and would keep a lock of the other kind for ever.
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows either
        return False
    return True


class Attendance:
    """Which processes of this host work on a folder.

    Each keeps a file, named by its process id, locked for as long as it lives: one that was killed
    is gone at once, and a process id that is used again deceives nobody. All methods are to be
    called inside `exclusive(folder)`.
    """

    def __init__(self, folder: Path):
        self._folder = state_folder(folder) / "processes"
        self._file: BinaryIO | None = None
        self._path: Path | None = None

    def join(self) -> None:
        """Register this process."""
        make_folder(self._folder)
        handle, name = tempfile.mkstemp(prefix=f"{os.getpid()}.", dir=self._folder)
        self._file, self._path = os.fdopen(handle, "wb"), Path(name)
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def leave(self) -> None:
        """Take this process off the list."""
        if self._file is None or self._path is None:
            return
        self._path.unlink(missing_ok=True)
        self._file.close()
        self._file = self._path = None

    def others(self) -> int:
        """Return how many other processes are registered and alive; forget the dead ones."""
        alive = 0
        for path in self._folder.glob("*"):
            if path == self._path:  # closing it a second time would end this process's own lock
                continue
            with open(path, "r+b") as file:
                if _try_lock(file):
                    path.unlink()
                else:
                    alive += 1
        return alive
