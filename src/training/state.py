"""What a training is at a step: everything a later run needs to go on as if nothing had happened.

A checkpoint holds the weights under their names in the network, and beside them, under
`training.*`, the optimiser's momentum and step count, the loss scale, and a JSON text with the step
and the settings. Crops, flips and the order of the photos follow from seed, epoch and photo, so
the step is also the position in the data and the random state.

What the optimiser needs is as large as the weights, and only the newest checkpoint is gone on from:
the others hold the weights and the record (`without_state`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from model_utils.worker_group import WorkerGroup
from src.common.errors import UserError
from src.network.weights import Weights, load_weights

PREFIX = "training."
_MOMENTS = PREFIX + "moments."
_RECORD = PREFIX + "record"
# Settings that a record names only where they are others than these.
_PUBLISHED = {"tuning_pooling": "average", "tuning_loss": "softmax"}


@dataclass
class TrainingRecord:
    """What is known of a training at a step, apart from tensors."""

    step: int
    settings: dict[str, object]
    loss: float | None = None
    accuracy: float | None = None  # the last one measured
    best_accuracy: float | None = None
    validated: int | None = None  # number of photos it was measured on; None: not noted then


class TrainingState:
    """The tensors that move in a training, by their names in a checkpoint."""

    def __init__(
        self, network: nn.Cell, optimizer: nn.Momentum, scaler: ms.amp.DynamicLossScaler | None
    ):
        self.network = network
        # By the names inside this network: the parameters' own begin with the cells around it.
        self.parameters = dict(network.parameters_and_names())
        names = {id(parameter): name for name, parameter in self.parameters.items()}
        moments = zip(optimizer.parameters, optimizer.moments)
        self.parameters.update({_MOMENTS + names[id(p)]: moment for p, moment in moments})
        self.parameters[PREFIX + "global_step"] = optimizer.global_step
        if scaler is not None:
            self.parameters[PREFIX + "loss_scale"] = scaler.scale_value
            self.parameters[PREFIX + "loss_scale_counter"] = scaler.counter
        self._moving = [
            parameter
            for _, cell in network.cells_and_names()
            if isinstance(cell, nn.BatchNorm2d) and cell.use_batch_statistics is not False
            for parameter in (cell.moving_mean, cell.moving_variance)
        ]

    def load(self, weights: Weights, source: str) -> None:
        """Set every tensor from a checkpoint of the same training; `UserError` if one is missing.

        Names may be missing that only the loss scaling has.
        """
        load_weights(self.network, weights, source)
        for name, parameter in self.parameters.items():
            if not name.startswith(PREFIX):
                continue
            if name not in weights:
                if "loss_scale" in name:
                    continue
                raise UserError(f"{source} lacks {name}: it does not hold this training's state")
            parameter.set_data(ms.Tensor(weights[name], parameter.dtype))

    def load_momentum(self, weights: Weights) -> bool:
        """Set the optimiser's momentum from a checkpoint, where it holds it in this shape.

        Returns whether the checkpoint holds any.
        """
        for name, parameter in self.parameters.items():
            value = weights.get(name)
            if name.startswith(_MOMENTS) and value is not None and value.shape == parameter.shape:
                parameter.set_data(ms.Tensor(value, parameter.dtype))
        return has_state(weights)

    def take_from_first(self, group: WorkerGroup) -> None:
        """Make all workers equal to the first one."""
        self._set(self.parameters.values(), group.send_from_first, group)

    def average_statistics(self, group: WorkerGroup) -> None:
        """Average the running statistics of the batch normalisation over the workers.

        Each follows its own batches. They are linear in what they have seen, so it makes no
        difference to later averages at which steps this is done.
        """
        self._set(self._moving, group.mean_arrays, group)

    def snapshot(self, record: TrainingRecord) -> Weights:
        """Return what a checkpoint holds, as copies; `UserError` where a weight is not finite."""
        tensors = {name: parameter.asnumpy().copy() for name, parameter in self.parameters.items()}
        for name, value in tensors.items():
            if not np.isfinite(value).all():
                raise UserError(
                    f"{name} is no longer finite at step {record.step}, and was not saved. "
                    "Lower initial_lr, or check the weights the training started from"
                )
        text = json.dumps(asdict(record), sort_keys=True).encode()
        return {**tensors, _RECORD: np.frombuffer(text, np.uint8).copy()}

    @staticmethod
    def _set(parameters, exchange, group: WorkerGroup) -> None:
        if group.size == 1:
            return
        parameters = list(parameters)
        values = exchange([parameter.asnumpy() for parameter in parameters])
        for parameter, value in zip(parameters, values):
            parameter.set_data(ms.Tensor(value, parameter.dtype))


def without_state(weights: Weights) -> Weights:
    """Return what stays of a checkpoint when a newer one has the optimiser's state."""
    return {
        name: value
        for name, value in weights.items()
        if name == _RECORD or not name.startswith(PREFIX)
    }


def has_state(weights: Weights) -> bool:
    """Return whether a checkpoint holds what the optimiser needs to go on."""
    return any(name.startswith(_MOMENTS) for name in weights)


def read_record(weights: Weights, source: str | Path) -> TrainingRecord | None:
    """Return the record in a checkpoint, or None where it holds weights only."""
    text = weights.get(_RECORD)
    if text is None:
        return None
    try:
        return TrainingRecord(**json.loads(text.tobytes()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{source} was written by another version of this project") from error


def check_state(weights: Weights, path: Path, settings: dict[str, object]) -> TrainingRecord:
    """Return the record of a checkpoint to go on from.

    Raises:
        UserError: it holds weights only, or belongs to a training with other settings; the first
            differences are named.
    """
    record = read_record(weights, path)
    if record is None:
        raise UserError(
            f"{path} holds weights but no state of a training to go on from: "
            "set save_ckpt to another folder"
        )
    noted, settings = ({**_PUBLISHED, **each} for each in (record.settings, settings))
    different = [
        f"{name} is {value!r} here, {noted.get(name)!r} there"
        for name, value in settings.items()
        if value is not None and value != noted.get(name)
    ]
    if different:
        raise UserError(
            f"{path} belongs to a training with other settings ({'; '.join(different[:4])}): "
            "give the same ones to go on, or another save_ckpt to start anew"
        )
    if not has_state(weights):
        raise UserError(
            f"{path} holds the weights of step {record.step} without the optimiser's state, which "
            "the newest checkpoint has: go on from that one, or begin with these weights by "
            f"--checkpoint_path={path} --start_iter={record.step + 1} and another save_ckpt"
        )
    return record
