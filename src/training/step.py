"""One step of the training: the learning rate's schedule and the clipped gradient descent."""

from __future__ import annotations

import math

import mindspore as ms
from mindspore import nn, ops
from mindspore.nn.learning_rate_schedule import LearningRateSchedule

from src.delf_model import TuningNetwork


class PolynomialDecay(LearningRateSchedule):
    """The learning rate of step k (counted from 1): initial · (1 − (k − 1)/max_iters).

    One decay over the whole training: a run that starts at `start_iter` continues it.
    """

    def __init__(self, initial_lr: float, max_iters: int, start_iter: int):
        super().__init__()
        self.initial_lr = initial_lr
        self.max_iters = float(max_iters)
        self.done = float(start_iter - 1)
        self.cast = ops.Cast()

    def construct(self, global_step: ms.Tensor) -> ms.Tensor:
        """Return the rate after `global_step` steps of this run."""
        step = self.cast(global_step, ms.float32) + self.done
        return self.initial_lr * ops.maximum(1.0 - step / self.max_iters, 0.0)


def learning_rate(initial_lr: float, max_iters: int, step: int) -> float:
    """Return the learning rate of a step (counted from 1); `PolynomialDecay` in plain numbers."""
    return initial_lr * max(1.0 - (step - 1) / max_iters, 0.0)


_add_share = ops.MultitypeFuncGraph("add_share")


@_add_share.register("Number", "Tensor", "Tensor", "Tensor")
def _(share: float, is_first: ms.Tensor, total: ms.Parameter, gradient: ms.Tensor) -> ms.Tensor:
    before = ops.where(is_first, ops.zeros_like(total), total)
    return ops.assign(total, before + share * gradient)


_or_zero = ops.MultitypeFuncGraph("or_zero")


@_or_zero.register("Tensor", "Tensor")
def _(is_wanted: ms.Tensor, gradient: ms.Tensor) -> ms.Tensor:
    return ops.select(is_wanted, gradient, ops.zeros_like(gradient))


_move = ops.MultitypeFuncGraph("move")


@_move.register("Function", "Tensor", "Tensor", "Tensor", "Tensor", "Tensor")
def _(
    apply: ops.ApplyMomentum,
    rate: ms.Tensor,
    momentum: ms.Tensor,
    weight: ms.Parameter,
    moment: ms.Parameter,
    gradient: ms.Tensor,
) -> bool:
    return ops.depend(True, apply(weight, moment, rate, gradient, momentum))


class ClassificationLoss(nn.Cell):
    """Softmax cross-entropy of a classifier, averaged over the batch, times a weight.

    Always in float32, whatever the network computes in.
    """

    def __init__(self, network: nn.Cell, weight: float = 1.0):
        super().__init__()
        self.network = network
        self.weight = weight
        self.loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")

    def construct(self, images: ms.Tensor, labels: ms.Tensor) -> ms.Tensor:
        """Return the loss of images [N, 3, H, W] with labels [N]."""
        logits = ops.cast(self.network(images), ms.float32)
        return self.weight * self.loss(logits, labels)


class ArcFaceLoss(nn.Cell):
    """Softmax cross-entropy with a margin added to the angle of the right class.

    Of the right class cos(θ + m) takes the place of cos θ (Deng et al., CVPR 2019, eq. 3); where
    θ + m would pass π, and the cosine grow again, cos θ − m sin m does, as in their program. Its
    slope by cos θ is not finite at cos θ = ±1, so sin θ is held at 0.001 there.
    """

    def __init__(self, network: TuningNetwork, margin: float):
        super().__init__()
        self.network = network
        self.cos, self.sin = math.cos(margin), math.sin(margin)
        self.beyond = margin * math.sin(margin)
        self.loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")

    def construct(self, images: ms.Tensor, labels: ms.Tensor) -> ms.Tensor:
        """Return the loss of images [N, 3, H, W] with labels [N]."""
        classifier = self.network.classifier
        cosines = classifier.cosines(self.network.pooled(images))
        return self.loss(classifier.scale * self.with_margin(cosines, labels), labels)

    def with_margin(self, cosines: ms.Tensor, labels: ms.Tensor) -> ms.Tensor:
        """Return cosines [N, classes] with the margin on those of the labels [N]."""
        sines = ops.sqrt(ops.maximum(1.0 - cosines * cosines, 1e-6))
        turned = cosines * self.cos - sines * self.sin
        turned = ops.select(cosines > -self.cos, turned, cosines - self.beyond)
        is_right = ops.expand_dims(labels, 1) == ops.arange(cosines.shape[1])
        return ops.select(is_right, turned, cosines)


