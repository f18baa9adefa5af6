"""The two stages of the training (Noh et al., ICCV 2017, section 4), on one or many devices."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from tqdm import tqdm

from model_utils.config import Config
from model_utils.device import set_up_device
from model_utils.worker_group import WorkerGroup, join_group, launched_device, noticing_lost_workers
from src.common.errors import UserError
from src.common.signals import StopRequest
from src.data_augmentation_parallel import PhotoBatches, count_classes, find_shards
from src.network.weights import read_checkpoint
from src.shards.inventory import count_labels
from src.training.curve import draw_curve
from src.training.metrics_log import MetricsLog
from src.training.parts import (
    TrainingParts,
    build_parts,
    check_settings,
    initial_weights_path,
    load_initial_weights,
    photo_batches,
    photos_a_step,
    training_settings,
)
from src.training.records import CheckpointFolder, Summary, claimed, profiled
from src.training.state import TrainingRecord, file_digest, read_record, read_state
from src.training.step import learning_rate

LOG = logging.getLogger(__name__)
PROFILED_STEPS = 10


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended: last checkpoint, last loss, accuracy (None: not measured)."""

    checkpoint: Path | None
    loss: float
    accuracy: float | None


def train(config: Config) -> TrainingResult:
    """Run a stage of the training to step `max_iters`.

    Where `save_ckpt` holds a checkpoint of the same training, it goes on from there; otherwise it
    begins with step `start_iter`. Several processes, brought together by a launcher, train as one:
    the first writes what is left behind.

    Raises:
        UserError: data, weights or settings are missing or do not fit each other, or the loss is
            no longer a finite number.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint was written.
    """
    check_settings(config)
    device = set_up_device(config.device_target, launched_device(config.device_id))
    group = join_group()
    with noticing_lost_workers(group):
        return _train_in_group(config, device, group)


def _train_in_group(config: Config, device: str, group: WorkerGroup) -> TrainingResult:
    num_classes = count_classes(config.traindata_path)
    ms.set_seed(config.seed)
    photos = photo_batches(config, group, training=True)
    group.check_same("the number of photos", photos.photos)
    group.check_same("the number of classes", num_classes)
    if photos.steps_per_epoch == 0:
        raise UserError(
            f"{config.traindata_path} holds {photos.photos} photos, fewer than one step sees "
            f"({photos_a_step(config, group)}); lower batch_size or accumulation_steps"
        )
    parts = build_parts(config, group, device, num_classes)
    facts = {"classes": num_classes, "photos": photos.photos}
    settings = training_settings(config, group, device, **facts)
    run = _Run(config, group, parts, photos, settings)
    with claimed(config.save_ckpt, config.train_state) if group.is_first else nullcontext():
        run.begin()
        return run.finish()


