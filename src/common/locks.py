"""One process at a time: locks between the processes of a host.

A lock is a file that a process holds. The system lets go of it when the process ends, however that
is, so a killed program blocks nobody. Processes that were forked meanwhile do not hold it: they may
outlive the one that took it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

from src.common.errors import UserError

LOG = logging.getLogger(__name__)

ELSEWHERE = "choose a folder on a local disk"
# Seconds: whoever is just done removes the file under our hands, so look twice before refusing.
_MOMENT = 0.05


class NoLocksError(UserError):
    """The disk does not keep processes apart."""


class HeldError(UserError):
    """Somebody else has what was claimed."""


class Lock:
    """A file that one `Lock` at a time holds, here or in another process.

    Args:
        path: the file; it is made where it does not exist, and stays.
    """

    def __init__(self, path: Path):
        self.path = path
        self._process = os.getpid()
        # A disk without locks is to be told: filelock's substitute would outlive a killed process.
        self._file = filelock.FileLock(path, thread_local=False, fallback_to_soft=False)

    def take(self, patience: float = 0.0) -> bool:
        """Take the lock, and tell whether it could be had within `patience` seconds.

        Raises:
            OSError: the file cannot be written.
            NoLocksError: the disk has no locks.
        """
        try:
            self._file.acquire(patience)
        except filelock.Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
            if full or getattr(error, "filename", None) is not None:  # opening it went wrong
                raise
            raise NoLocksError(f"cannot lock {self.path} ({_reason(error)})") from error
        return True

    def release(self, remove: bool = False) -> None:
        """Let go of the lock; with `remove` its file goes, too. In a forked process: do nothing."""
        if remove and os.getpid() == self._process:
            # Before others may have it. Windows keeps open files; there filelock removes it.
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._file.release()


@contextlib.contextmanager
def wait_for(path: Path, holder: str, no_locks: str | None = ELSEWHERE) -> Iterator[None]:
    """Hold a lock for the time of the block, after whoever has it now.

    Args:
        path: the lock's file; it stays.
        holder: who may have it, for the log: "another process is …".
        no_locks: what to do about a disk without locks; None: go on unlocked, with a warning.

    Raises:
        OSError: the file cannot be written.
        NoLocksError: the disk has no locks.
    """
    lock = Lock(path)
    if not _taken(lock, no_locks):
        LOG.info("%s; waiting for it", holder)
        _taken(lock, no_locks, math.inf)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def claim(path: Path, refusal: str, no_locks: str | None = ELSEWHERE) -> Iterator[None]:
    """Hold a lock for the time of the block, or refuse at once where somebody has it.

    Args:
        path: the lock's file; it is removed in the end.
        refusal: what another process is doing, and what to do about it.
        no_locks: as in `wait_for`.

    Raises:
        HeldError: `refusal`.
        OSError: the file cannot be written.
        NoLocksError: the disk has no locks.
    """
    lock = Lock(path)
    if not _taken(lock, no_locks, _MOMENT):
        raise HeldError(refusal)
    try:
        yield
    finally:
        lock.release(remove=True)


def _taken(lock: Lock, no_locks: str | None, patience: float = 0.0) -> bool:
    """Take a lock; where the disk has none, go on without or say what to do."""
    try:
        return lock.take(patience)
    except NoLocksError as error:
        if no_locks is not None:
            raise NoLocksError(f"{error}; {no_locks}") from error
        _warn(lock.path.parent, _reason(error.__cause__))
        return True


def _reason(error: BaseException | None) -> str:
    return getattr(error, "strerror", None) or str(error)


@functools.cache
def _warn(folder: Path, reason: str) -> None:
    """Say it once a folder, not for each of 500 archives."""
    LOG.warning("%s cannot be locked (%s)", folder, reason)
