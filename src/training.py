"""The two stages of the training (Noh et al., ICCV 2017, section 4)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn
from tqdm import tqdm

from model_utils.config import Config
from model_utils.device import set_up_device
from src.convert_h5_to_weight import read_weights
from src.data_augmentation_parallel import count_classes, create_dataset, find_shards
from src.delf_model import AttentionNetwork, TuningNetwork, freeze, keep_statistics
from src.errors import UserError
from src.network_weights import Weights, load_weights
from src.train_records import CheckpointFolder, Summary, profiled
from src.train_step import ClassificationLoss, PolynomialDecay, TrainStep, learning_rate

LOG = logging.getLogger(__name__)
PROFILED_STEPS = 10


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended: last checkpoint, last loss, accuracy (None: not measured)."""

    checkpoint: Path
    loss: float
    accuracy: float | None


def train(config: Config) -> TrainingResult:
    """Run a stage of the training from `start_iter` to `max_iters`.

    Raises:
        UserError: data, weights or settings are missing or do not fit each other, or the loss is
            no longer a finite number.
    """
    _check_settings(config)
    num_classes = count_classes(config.traindata_path)
    weights = _initial_weights(config)
    set_up_device(config.device_target, config.device_id)
    ms.set_seed(config.seed)
    data = _dataset(config, training=True)
    steps_per_epoch = data.get_dataset_size()
    if steps_per_epoch == 0:
        raise UserError(
            f"{config.traindata_path} holds fewer photos than one batch ({config.batch_size}); "
            "lower batch_size"
        )
    network = _build_network(config, num_classes, weights)
    step = _build_step(config, network)
    LOG.info(
        "%s: %d classes, %d steps an epoch, steps %d to %d, %d trained tensors",
        *(config.train_state, num_classes, steps_per_epoch, config.start_iter, config.max_iters),
        len(network.trainable_params()),
    )
    summary = Summary(config.save_summary if config.need_summary else None)
    try:
        return _run(config, network, step, data, steps_per_epoch, summary)
    finally:
        summary.close()


def _check_settings(config: Config) -> None:
    at_least = {
        "batch_size": 1,
        "start_iter": 1,
        "image_size": 32,
        "keep_checkpoint_max": 1,
        "save_ckpt_step": 1,
        "log_step": 1,
        "validate_step": 0,
        "num_parallel_workers": 0,
    }
    for name, minimum in at_least.items():
        if getattr(config, name) < minimum:
            raise UserError(f"{name} is {getattr(config, name)}; it should be at least {minimum}")
    if config.max_iters < config.start_iter:
        raise UserError(
            f"max_iters ({config.max_iters}) comes before start_iter ({config.start_iter}): "
            "there is no step to do"
        )
    for name in ("initial_lr", "clip_norm"):
        if getattr(config, name) <= 0:
            raise UserError(f"{name} is {getattr(config, name)}; it should be above 0")


def _initial_weights(config: Config) -> tuple[Weights, str]:
    """Return the tensors a stage starts from and the name of their file."""
    if config.train_state == "attn" and not config.checkpoint_path:
        raise UserError("attn starts from a checkpoint of tuning: set checkpoint_path")
    path = config.checkpoint_path or config.imagenet_checkpoint
    return read_weights(path), path


def _dataset(config: Config, training: bool) -> ms.dataset.Dataset:
    return create_dataset(
        config.traindata_path,
        image_size=config.image_size,
        batch_size=config.batch_size,
        training=training,
        seed=config.seed,
        num_parallel_workers=config.num_parallel_workers or None,
        first_step=config.start_iter - 1 if training else 0,
    )


def _build_network(config: Config, num_classes: int, initial: tuple[Weights, str]) -> nn.Cell:
    weights, source = initial
    if config.train_state == "tuning":
        network = TuningNetwork(num_classes)
        # ImageNet weights bring no classifier for these classes; a checkpoint of tuning does.
        goes_on = bool(config.checkpoint_path)
        load_weights(network, weights, source, only=("backbone.", "classifier.")[: 1 + goes_on])
        if not config.train_bn_statistics:
            keep_statistics(network)
        for stage in network.backbone.stages()[: config.frozen_stages]:
            freeze(stage)
        return network
    network = AttentionNetwork(num_classes)
    goes_on = any(name.startswith("attention.") for name in weights)
    prefixes = ("backbone.", "attention.", "classifier.") if goes_on else ("backbone.",)
    load_weights(network, weights, source, only=prefixes)
    return network


