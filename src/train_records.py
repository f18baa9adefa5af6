"""What a training leaves behind: checkpoints, the summary for MindInsight, the profile."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
from mindspore import nn

from src.network_weights import write_checkpoint

LOG = logging.getLogger(__name__)


class CheckpointFolder:
    """The checkpoints of a stage, `checkpoint_delf_<stage>-<epoch>_<step>.ckpt`.

    The newest `keep` are kept; checkpoints of the other stage are never touched.
    """

    def __init__(self, folder: str | Path, stage: str, keep: int):
        self.folder = Path(folder)
        self.prefix = f"checkpoint_delf_{stage}"
        self.keep = keep

    def save(self, network: nn.Cell, epoch: int, step: int) -> Path:
        """Write the network's parameters; remove what is too many; return the path."""
        path = self.folder / f"{self.prefix}-{epoch}_{step}.ckpt"
        # By the names inside this network: the parameters' own begin with the cells around it.
        write_checkpoint(path, {name: p.asnumpy() for name, p in network.parameters_and_names()})
        for old in self.list()[: -self.keep]:
            old.unlink()
        return path

    def list(self) -> list[Path]:
        """Return the checkpoints of this stage, oldest first by epoch and step."""
        pattern = re.compile(re.escape(self.prefix) + r"-(\d+)_(\d+)\.ckpt")
        found = ((pattern.fullmatch(path.name), path) for path in self.folder.glob("*.ckpt"))
        ordered = sorted((int(m[1]), int(m[2]), path) for m, path in found if m)
        return [path for _, _, path in ordered]


class Summary:
    """Scalars over the steps in MindSpore's summary format; does nothing without a folder."""

    def __init__(self, folder: str | Path | None):
        self._record = ms.SummaryRecord(str(folder)) if folder else None

    def add(self, step: int, **scalars: float) -> None:
        """Record named values of a step."""
        if self._record is None:
            return
        for name, value in scalars.items():
            self._record.add_value("scalar", name, ms.Tensor(value, ms.float32))
        self._record.record(step)

    def close(self) -> None:
        """Write what is left."""
        if self._record is not None:
            self._record.close()


@contextlib.contextmanager
def profiled(folder: str | Path | None) -> Iterator[None]:
    """Profile the steps done inside; does nothing without a folder."""
    if not folder:
        yield
        return
    path = Path(folder) / "profiler"
    path.mkdir(parents=True, exist_ok=True)
    profiler = ms.Profiler(output_path=str(path))
    try:
        yield
    finally:
        profiler.analyse()
        LOG.info("the profile is in %s", path)
