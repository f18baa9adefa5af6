"""What outlives a power cut: files and folders whose content has reached the disk."""

from __future__ import annotations

import errno
import os

from src.common.atomic_files import PathLike


def to_disk(path: PathLike) -> None:
    """Return when what was written to a file, or the names in a folder, are on the disk.

    Without it a file that was renamed into its place may be there after a power cut, and empty.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if os.name != "nt":  # Windows opens no folders
            raise
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # A disk that cannot be asked to; and Windows flushes only what is open for writing.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
