"""What a training is made of, by the configuration: data, network, optimiser, step."""

from __future__ import annotations

import os
from dataclasses import dataclass

import mindspore as ms
from mindspore import nn

from model_utils.config import Config
from model_utils.worker_group import WorkerGroup
from src.common.errors import UserError
from src.data_augmentation_parallel import PhotoBatches
from src.delf_model import (
    AttentionNetwork,
    TuningNetwork,
    freeze,
    keep_statistics,
    use_half_precision,
)
from src.network.weight_files import read_weights
from src.network.weights import load_weights
from src.training.state import TrainingState, read_record
from src.training.step import AccumulatingStep, ClassificationLoss, PolynomialDecay, TrainStep

_LEAST = {
    "batch_size": 1,
    "start_iter": 1,
    "image_size": 32,
    "accumulation_steps": 1,
    "frozen_stages": 0,
    "keep_checkpoint_max": 1,
    "save_ckpt_step": 1,
    "log_step": 1,
    "validate_step": 0,
    "num_parallel_workers": 0,
    "loss_scale": 1,
}
_MOST_FROZEN_STAGES = 4
_LOSS_SCALE_WINDOW = 1000


def check_settings(config: Config) -> None:
    """Raise `UserError` for a setting that no training can have."""
    for name, minimum in _LEAST.items():
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
    if config.frozen_stages > _MOST_FROZEN_STAGES:
        raise UserError(
            f"frozen_stages is {config.frozen_stages}; conv5_x is always trained, so it should be "
            f"at most {_MOST_FROZEN_STAGES}"
        )
    if config.train_state == "attn" and not config.checkpoint_path:
        raise UserError("attn starts from a checkpoint of tuning: set checkpoint_path")


def initial_weights_path(config: Config) -> str:
    """Return the file a stage starts from."""
    return config.checkpoint_path or config.imagenet_checkpoint


def photo_batches(config: Config, group: WorkerGroup, training: bool) -> PhotoBatches:
    """Open the photos of this worker; the workers of a host share its cores."""
    threads = max(1, len(os.sched_getaffinity(0)) // group.local_size)
    return PhotoBatches(
        config.traindata_path,
        image_size=config.image_size,
        batch_size=config.batch_size,
        training=training,
        seed=config.seed,
        num_parallel_workers=config.num_parallel_workers or threads,
        rank_id=group.rank,
        rank_size=group.size,
        batches_a_step=config.accumulation_steps if training else 1,
    )


def photos_a_step(config: Config, group: WorkerGroup) -> int:
    """Return how many photos a step of the optimiser sees, on all devices together."""
    return config.batch_size * config.accumulation_steps * group.size


def half_precision(config: Config, device: str) -> bool:
    """Tell whether the convolutions are computed in float16."""
    return config.amp_level == "O2" or (config.amp_level == "auto" and device == "Ascend")


def training_settings(
    config: Config, group: WorkerGroup, device: str, **facts: object
) -> dict[str, object]:
    """Return what must be the same for a training to be the same one, whatever it runs on.

    Devices, batch size and accumulation count as their product, so that a training can go on with
    another number of devices.
    """
    common = ("train_state", "seed", "start_iter", "max_iters", "image_size", "initial_lr")
    own = (
        ("train_bn_statistics", "frozen_stages")
        if config.train_state == "tuning"
        else ("attention_loss_weight",)
    )
    names = (*common, "momentum", "clip_norm", *own)
    return {
        **{name: getattr(config, name) for name in names},
        "photos_a_step": photos_a_step(config, group),
        "half_precision": half_precision(config, device),
        **facts,
    }


@dataclass(frozen=True)
class TrainingParts:
    """The network, what trains it, and all tensors that move."""

    network: nn.Cell
    step: TrainStep | AccumulatingStep
    state: TrainingState


def build_parts(config: Config, group: WorkerGroup, device: str, num_classes: int) -> TrainingParts:
    """Build the network of a stage with its first random weights, optimiser and step."""
    if config.train_state == "tuning":
        network = TuningNetwork(num_classes)
        if not config.train_bn_statistics:
            keep_statistics(network)
        for stage in network.backbone.stages()[: config.frozen_stages]:
            freeze(stage)
        weight = 1.0
    else:
        network = AttentionNetwork(num_classes)
        weight = config.attention_loss_weight
    scaler = None
    if half_precision(config, device):
        use_half_precision(network)
        scaler = ms.amp.DynamicLossScaler(config.loss_scale, 2, _LOSS_SCALE_WINDOW)
    optimizer = nn.Momentum(
        network.trainable_params(),
        PolynomialDecay(config.initial_lr, config.max_iters, config.start_iter),
        config.momentum,
    )
    state = TrainingState(network, optimizer, scaler)
    loss = ClassificationLoss(network, weight)
    step = TrainStep(loss, optimizer, config.clip_norm, group.size, scaler)
    if config.accumulation_steps > 1:
        step = AccumulatingStep(step, config.accumulation_steps)
    step.set_train()
    return TrainingParts(network, step, state)


def load_initial_weights(config: Config, state: TrainingState) -> None:
    """Set the weights a stage starts from.

    A checkpoint of this very stage brings its classifier (and attention) too; when `start_iter` is
    the step after it, also the optimiser's momentum.
    """
    path = initial_weights_path(config)
    weights = read_weights(path)
    prefixes = ["backbone."]
    if config.train_state == "tuning":
        # ImageNet weights bring no classifier for these classes; a checkpoint of tuning does.
        prefixes += ["classifier."] * bool(config.checkpoint_path)
    elif any(name.startswith("attention.") for name in weights):
        prefixes += ["attention.", "classifier."]
    load_weights(state.network, weights, path, only=tuple(prefixes))
    record = read_record(weights, path)
    if record is not None and config.start_iter == record.step + 1:
        state.load_momentum(weights)
