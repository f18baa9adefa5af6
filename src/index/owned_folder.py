"""A folder of ours whose files a description names: who may write it, and what is left over in it.

The description (JSON, with a digest of itself) is replaced last, in one step, so that a program
killed at any moment leaves the folder as it was. What killed programs left behind, files that the
description does not name and what was appended in vain, is removed by the next one that writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.common.errors import UserError
from src.common.locks import claim


@dataclass(frozen=True)
class OwnedFolder:
    """A kind of folders.

    Attributes:
        what: it is, for messages: "index".
        description: name of the file that names the others.
        lock: name of the file that is locked by who writes.
        files: regular expression of the names of its other files, half-written ones among them.
        read: returns the description in a folder, whose "files" have their "bytes"; raises
            `UserError` where it cannot.
    """

    what: str
    description: str
    lock: str
    files: str
    read: Callable[[Path], Mapping[str, Any]]

    def owns(self, name: str) -> bool:
        """Tell whether a file, other than the description, is called like one of these folders."""
        return name == self.lock or re.fullmatch(self.files, name) is not None

    def exists(self, folder: Path) -> bool:
        """Tell whether a folder holds a description."""
        return (folder / self.description).exists()

    @contextlib.contextmanager
    def writing(self, folder: Path) -> Iterator[None]:
        """Let one process at a time write a folder; remove what a killed one left behind.

        An error in the block leaves the folder as it was, and none where none was.

        Raises:
            UserError: another process writes it, or it holds something else.
        """
        is_new = not folder.exists()
        self._refuse_foreign(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {folder} ({error.strerror})") from None
        refusal = (
            f"another process is writing the {self.what} {folder}; run this again when it is done"
        )
        no_locks = f"put the {self.what} on a disk that has locks"
        try:
            with claim(folder / self.lock, refusal, no_locks):
                self._sweep(folder)
                try:
                    yield
                finally:
                    self._sweep(folder)
        finally:
            if is_new:  # a folder that was there, empty, stays
                with contextlib.suppress(OSError):  # it is not empty: something was made
                    folder.rmdir()

    def remove_left_overs(self, folder: Path) -> None:
        """Remove files that the description does not name, and what was appended in vain.

        Raises:
            UserError: there is a description that cannot be read.
        """
        known = self.read(folder)["files"] if self.exists(folder) else {}
        for path in folder.iterdir():
            if path.name in known:
                if path.stat().st_size > known[path.name]["bytes"]:
                    os.truncate(path, known[path.name]["bytes"])
            elif self.owns(path.name) and path.name != self.lock and not path.is_dir():
                path.unlink()

    def _sweep(self, folder: Path) -> None:
        with contextlib.suppress(UserError):  # nobody can say what belongs to it
            self.remove_left_overs(folder)

    def _refuse_foreign(self, folder: Path) -> None:
        if self.exists(folder) or not folder.exists():
            return
        if not folder.is_dir() or not all(self.owns(path.name) for path in folder.iterdir()):
            raise UserError(f"{folder} is there already and is no {self.what}; give another folder")


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the digest of a description, which is its member "digest"."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
