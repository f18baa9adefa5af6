"""Convolutions as products of matrices, which train faster on some processors."""

from __future__ import annotations

import mindspore as ms
from mindspore import nn, ops

from src.delf_model import ConvBN


class UnfoldedConv(nn.Cell):
    """What a convolution computes, as one of 1×1 over the pixels that each cell sees.

    In training on a processor with AVX-512 the detour is the faster way, see `model_utils.device`.
    """

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.weight = conv.weight  # the same parameter: its name and whether it is trained stay
        self.kernel, self.stride = conv.kernel_size[0], conv.stride[0]
        self.channels = conv.out_channels
        self.multiply = ops.Conv2D(self.channels, 1)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Map [N, cin, H, W] to [N, cout, ceil(H/stride), ceil(W/stride)]."""
        n, cin, height, width = x.shape
        seen = cin * self.kernel * self.kernel
        rows, columns = (-(-side // self.stride) for side in (height, width))
        patches = ops.unfold(x, self.kernel, 1, self.kernel // 2, self.stride)
        kernels = ops.reshape(self.weight, (self.channels, seen, 1, 1))
        y = self.multiply(ops.reshape(patches, (n, seen, rows * columns, 1)), kernels)
        return ops.reshape(y, (n, self.channels, rows, columns))


def unfold_convolutions(cell: nn.Cell) -> None:
    """Compute the convolutions of a cell that see more than their own pixel by `UnfoldedConv`."""
    for _, inner in cell.cells_and_names():
        if isinstance(inner, ConvBN) and inner.conv.kernel_size[0] > 1:
            weight, name = inner.conv.weight, inner.conv.weight.name
            inner.conv = UnfoldedConv(inner.conv)
            weight.name = name  # which a cell puts its own before
