"""What the two stages are made of: photos, network, optimiser, step, and the first weights."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
from mindspore import nn

from model_utils.device import wants_unfolding
from model_utils.worker_group import WorkerGroup
from src.common.cpus import cpu_count
from src.common.digests import sha256_of
from src.data_augmentation_parallel import PhotoBatches
from src.delf_model import (
    AttentionNetwork,
    TuningNetwork,
    freeze,
    keep_statistics,
    use_half_precision,
)
from src.network.weight_files import read_weights
from src.network.weights import Weights, load_weights
from src.training.settings import PhotoSettings, StageSettings, TrainingSettings
from src.training.state import TrainingState, read_record
from src.training.step import (
    AccumulatingStep,
    ArcFaceLoss,
    ClassificationLoss,
    PolynomialDecay,
    TrainStep,
)
from src.training.unfolding import unfold_convolutions

LOG = logging.getLogger(__name__)
_LOSS_SCALE_WINDOW = 1000
_DIGEST_DIGITS = 16


def photo_batches(
    photos: PhotoSettings, seed: int, group: WorkerGroup, training: bool, most_photos: int = 0
) -> PhotoBatches:
    """Open the photos of this worker; the workers of a host share its cores.

    `most_photos` caps the photos of a validation; 0: all.
    """
    threads = max(1, cpu_count() // group.local_size)
    wanted = photos.num_parallel_workers
    if training and wanted > threads:
        LOG.info(
            "num_parallel_workers lowered from %d to %d, the cores of this worker of %d here",
            *(wanted, threads, group.local_size),
        )
    return PhotoBatches(
        photos.traindata_path,
        image_size=photos.image_size,
        batch_size=photos.batch_size,
        training=training,
        seed=seed,
        num_parallel_workers=min(wanted, threads) or threads,
        rank_id=group.rank,
        rank_size=group.size,
        batches_a_step=photos.accumulation_steps if training else 1,
        most_photos=most_photos,
    )


@dataclass(frozen=True)
class TrainingParts:
    """The network, what trains it, and all tensors that move."""

    network: nn.Cell
    step: TrainStep | AccumulatingStep
    state: TrainingState


def build_parts(
    settings: TrainingSettings, group: WorkerGroup, device: str, num_classes: int
) -> TrainingParts:
    """Build the network of a stage with its first random weights, optimiser and step."""
    stage, descent = settings.stage, settings.descent
    network = _build_network(stage, num_classes)
    if device == "CPU" and wants_unfolding():
        unfold_convolutions(network)
    scaler = None
    if descent.half_precision(device):
        use_half_precision(network)
        scaler = ms.amp.DynamicLossScaler(descent.loss_scale, 2, _LOSS_SCALE_WINDOW)
    optimizer = nn.Momentum(
        network.trainable_params(),
        PolynomialDecay(descent.initial_lr, descent.max_iters, descent.start_iter),
        descent.momentum,
    )
    state = TrainingState(network, optimizer, scaler)
    if stage.is_tuning and stage.tuning_loss == "arcface":
        loss = ArcFaceLoss(network, stage.tuning_margin)
    else:
        loss = ClassificationLoss(network, 1.0 if stage.is_tuning else stage.attention_loss_weight)
    step = TrainStep(loss, optimizer, descent.clip_norm, group.size, scaler)
    if settings.photos.accumulation_steps > 1:
        step = AccumulatingStep(step, settings.photos.accumulation_steps)
    step.set_train()
    return TrainingParts(network, step, state)


def _build_network(stage: StageSettings, num_classes: int) -> TuningNetwork | AttentionNetwork:
    if not stage.is_tuning:
        return AttentionNetwork(num_classes, stage.normalise_attention)
    network = TuningNetwork(
        num_classes,
        use_gem=stage.tuning_pooling == "gem",
        scale=None if stage.tuning_loss == "softmax" else stage.tuning_scale,
    )
    if not stage.train_bn_statistics:
        keep_statistics(network)
    for part in network.backbone.stages()[: stage.frozen_stages]:
        freeze(part)
    return network


def initial_weights_digest(stage: StageSettings) -> str | None:
    """Return what identifies the content of the file a stage starts from; None: it is not there.

    A training that goes on no longer needs it.
    """
    try:
        return sha256_of(Path(stage.initial_weights))[:_DIGEST_DIGITS]
    except FileNotFoundError:
        return None


def _has_head(weights: Weights, state: TrainingState) -> bool:
    """Tell whether a checkpoint has a classifier of the kind that is trained; say where not."""
    own, theirs = (
        {name for name in names if name.startswith("classifier.")}
        for names in (state.parameters, weights)
    )
    if theirs and theirs != own:
        LOG.info("the classifier of the checkpoint is of another tuning_loss: it begins anew")
        return False
    return True


def load_initial_weights(stage: StageSettings, start_iter: int, state: TrainingState) -> None:
    """Set the weights a stage starts from.

    A checkpoint of this very stage brings its classifier (and attention) too; when `start_iter` is
    the step after it, also the optimiser's momentum.
    """
    path = stage.initial_weights
    weights = read_weights(path)
    prefixes = ["backbone."]
    if stage.is_tuning:
        # ImageNet weights bring no classifier for these classes; a checkpoint of tuning does.
        prefixes += ["classifier."] * bool(stage.checkpoint_path and _has_head(weights, state))
    elif any(name.startswith("attention.") for name in weights):
        prefixes += ["attention.", "classifier."]
    load_weights(state.network, weights, path, only=tuple(prefixes))
    record = read_record(weights, path)
    if record is not None and start_iter == record.step + 1 and not state.load_momentum(weights):
        LOG.warning(
            "%s holds no momentum, which only the newest checkpoint of a training does: it begins "
            "at zero",
            path,
        )
