"""What a training tells while it runs: the lines of its log, a bar, and figures in files."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from src.training.metrics_log import MetricsLog
from src.training.mindinsight import Summary
from src.training.settings import DescentSettings
from src.training.step import learning_rate

LOG = logging.getLogger(__name__)


@dataclass
class Progress:
    """Tells of the steps that come after `done`, and how fast they are.

    Attributes:
        descent: which steps there are, and their learning rate.
        photos_a_step: on all devices together.
        done: how many steps were done before.
        summary: where the figures are shown by MindInsight.
        metrics: where they are written as JSON lines, if anywhere.
        bar: the progress bar.
    """

    descent: DescentSettings
    photos_a_step: int
    done: int
    summary: Summary
    metrics: MetricsLog | None
    bar: tqdm

    def __post_init__(self) -> None:
        """Start the clock."""
        self._since, self._since_step, self._waited = time.monotonic(), self.done, 0.0

    @contextlib.contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Count the time of a block as waiting for photos."""
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start

    @contextlib.contextmanager
    def not_training(self) -> Iterator[None]:
        """Leave the time of a block out of the speed."""
        start = time.monotonic()
        yield
        self._since += time.monotonic() - start

    def step_is_done(self) -> None:
        """Move the bar."""
        self.bar.update()

    def log(self, number: int, position: tuple[int, int], loss: float) -> None:
        """Tell the loss of a step, at `position` (epoch, step in it), and the speed since before.

        Args:
            number: of the step.
            position: its epoch and its number in that, both counted from 1.
            loss: of the step.
        """
        now = time.monotonic()
        seconds, steps = now - self._since, number - self._since_step
        self._say(position, f"loss is {loss:.7g}")
        values = {
            "loss": loss,
            "learning_rate": learning_rate(self.descent.initial_lr, self.descent.max_iters, number),
            "photos_per_second": steps * self.photos_a_step / seconds,
            "data_wait": self._waited / seconds,
        }
        self.summary.add(number, **values)
        if self.metrics is not None:
            self.metrics.add(number, epoch=position[0], **values, seconds_per_step=seconds / steps)
        self._since, self._since_step, self._waited = now, number, 0.0

    def log_accuracy(self, number: int, position: tuple[int, int], accuracy: float) -> None:
        """Tell the validation accuracy after a step; the arguments are those of `log`."""
        self._say(position, f"validation accuracy is {accuracy:.4f}")
        self.summary.add(number, validation_accuracy=accuracy)
        if self.metrics is not None:
            self.metrics.add(number, epoch=position[0], validation_accuracy=accuracy)

    def log_saved(self, checkpoint: Path) -> None:
        """Tell that a checkpoint was written."""
        with self.bar.external_write_mode():
            LOG.info("saved %s", checkpoint)

    def _say(self, position: tuple[int, int], what: str) -> None:
        """Print a line of the log above the bar."""
        epoch, step = position
        with self.bar.external_write_mode():
            print(f"epoch: {epoch} step: {step}, {what}", flush=True)


@contextlib.contextmanager
def open_progress(
    descent: DescentSettings,
    photos_a_step: int,
    done: int,
    summary_folder: str | None,
    metrics_path: Path | None,
) -> Iterator[Progress]:
    """Open the log of a training that begins, or goes on, after `done` steps.

    Args:
        descent: which steps there are.
        photos_a_step: on all devices together.
        done: how many steps were done before; what `metrics_path` holds of them is kept.
        summary_folder: where MindInsight finds the figures; None: nowhere.
        metrics_path: the file of JSON lines; None: of a worker that writes nothing.
    """
    with contextlib.ExitStack() as stack:
        summary = stack.enter_context(Summary(summary_folder))
        metrics = None
        if metrics_path is not None:
            metrics = MetricsLog(metrics_path, last_step=done)
            stack.callback(metrics.close)
        total = descent.max_iters
        bar = stack.enter_context(
            tqdm(total=total, initial=done, unit="step", disable=None, smoothing=0.05)
        )
        yield Progress(descent, photos_a_step, done, summary, metrics, bar)
