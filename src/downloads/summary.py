"""What the downloads of data sets share: the summary of a run, and its look at the disk before."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from src.common.archives import Damaged
from src.common.errors import UserError
from src.downloads.http_fetch import NotServed
from src.downloads.records import only_process

LOG = logging.getLogger(__name__)


@dataclasses.dataclass
class Summary:
    """What a run did.

    Attributes:
        fetched: names of the files downloaded.
        complete: names of the files that were complete already.
        unpacked: archives unpacked now.
        failed: one line for each file that could not be had.
    """

    fetched: list[str] = dataclasses.field(default_factory=list)
    complete: list[str] = dataclasses.field(default_factory=list)
    unpacked: list[str] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)

    def attempt(self, path: Path, step: Callable[..., None], *arguments: Any) -> None:
        """Run step(path, …, self); a bad or missing file does not stop the others."""
        try:
            with only_process(path):
                step(path, *arguments, self)
        except (NotServed, Damaged) as error:
            LOG.error("%s", error)
            self.failed.append(str(error))

    def finish(self) -> None:
        """Report, and end with an error where files are missing."""
        LOG.info(
            "%d files fetched, %d were complete already, %d archives unpacked",
            len(self.fetched),
            len(self.complete),
            len(self.unpacked),
        )
        if self.failed:
            more = f" (and {len(self.failed) - 1} more, above)" if len(self.failed) > 1 else ""
            raise UserError(f"{len(self.failed)} files could not be had: {self.failed[0]}{more}")


def make_folder(path: Path) -> Path:
    """Make a folder, where it does not exist, and return it.

    Raises:
        UserError: that is not possible, or it may not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"the folder {path} may not be written to; choose another one")
    return path


def warn_of_space(folder: Path, wanted: float) -> None:
    """Warn before the start where the disk will not do."""
    free = shutil.disk_usage(folder).free
    if wanted > free:
        LOG.warning(
            "about %.1f GB are needed in %s and %.1f GB are free; a full disk will stop it",
            wanted / 1e9,
            folder,
            free / 1e9,
        )
