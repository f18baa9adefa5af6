"""The folder of a stage's checkpoints, and which process may write to it."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from src.common.errors import UserError
from src.common.locks import claim
from src.network.inference_weights import inference_weights
from src.network.weight_files import read_checkpoint, write_checkpoint
from src.network.weights import Weights
from src.training.state import (
    TrainingRecord,
    check_state,
    has_state,
    read_record,
    without_state,
)

LOG = logging.getLogger(__name__)


class CheckpointFolder:
    """The checkpoints of a stage, `checkpoint_delf_<stage>-<epoch>_<step>.ckpt`.

    The newest `keep` are kept. The newest holds all that a training needs to go on, the others
    weights and record. Beside them lie the best by validation, `best_delf_<stage>-…`, and in the
    end the weights for inference, `weights_delf_<stage>-…`. Those of the other stage are never
    touched. A file is given up only when the one that follows it has been read back from the disk.
    """

    def __init__(self, folder: str | Path, stage: str, keep: int):
        self.folder = Path(folder)
        self.stage = stage
        self.keep = keep

    def save(self, weights: Weights, epoch: int, step: int) -> Path:
        """Write the checkpoint of a step; remove what is too much; return the path."""
        path = self._path("checkpoint", epoch, step)
        write_checkpoint(path, weights)
        others = [other for other in self.list() if other != path]
        too_many = max(0, len(others) - (self.keep - 1))
        for old in others[:too_many]:
            old.unlink()
        for before in others[too_many:][-1:]:
            self._take_state_from(before)
        return path

    def save_best(self, weights: Weights, epoch: int, step: int) -> Path:
        """Write the best checkpoint in place of the one before; return the path."""
        path = self._path("best", epoch, step)
        write_checkpoint(path, without_state(weights))
        for old in self._list("best"):
            if old != path:
                old.unlink()
        return path

    def save_inference_weights(self) -> Path | None:
        """Write what inference needs of the newest checkpoint, unless it is there already."""
        newest = self.list()
        if not newest:
            return None
        path = newest[-1].with_name(newest[-1].name.replace("checkpoint", "weights", 1))
        if not path.exists():
            write_checkpoint(path, inference_weights(read_checkpoint(newest[-1])))
        return path

    def remove_leftovers(self) -> None:
        """Remove what a killed run had half written; nobody else may be writing here."""
        for kind in ("checkpoint", "best", "weights"):
            for path in self.folder.glob(f".{kind}_delf_{self.stage}-*.tmp.*"):
                path.unlink(missing_ok=True)

    def read_newest(
        self, settings: dict[str, object]
    ) -> tuple[Path, Weights, TrainingRecord] | None:
        """Return the newest checkpoint and what is in it; None where there is none.

        Args:
            settings: of the training that goes on; see `check_state`.

        Raises:
            UserError: it is damaged (then it is said what is left), or belongs to another training.
        """
        present = self.list()
        if not present:
            return None
        *older, newest = present
        try:
            weights = read_checkpoint(newest)
        except UserError as error:
            raise UserError(f"{error}. {self._what_is_left(older)}") from error
        return newest, weights, check_state(weights, newest, settings)

    def _what_is_left(self, older: list[Path]) -> str:
        best = self.best()
        for path in [*reversed(older), *([best] if best else [])]:
            try:
                weights = read_checkpoint(path)
                record = read_record(weights, path)
            except UserError:
                continue
            if record is not None and has_state(weights):
                return f"Remove it, and the training goes on from the one before, {path.name}"
            if record is not None:
                return (
                    f"The weights of step {record.step} are whole: begin with them by "
                    f"--checkpoint_path={path} --start_iter={record.step + 1} and another save_ckpt"
                )
        return "There is no other one to go on from: remove it to begin anew"

    def list(self) -> list[Path]:
        """Return the checkpoints of this stage, oldest first by epoch and step."""
        return self._list("checkpoint")

    def best(self) -> Path | None:
        """Return the best checkpoint, if there is one."""
        found = self._list("best")
        return found[-1] if found else None

    def _path(self, kind: str, epoch: int, step: int) -> Path:
        return self.folder / f"{kind}_delf_{self.stage}-{epoch}_{step}.ckpt"

    def _take_state_from(self, path: Path) -> None:
        try:
            weights = read_checkpoint(path)
        except UserError as error:
            LOG.warning("%s; it is left as it is", error)
            return
        if has_state(weights):
            write_checkpoint(path, without_state(weights))

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
