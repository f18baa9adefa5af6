"""Reading some small files of a tar file."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

from src.common.errors import UserError, raise_if_of_system


def read_members(tarball: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the plain files of a tar file that are wanted, by their path in it.

    Raises:
        UserError: the tar file cannot be read to its end.
    """
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r:*") as tar:
            for member in tar:
                if member.isreg() and wanted(member.name):
                    contents[member.name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise_if_of_system(error, tarball)
        raise UserError(f"{tarball} cannot be read ({error})") from error
    return contents