class Gradients(nn.Cell):
    """The loss of a batch and its gradients, multiplied by the loss scale where there is one.

    Only the parameters the optimiser holds get a gradient: behind a frozen backbone there is no
    backward pass.
    """

    def __init__(
        self,
        network: ClassificationLoss | ArcFaceLoss,
        parameters: ms.ParameterTuple,
        scale: ms.Parameter | None,
    ):
        super().__init__()
        self.network = network
        self.weights = parameters
        self.scale = scale
        self.gradient = ops.GradOperation(get_by_list=True, sens_param=True)

    def construct(self, images: ms.Tensor, labels: ms.Tensor) -> tuple[ms.Tensor, tuple]:
        """Return the loss and the gradients of all parameters."""
        loss = self.network(images, labels)
        start = ops.ones_like(loss)
        if self.scale is not None:
            start = start * self.scale
        return loss, self.gradient(self.network, self.weights)(images, labels, start)


class Update(nn.Cell):
    """What is done with the gradients: averaged over the devices, clipped, given to the optimiser.

    With a loss scaler they are divided by the loss scale first. Where they have overflowed, the
    weights of all devices stay as they are and the scale is halved.
    """

    def __init__(
        self,
        optimizer: nn.Momentum,
        clip_norm: float,
        devices: int = 1,
        scaler: ms.amp.DynamicLossScaler | None = None,
    ):
        super().__init__()
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.scaler = scaler
        self.average = nn.Identity()
        self.sum = nn.Identity()
        self.devices = float(devices)
        self.map = ops.HyperMap()
        self.none, self.one = ms.Tensor(0.0, ms.float32), ms.Tensor(1.0, ms.float32)
        if devices > 1:
            self.average = nn.DistributedGradReducer(optimizer.parameters, True, devices)
            self.sum = ops.AllReduce()

    def construct(self, gradients: tuple) -> ms.Tensor:
        """Move the weights."""
        gradients = self.average(gradients)
        if self.scaler is None:
            return self.optimizer(ops.clip_by_global_norm(gradients, self.clip_norm))
        # Some devices tell an overflow by a flag of their own, not by what is in the averages.
        finite_devices = self.sum(ops.cast(ms.amp.all_finite(gradients), ms.float32))
        is_finite = ops.reshape(finite_devices >= self.devices, ())
        gradients = self.scaler.unscale(gradients)
        moved = self._move_if(is_finite, ops.clip_by_global_norm(gradients, self.clip_norm))
        return ops.depend(self.scaler.adjust(is_finite), moved)

    def _move_if(self, is_wanted: ms.Tensor, gradients: tuple) -> tuple:
        """Do what the optimiser does with the gradients, or nothing.

        Without a branch, which a graph that runs on an Ascend as a whole cannot take by the value
        of a tensor: with rate 0, momentum 1 and gradients of 0 all stays as it is, to the bit.
        """
        optimizer = self.optimizer
        rate = ops.select(is_wanted, optimizer.get_lr(), self.none)
        momentum = ops.select(is_wanted, optimizer.momentum, self.one)
        gradients = self.map(ops.partial(_or_zero, is_wanted), gradients)
        counted = ops.assign_add(
            optimizer.global_step, ops.reshape(ops.cast(is_wanted, ms.int32), (1,))
        )
        move = ops.partial(_move, optimizer.opt, rate, momentum)
        moved = self.map(move, optimizer.parameters, optimizer.moments, gradients)
        return ops.depend(moved, counted)


class TrainStep(nn.Cell):
    """A step of the training in one graph; for the arguments see `Update`."""

    def __init__(
        self,
        network: ClassificationLoss | ArcFaceLoss,
        optimizer: nn.Momentum,
        clip_norm: float,
        devices: int = 1,
        scaler: ms.amp.DynamicLossScaler | None = None,
    ):
        super().__init__()
        scale = scaler.scale_value if scaler is not None else None
        self.gradients = Gradients(network, optimizer.parameters, scale)
        self.update = Update(optimizer, clip_norm, devices, scaler)

    def construct(self, images: ms.Tensor, labels: ms.Tensor) -> ms.Tensor:
        """Do a step; return the loss before it."""
        loss, gradients = self.gradients(images, labels)
        return ops.depend(loss, self.update(gradients))


class AccumulatingStep(nn.Cell):
    """Adds up the gradients of several batches and makes one step of their mean.

    The step then sees batches · batch_size photos in the memory of one batch and one more copy of
    the weights.
    """

    def __init__(self, step: TrainStep, batches: int):
        super().__init__()
        self.gradients = step.gradients
        self.share = 1.0 / batches
        self.sums = step.update.optimizer.parameters.clone(prefix="sum", init="zeros")
        self.map = ops.HyperMap()
        self.finish = _UpdateFromSums(step.update, self.sums)

    def construct(self, images: ms.Tensor, labels: ms.Tensor, is_first: ms.Tensor) -> ms.Tensor:
        """Add a batch to the sums, or begin anew; return its loss. `finish` moves the weights."""
        loss, gradients = self.gradients(images, labels)
        add = ops.partial(_add_share, self.share, is_first)
        return ops.depend(loss, self.map(add, self.sums, gradients))


class _UpdateFromSums(nn.Cell):
    def __init__(self, update: Update, sums: ms.ParameterTuple):
        super().__init__()
        self.update = update
        self.sums = sums

    def construct(self) -> ms.Tensor:
        return self.update(self.sums)
