"""What outlives a power cut: files and folders whose content has reached the disk."""

from __future__ import annotations

import errno
import os

#: What file systems without such a thing say to a flush of a file or folder; EBADF: Windows, which
#: flushes only what is open for writing.
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


def to_disk(path: str | os.PathLike) -> None:
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
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)
