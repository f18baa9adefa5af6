"""The folder of a stage's checkpoints, and which process may write to it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from src.common.locks import claim


class CheckpointFolder:
    """The checkpoints of a stage, `checkpoint_delf_<stage>-<epoch>_<step>.ckpt`.

    The newest `keep` are kept, and beside them the best by validation under the name
    `best_delf_<stage>-<epoch>_<step>.ckpt`. Those of the other stage are never touched.
    """

    def __init__(self, folder: str | Path, stage: str, keep: int):
        self.folder = Path(folder)
        self.stage = stage
        self.keep = keep

    def save(self, write: Callable[[Path], None], epoch: int, step: int) -> Path:
        """Let `write` make the checkpoint of a step; remove what is too many; return the path."""
        path = self.folder / f"checkpoint_delf_{self.stage}-{epoch}_{step}.ckpt"
        write(path)
        for old in self.list()[: -self.keep]:
            old.unlink()
        return path

    def save_best(self, write: Callable[[Path], None], epoch: int, step: int) -> Path:
        """Let `write` make the best checkpoint in place of the one before; return the path."""
        path = self.folder / f"best_delf_{self.stage}-{epoch}_{step}.ckpt"
        write(path)
        for old in self._list("best"):
            if old != path:
                old.unlink()
        return path

    def remove_leftovers(self) -> None:
        """Remove what a killed run had half written; nobody else may be writing here."""
        for kind in ("checkpoint", "best"):
            for path in self.folder.glob(f".{kind}_delf_{self.stage}-*.tmp.*"):
                path.unlink(missing_ok=True)

    def list(self) -> list[Path]:
        """Return the checkpoints of this stage, oldest first by epoch and step."""
        return self._list("checkpoint")

    def best(self) -> Path | None:
        """Return the best checkpoint, if there is one."""
        found = self._list("best")
        return found[-1] if found else None

    def _list(self, kind: str) -> list[Path]:
        pattern = re.compile(rf"{kind}_delf_{self.stage}-(\d+)_(\d+)\.ckpt")
        found = ((pattern.fullmatch(path.name), path) for path in self.folder.glob("*.ckpt"))
        ordered = sorted((int(m[1]), int(m[2]), path) for m, path in found if m)
        return [path for _, _, path in ordered]


@contextlib.contextmanager
def claimed(folder: str | Path, stage: str) -> Iterator[None]:
    """Keep the checkpoints of a stage for this process, so that no two trainings mix theirs.

    Raises `UserError` while another process has them. Where the file system has no locks, nothing
    is claimed.
    """
    path = Path(folder) / f".{stage}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    refusal = (
        f"another training of this stage is writing to {folder}; wait for its end, stop it, or set "
        "save_ckpt to another folder"
    )
    with claim(path, refusal, no_locks=None):
        yield