class _Run:
    """A training from the step it begins with, or goes on at, to its end."""

    def __init__(
        self,
        config: Config,
        group: WorkerGroup,
        parts: TrainingParts,
        photos: PhotoBatches,
        settings: dict[str, object],
    ):
        self.config = config
        self.group = group
        self.parts = parts
        self.photos = photos
        self.record = TrainingRecord(config.start_iter - 1, settings)
        stage = config.train_state
        self.checkpoints = CheckpointFolder(config.save_ckpt, stage, config.keep_checkpoint_max)
        self.metrics_path = Path(config.save_ckpt) / f"train_{stage}.jsonl"
        self.saved: Path | None = None
        self.validation = self._open_validation()

    def begin(self) -> None:
        """Set the weights, and the state of an earlier run of the same training."""
        if self.group.is_first:
            # The same file name may hold other weights the next time.
            digest = file_digest(initial_weights_path(self.config))
            self.record.settings["initial_weights"] = digest
            self.checkpoints.remove_leftovers()
            present = self.checkpoints.list()
            if present:
                self._go_on_from(present[-1])
            else:
                load_initial_weights(self.config, self.parts.state)
        self.parts.state.take_from_first(self.group)
        own = self.record.step if self.group.is_first else 0
        self.record.step = int(self.group.sum([own])[0])

    def finish(self) -> TrainingResult:
        """Do the steps that are left."""
        first, last = self.record.step + 1, self.config.max_iters
        if first > last:
            LOG.info("step %d was reached before: %s", last, self.saved)
            return self._result()
        LOG.info(
            "%s: %d photos of %d classes, %d steps an epoch, steps %d to %d; worker %d of %d",
            self.config.train_state,
            self.photos.photos,
            self.record.settings["classes"],
            self.photos.steps_per_epoch,
            first,
            last,
            self.group.rank,
            self.group.size,
        )
        with ExitStack() as stack:
            self._open_outputs(stack, first, last)
            stop = stack.enter_context(StopRequest("a checkpoint is written after this step"))
            profile = stack.enter_context(ExitStack())
            if self.config.need_profile and self.group.is_first:
                profile.enter_context(profiled(self.config.save_summary))
            batches = self.photos.from_step(first - 1)
            asked = self.group.start_sum([0.0])
            for number in range(first, last + 1):
                losses = self._step(batches)
                self.record.step = number
                self.bar.update()
                if number == first + PROFILED_STEPS - 1:
                    profile.close()
                # With several workers the answer to the question before is read, so that nobody
                # waits for this step; it comes to all of them at the same step.
                asked_before, asked = asked, self.group.start_sum([stop.is_made])
                stops = (asked if self.group.size == 1 else asked_before)()[0] > 0
                self._report(number, losses, is_first=number == first, ends=stops or number == last)
                if stops and number < last:
                    break
        if self.group.is_first:
            title = f"DELF, {self.config.train_state}"
            draw_curve(self.metrics_path, self.metrics_path.with_suffix(".png"), title)
        self.group.wait()
        if self.record.step < last:
            raise KeyboardInterrupt
        return self._result()

    def _go_on_from(self, checkpoint: Path) -> None:
        weights, record = read_state(checkpoint, self.record.settings)
        self.parts.state.load(weights, str(checkpoint))
        self.record = record
        self.saved = checkpoint
        best = self.checkpoints.best()
        if best is not None:
            # Later than the checkpoint perhaps: those steps will be done again, and give the same.
            best_record = read_record(read_checkpoint(best), best)
            if best_record is not None and best_record.settings == record.settings:
                record.best_accuracy = best_record.accuracy
        LOG.info("going on after step %d from %s", record.step, checkpoint)

    def _open_outputs(self, stack: ExitStack, first: int, last: int) -> None:
        config, writes = self.config, self.group.is_first
        folder = config.save_summary if config.need_summary and writes else None
        self.summary = stack.enter_context(Summary(folder))
        self.metrics = None
        if writes:
            self.metrics = MetricsLog(self.metrics_path, last_step=first - 1)
            stack.callback(self.metrics.close)
        self.bar = stack.enter_context(
            tqdm(total=last, initial=first - 1, unit="step", disable=None, smoothing=0.05)
        )
        self.since, self.since_step, self.waited = time.monotonic(), first - 1, 0.0

    def _step(self, batches: Iterator[tuple[ms.Tensor, ms.Tensor]]) -> list[ms.Tensor]:
        """Do a step; return the losses of its batches."""
        count, losses = self.config.accumulation_steps, []
        for number in range(count):
            start = time.monotonic()
            images, labels = next(batches)
            self.waited += time.monotonic() - start
            if count == 1:
                losses.append(self.parts.step(images, labels))
            else:
                losses.append(self.parts.step(images, labels, ms.Tensor(number == 0)))
        if count > 1:
            self.parts.step.finish()
        return losses

    def _report(self, number: int, losses: list[ms.Tensor], is_first: bool, ends: bool) -> None:
        """Log, validate and save what is due after a step."""
        config = self.config
        logs = is_first or ends or number % config.log_step == 0
        is_last = number == config.max_iters
        validates = self.validation is not None and (is_last or number % config.validate_step == 0)
        saves = ends or number % config.save_ckpt_step == 0
        if not (logs or validates or saves):
            return
        self.record.loss = self._loss(losses)
        if logs:
            self._log(number)
        start = time.monotonic()
        if validates or saves:
            self.parts.state.average_statistics(self.group)
        if validates:
            self._validate(number)
        if saves and self.group.is_first:
            self.saved = self.checkpoints.save(self._write, *self._position(number))
            with self.bar.external_write_mode():
                LOG.info("saved %s", self.saved)
        self.since += time.monotonic() - start

    def _loss(self, losses: list[ms.Tensor]) -> float:
        """Return the mean loss of a step over its batches and all workers."""
        own = float(np.mean([float(loss.asnumpy()) for loss in losses]))
        loss = float(self.group.mean([own])[0])
        if not np.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at step {self.record.step}; nothing of it was saved. "
                "Lower initial_lr, or check the weights the training started from"
            )
        return loss

    def _log(self, number: int) -> None:
        loss, now = self.record.loss, time.monotonic()
        seconds, steps = now - self.since, number - self.since_step
        epoch, in_epoch = self._position(number)
        self._say(f"epoch: {epoch} step: {in_epoch}, loss is {loss:.7g}")
        values = {
            "loss": loss,
            "learning_rate": learning_rate(self.config.initial_lr, self.config.max_iters, number),
            "photos_per_second": steps * self.record.settings["photos_a_step"] / seconds,
            "data_wait": self.waited / seconds,
        }
        self.summary.add(number, **values)
        if self.metrics is not None:
            self.metrics.add(number, epoch=epoch, **values, seconds_per_step=seconds / steps)
        self.since, self.since_step, self.waited = now, number, 0.0

    def _validate(self, number: int) -> None:
        accuracy = self._accuracy()
        self.parts.step.set_train()
        epoch, in_epoch = self._position(number)
        self._say(f"epoch: {epoch} step: {in_epoch}, validation accuracy is {accuracy:.4f}")
        self.summary.add(number, validation_accuracy=accuracy)
        if self.metrics is not None:
            self.metrics.add(number, epoch=epoch, validation_accuracy=accuracy)
        self.record.accuracy = accuracy
        best = self.record.best_accuracy
        if self.group.is_first and (best is None or accuracy > best):
            self.record.best_accuracy = accuracy
            self.checkpoints.save_best(self._write, epoch, in_epoch)

    def _accuracy(self) -> float:
        """Return the top-1 accuracy on the validation shards, each worker measuring its part."""
        data = self.validation
        self.parts.network.set_train(False)
        right = 0
        batches = data.epoch().create_tuple_iterator(num_epochs=1, output_numpy=True)
        for images, labels in batches:
            # A shorter last batch is filled up: another shape would compile the network again.
            filled = np.zeros((self.config.batch_size, *images.shape[1:]), np.float32)
            filled[: len(images)] = images
            logits = self.parts.network(ms.Tensor(filled)).asnumpy()[: len(images)]
            right += int((logits.argmax(1) == labels).sum())
        return float(self.group.sum([right])[0]) / data.photos

    def _open_validation(self) -> PhotoBatches | None:
        if self.config.validate_step == 0:
            return None
        shards = find_shards(self.config.traindata_path, "validation")
        if not shards or not sum(sum(count_labels(shard).values()) for shard in shards):
            LOG.warning(
                "no validation photos beside %s: no accuracy is measured and no best checkpoint "
                "kept; build the shards with --validation_split_size",
                self.config.traindata_path,
            )
            return None
        return photo_batches(self.config, self.group, training=False)

    def _write(self, path: Path) -> None:
        self.parts.state.save(path, self.record)

    def _position(self, number: int) -> tuple[int, int]:
        """Return the epoch and the step in it, both counted from 1."""
        epoch, in_epoch = divmod(number - 1, self.photos.steps_per_epoch)
        return epoch + 1, in_epoch + 1

    def _say(self, line: str) -> None:
        """Print a line of the log above the progress bar."""
        with self.bar.external_write_mode():
            print(line, flush=True)

    def _result(self) -> TrainingResult:
        loss = float("nan") if self.record.loss is None else self.record.loss
        return TrainingResult(self.saved, loss, self.record.accuracy)
