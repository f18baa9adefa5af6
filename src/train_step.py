"""One step of the training: the learning rate's schedule and the clipped gradient descent."""

from __future__ import annotations

import mindspore as ms
from mindspore import nn, ops
from mindspore.nn.learning_rate_schedule import LearningRateSchedule


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


class ClassificationLoss(nn.Cell):
    """Softmax cross-entropy of a classifier, averaged over the batch, times a weight."""

    def __init__(self, network: nn.Cell, weight: float = 1.0):
        super().__init__()
        self.network = network
        self.weight = weight
        self.loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")

    def construct(self, images: ms.Tensor, labels: ms.Tensor) -> ms.Tensor:
        """Return the loss of images [N, 3, H, W] with labels [N]."""
        return self.weight * self.loss(self.network(images), labels)


class TrainStep(nn.TrainOneStepCell):
    """Gradient, clipping by the norm of all gradients together, and the optimiser's update.

    Only the parameters the optimiser holds get a gradient: behind a frozen backbone there is no
    backward pass.
    """

    def __init__(self, network: ClassificationLoss, optimizer: nn.Optimizer, clip_norm: float):
        super().__init__(network, optimizer)
        self.clip_norm = clip_norm

    def construct(self, images: ms.Tensor, labels: ms.Tensor) -> ms.Tensor:
        """Do a step; return the loss before it."""
        loss = self.network(images, labels)
        gradients = self.grad(self.network, self.weights)(images, labels, ops.ones_like(loss))
        gradients = self.grad_reducer(gradients)
        gradients = ops.clip_by_global_norm(gradients, self.clip_norm)
        return ops.depend(loss, self.optimizer(gradients))