def _build_step(config: Config, network: nn.Cell) -> TrainStep:
    weight = config.attention_loss_weight if config.train_state == "attn" else 1.0
    optimizer = nn.Momentum(
        network.trainable_params(),
        PolynomialDecay(config.initial_lr, config.max_iters, config.start_iter),
        config.momentum,
    )
    step = TrainStep(ClassificationLoss(network, weight), optimizer, config.clip_norm)
    step.set_train()
    return step


def _run(
    config: Config,
    network: nn.Cell,
    step: TrainStep,
    data: ms.dataset.Dataset,
    steps_per_epoch: int,
    summary: Summary,
) -> TrainingResult:
    checkpoints = CheckpointFolder(config.save_ckpt, config.train_state, config.keep_checkpoint_max)
    # Counted from the first step of the training, whichever this run starts with.
    epochs = -(-config.max_iters // steps_per_epoch)
    batches = data.create_tuple_iterator(num_epochs=epochs)
    total = config.max_iters - config.start_iter + 1
    bar = tqdm(total=total, unit="step", disable=None, smoothing=0.05)
    saved, loss, accuracy = None, float("nan"), None
    since = time.monotonic()
    with bar:
        for group in _groups(config):
            with profiled(config.save_summary if group.is_profiled else None):
                for number in group.steps:
                    value = step(*_next(batches))
                    bar.update()
                    is_last = number == config.max_iters
                    epoch, in_epoch = divmod(number - 1, steps_per_epoch)
                    epoch, in_epoch = epoch + 1, in_epoch + 1
                    if number == config.start_iter or number % config.log_step == 0 or is_last:
                        loss = float(value.asnumpy())
                        _check_loss(loss, number)
                        _say(bar, f"epoch: {epoch} step: {in_epoch}, loss is {loss:.7g}")
                        rate = learning_rate(config.initial_lr, config.max_iters, number)
                        summary.add(number, loss=loss, learning_rate=rate)
                    if is_last or number % config.save_ckpt_step == 0:
                        _check_loss(float(value.asnumpy()), number)
                        saved = checkpoints.save(network, epoch, in_epoch)
                        LOG.info("saved %s", saved)
                    if is_last or (config.validate_step and number % config.validate_step == 0):
                        accuracy = _validate(config, network)
                        if accuracy is not None:
                            step.set_train()
                            _say(
                                bar,
                                f"epoch: {epoch} step: {in_epoch}, "
                                f"validation accuracy is {accuracy:.4f}",
                            )
                            summary.add(number, validation_accuracy=accuracy)
    seconds = time.monotonic() - since
    LOG.info(
        "%d steps in %.0f s: %.3f s a step, %.1f photos/s",
        *(total, seconds, seconds / total, total * config.batch_size / seconds),
    )
    return TrainingResult(saved, loss, accuracy)


@dataclass(frozen=True)
class _Group:
    steps: range
    is_profiled: bool


def _groups(config: Config) -> Iterator[_Group]:
    """Yield the steps in one go, or the first few apart where they are to be profiled."""
    first, end = config.start_iter, config.max_iters + 1
    if config.need_profile:
        middle = min(first + PROFILED_STEPS, end)
        yield _Group(range(first, middle), True)
        first = middle
    if first < end:
        yield _Group(range(first, end), False)


def _next(batches: Iterator[tuple[ms.Tensor, ms.Tensor]]) -> tuple[ms.Tensor, ms.Tensor]:
    """Return the next batch; the iterator stops once at the end of each epoch."""
    try:
        return next(batches)
    except StopIteration:
        return next(batches)


def _say(bar: tqdm, line: str) -> None:
    """Print a line of the log above the progress bar."""
    with bar.external_write_mode():
        print(line, flush=True)


def _check_loss(loss: float, step: int) -> None:
    if not np.isfinite(loss):
        raise UserError(
            f"the loss is {loss} at step {step}; nothing of it was saved. "
            "Lower initial_lr, or check the weights the training started from"
        )


def _validate(config: Config, network: nn.Cell) -> float | None:
    """Return the top-1 accuracy on the validation shards, or None where there are none."""
    if config.validate_step == 0 or not find_shards(config.traindata_path, "validation"):
        return None
    data = _dataset(config, training=False)
    network.set_train(False)
    right = photos = 0
    for images, labels in data.create_tuple_iterator(num_epochs=1, output_numpy=True):
        # A shorter last batch is filled up: another shape would compile the network again.
        filled = np.zeros((config.batch_size, *images.shape[1:]), np.float32)
        filled[: len(images)] = images
        logits = network(ms.Tensor(filled)).asnumpy()[: len(images)]
        right += int((logits.argmax(1) == labels).sum())
        photos += len(labels)
    return right / photos if photos else None
