"""The two stages of the training (Noh et al., ICCV 2017, section 4), on one or many devices."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np

from model_utils.device import set_up_device
from model_utils.worker_group import WorkerGroup, join_group, launched_device, noticing_lost_workers
from src.common.errors import UserError
from src.common.signals import StopRequest
from src.data_augmentation_parallel import PhotoBatches, count_classes
from src.network.weight_files import read_checkpoint
from src.network.weights import Weights
from src.training.background import Background
from src.training.checkpoints import CheckpointFolder, claimed
from src.training.curve import draw_curve
from src.training.mindinsight import profiled
from src.training.progress import Progress, open_progress
from src.training.settings import TrainingSettings
from src.training.stages import (
    TrainingParts,
    build_parts,
    initial_weights_digest,
    load_initial_weights,
    photo_batches,
)
from src.training.state import TrainingRecord, read_record
from src.training.validation import measure_accuracy, open_validation

LOG = logging.getLogger(__name__)
PROFILED_STEPS = 10


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended: last checkpoint, last loss, accuracy (None: not measured)."""

    checkpoint: Path | None
    loss: float
    accuracy: float | None


def train(
    settings: TrainingSettings, after_saving: Callable[[], None] = lambda: None
) -> TrainingResult:
    """Run a stage of the training to step `max_iters`.

    Where `save_ckpt` holds a checkpoint of the same training, it goes on from there; otherwise it
    begins with step `start_iter`. Several processes, brought together by a launcher, train as one:
    the first writes what is left behind, beside the training.

    Args:
        settings: of the training.
        after_saving: called, by the first process, when a checkpoint has been written, in the
            thread that wrote it.

    Raises:
        UserError: data or weights are missing or do not fit the settings or each other, or the
            loss is no longer a finite number.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint was written.
    """
    device = set_up_device(
        settings.device_target,
        launched_device(settings.device_id),
        settings.descent.jit_level,
        unfolds=True,
    )
    group = join_group()
    with noticing_lost_workers(group):
        return _train_in_group(settings, device, group, after_saving)


def _train_in_group(
    settings: TrainingSettings, device: str, group: WorkerGroup, after_saving: Callable[[], None]
) -> TrainingResult:
    num_classes = count_classes(settings.photos.traindata_path)
    ms.set_seed(settings.seed)
    photos = photo_batches(settings.photos, settings.seed, group, training=True)
    group.check_same("the number of photos", photos.photos)
    group.check_same("the number of classes", num_classes)
    if photos.steps_per_epoch == 0:
        raise UserError(
            f"{settings.photos.traindata_path} holds {photos.photos} photos, fewer than one step "
            f"sees ({settings.photos.photos_a_step(group.size)}); lower batch_size or "
            "accumulation_steps"
        )
    parts = build_parts(settings, group, device, num_classes)
    facts = {"classes": num_classes, "photos": photos.photos}
    record = TrainingRecord(
        settings.descent.start_iter - 1, settings.identity(group.size, device) | facts
    )
    run = _Run(settings, group, parts, photos, record, after_saving)
    folder, stage = settings.outputs.save_ckpt, settings.stage.train_state
    with claimed(folder, stage) if group.is_first else nullcontext():
        run.begin()
        return run.finish()


