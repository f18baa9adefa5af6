"""Processes of one host that share folders: one at a time, and who is still there."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from src.common.errors import UserError
from src.common.locks import Lock, wait_for


def state_folder(folder: Path) -> Path:
    """Return where notes about a folder are kept: beside it, hidden, never copied with it."""
    return folder.parent / f".{folder.name}.modelarts"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; raise `UserError` where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder} ({error.strerror})") from error


@contextlib.contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[None]:
    """Let one process of this host at a time work on what belongs to `folder`.

    The lock ends with its process, however that ends.

    Args:
        folder: the folder; the lock file is in its `state_folder`.
        doing: what a waiting process says that another one is doing.

    Raises:
        UserError: the lock file cannot be written, or its disk has no locks.
    """
    state = state_folder(folder)
    make_folder(state)
    with wait_for(state / "lock", f"another process of this host is {doing}"):
        yield


class Attendance:
    """Which processes of this host work on a folder.

    Each keeps a file, named by its process id, locked for as long as it lives: one that was killed
    is gone at once, and a process id that is used again deceives nobody. All methods are to be
    called inside `exclusive(folder)`.
    """

    def __init__(self, folder: Path):
        self._folder = state_folder(folder) / "processes"
        self._own: Lock | None = None

    def join(self) -> None:
        """Register this process."""
        make_folder(self._folder)
        self._own = Lock(self._folder / f"{os.getpid()}.{secrets.token_hex(4)}")
        self._own.take()

    def leave(self) -> None:
        """Take this process off the list."""
        if self._own is not None:
            self._own.release(remove=True)
            self._own = None

    def others(self) -> int:
        """Return how many other processes are registered and alive; forget the dead ones."""
        alive = 0
        for path in self._folder.glob("*"):
            if self._own is not None and path == self._own.path:
                continue
            lock = Lock(path)
            if lock.take():
                lock.release(remove=True)
            else:
                alive += 1
        return alive
