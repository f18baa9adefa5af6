"""Collective operations as cells of their own, for numbers outside the training's graph."""

from __future__ import annotations

import mindspore as ms
from mindspore import nn, ops


class AllReduce(nn.Cell):
    """Add up a tensor over all workers."""

    def __init__(self):
        super().__init__()
        self.operation = ops.AllReduce()

    def construct(self, values: ms.Tensor) -> ms.Tensor:
        """Return the sum, on every worker."""
        return self.operation(values)


class SendFromFirst(nn.Cell):
    """Give all workers the tensor of the first."""

    def __init__(self):
        super().__init__()
        self.operation = ops.Broadcast(0)

    def construct(self, values: ms.Tensor) -> ms.Tensor:
        """Return the first worker's tensor, on every worker."""
        return self.operation((values,))[0]