@dataclass
class _Run:
    """A training from the step it begins with, or goes on at, to its end."""

    settings: TrainingSettings
    group: WorkerGroup
    parts: TrainingParts
    photos: PhotoBatches
    record: TrainingRecord
    after_saving: Callable[[], None]
    saved: Path | None = None

    def __post_init__(self) -> None:
        """Name the files it leaves behind, and open the validation photos."""
        outputs, stage = self.settings.outputs, self.settings.stage.train_state
        self.checkpoints = CheckpointFolder(outputs.save_ckpt, stage, outputs.keep_checkpoint_max)
        self.metrics_path = Path(outputs.save_ckpt) / f"train_{stage}.jsonl"
        self.background = Background()
        self.validation = None
        if outputs.validate_step:
            self.validation = open_validation(self.settings, self.group)

    def begin(self) -> None:
        """Set the weights, and the state of an earlier run of the same training."""
        stage = self.settings.stage
        if self.group.is_first:
            # The same file name may hold other weights the next time.
            self.record.settings["initial_weights"] = initial_weights_digest(stage)
            self.checkpoints.remove_leftovers()
            newest = self.checkpoints.read_newest(self.record.settings)
            if newest is not None:
                self._go_on_from(*newest)
            else:
                load_initial_weights(stage, self.settings.descent.start_iter, self.parts.state)
        self.parts.state.take_from_first(self.group)
        own = self.record.step if self.group.is_first else 0
        self.record.step = int(self.group.sum([own])[0])

    def _go_on_from(self, checkpoint: Path, weights: Weights, record: TrainingRecord) -> None:
        self.parts.state.load(weights, str(checkpoint))
        self.record = record
        self.saved = checkpoint
        best = self.checkpoints.best()
        if best is not None:
            # Later than the checkpoint perhaps: those steps will be done again, and give the same.
            best_record = read_record(read_checkpoint(best), best)
            if best_record is not None and best_record.settings == record.settings:
                record.best_accuracy = best_record.accuracy
                record.validated = best_record.validated
        if self.validation is not None and record.validated not in (None, self.validation.photos):
            LOG.info(
                "the best accuracy so far was measured on %d photos, now %d are measured on: a "
                "new best begins",
                *(record.validated, self.validation.photos),
            )
            record.best_accuracy = None
        LOG.info("going on after step %d from %s", record.step, checkpoint)

    def finish(self) -> TrainingResult:
        """Do the steps that are left."""
        outputs, stage = self.settings.outputs, self.settings.stage.train_state
        first, last = self.record.step + 1, self.settings.descent.max_iters
        if first > last:
            LOG.info("step %d was reached before: %s", last, self.saved)
            self._write_inference_weights()
            return self._result()
        LOG.info(
            "%s: %d photos of %d classes, %d steps an epoch, steps %d to %d; worker %d of %d",
            *(stage, self.photos.photos, self.record.settings["classes"]),
            *(self.photos.steps_per_epoch, first, last, self.group.rank, self.group.size),
        )
        writes = self.group.is_first
        with (
            open_progress(
                self.settings.descent,
                self.settings.photos.photos_a_step(self.group.size),
                self.record.step,
                summary_folder=outputs.save_summary if outputs.need_summary and writes else None,
                metrics_path=self.metrics_path if writes else None,
            ) as progress,
            self.background,
        ):
            self._do_steps(first, progress)
            # The others need not wait for what the first one has left to do.
            self.group.wait()
        if writes:
            draw_curve(self.metrics_path, self.metrics_path.with_suffix(".png"), f"DELF, {stage}")
        if self.record.step < last:
            raise KeyboardInterrupt
        self._write_inference_weights()
        return self._result()

    def _write_inference_weights(self) -> None:
        if self.group.is_first:
            path = self.checkpoints.save_inference_weights()
            LOG.info("weights for inference: %s", path)
            self.after_saving()

    def _do_steps(self, first: int, progress: Progress) -> None:
        """Do the steps from `first` on, until somebody asks to stop."""
        outputs, last = self.settings.outputs, self.settings.descent.max_iters
        with (
            StopRequest("a checkpoint is written after this step") as stop,
            ExitStack() as profile,
        ):
            if outputs.need_profile and self.group.is_first:
                profile.enter_context(profiled(outputs.save_summary))
            batches = self.photos.from_step(first - 1)
            asked = self.group.start_sum([0.0])
            for number in range(first, last + 1):
                losses = self._step(batches, progress)
                self.record.step = number
                progress.step_is_done()
                if number == first + PROFILED_STEPS - 1:
                    profile.close()
                self.background.check()
                # With several workers the answer to the question before is read, so that nobody
                # waits for this step; it comes to all of them at the same step.
                asked_before, asked = asked, self.group.start_sum([stop.is_made])
                stops = (asked if self.group.size == 1 else asked_before)()[0] > 0
                ends = stops or number == last
                self._do_what_is_due(number, losses, progress, is_first=number == first, ends=ends)
                if ends:
                    break

    def _step(
        self, batches: Iterator[tuple[ms.Tensor, ms.Tensor]], progress: Progress
    ) -> list[ms.Tensor]:
        """Do a step; return the losses of its batches."""
        count, losses = self.settings.photos.accumulation_steps, []
        for number in range(count):
            with progress.waiting_for_data():
                images, labels = next(batches)
            if count == 1:
                losses.append(self.parts.step(images, labels))
            else:
                losses.append(self.parts.step(images, labels, ms.Tensor(number == 0)))
        if count > 1:
            self.parts.step.finish()
        return losses

    def _do_what_is_due(
        self, number: int, losses: list[ms.Tensor], progress: Progress, is_first: bool, ends: bool
    ) -> None:
        """Log, validate and save what is due after a step."""
        outputs = self.settings.outputs
        logs = is_first or ends or number % outputs.log_step == 0
        is_last = number == self.settings.descent.max_iters
        validates = self.validation is not None and (is_last or number % outputs.validate_step == 0)
        saves = ends or number % outputs.save_ckpt_step == 0
        if not (logs or validates or saves):
            return
        self.record.loss = self._mean_loss(losses)
        if logs:
            progress.log(number, self._position(number), self.record.loss)
        with progress.not_training():
            if validates or saves:
                self.parts.state.average_statistics(self.group)
            is_best = validates and self._validate(number, progress)
            if self.group.is_first and (saves or is_best):
                self._save(number, progress, saves=saves, is_best=is_best)

    def _mean_loss(self, losses: list[ms.Tensor]) -> float:
        """Return the mean loss of a step over its batches and all workers."""
        own = float(np.mean([float(loss.asnumpy()) for loss in losses]))
        loss = float(self.group.mean([own])[0])
        if not np.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at step {self.record.step}; nothing of it was saved. "
                "Lower initial_lr, or check the weights the training started from"
            )
        return loss

    def _validate(self, number: int, progress: Progress) -> bool:
        """Measure the accuracy; return whether it is the best so far."""
        accuracy = measure_accuracy(self.parts.network, self.validation, self.group)
        self.parts.step.set_train()
        progress.log_accuracy(number, self._position(number), accuracy)
        self.record.accuracy = accuracy
        self.record.validated = self.validation.photos
        best = self.record.best_accuracy
        if best is not None and accuracy <= best:
            return False
        self.record.best_accuracy = accuracy
        return True

    def _save(self, number: int, progress: Progress, saves: bool, is_best: bool) -> None:
        """Write checkpoints of what is now, while the training goes on."""
        self.background.wait()  # two copies in memory would be one too many
        weights, position = self.parts.state.snapshot(self.record), self._position(number)

        def write() -> None:
            if is_best:
                self.checkpoints.save_best(weights, *position)
            if saves:
                self.saved = self.checkpoints.save(weights, *position)
                progress.log_saved(self.saved)
            self.after_saving()

        self.background.start(write)

    def _position(self, number: int) -> tuple[int, int]:
        """Return the epoch and the step in it, both counted from 1."""
        epoch, in_epoch = divmod(number - 1, self.photos.steps_per_epoch)
        return epoch + 1, in_epoch + 1

    def _result(self) -> TrainingResult:
        loss = float("nan") if self.record.loss is None else self.record.loss
        return TrainingResult(self.saved, loss, self.record.accuracy)
