"""The networks of pictures of several sizes in one array, for a device that wants static shapes."""

from __future__ import annotations

import mindspore as ms
from mindspore import ops

from src.delf_config import GEM_POWER
from src.delf_model import FeatureExtractor, GlobalPooling


class PaddedFeatureExtractor(FeatureExtractor):
    """Features and scores of pictures that lie in larger arrays.

    What is outside of a picture is set to zero before each operator that would see it from inside,
    so that a picture's features are those of the picture by itself.
    """

    def __init__(self):
        super().__init__()
        backbone = self.backbone
        # Plain tuples, which leave the names of the parameters alone.
        self.units = [list(stage) for stage in (backbone.stage2, backbone.stage3, backbone.stage4)]

    def construct(self, images: ms.Tensor, sides: ms.Tensor) -> tuple[ms.Tensor, ms.Tensor]:
        """Map images [N, 3, H, W] and the sides (height, width) [N, 2] of what is in their upper
        left corners, zero being outside, to features [N, 1024, h, w] and scores [N, 1, h, w].
        """
        backbone = self.backbone
        x = backbone.relu(backbone.conv1(images))
        x = backbone.pool1(x * _inside(x, sides, 2))
        stride = 4
        for units in self.units:
            inside = _inside(x, sides, stride)
            for unit in units:
                x = unit.padded(x, inside)
            stride *= 2
        return x, self.attention.before_softplus(x)


class PaddedGlobalPooling(GlobalPooling):
    """The vector of each picture, of conv4 maps that lie in larger arrays."""

    def __init__(self):
        super().__init__()
        self.units = list(self.stage5)
        self.sum = ops.ReduceSum()

    def construct(self, features: ms.Tensor, sides: ms.Tensor) -> ms.Tensor:
        """Map conv4 features [N, 1024, h, w] and the cells (rows, columns) [N, 2] of the maps in
        their upper left corners to vectors [N, 2048].
        """
        inside = _inside(features, sides, 1)
        x = features
        for unit in self.units:
            x = unit.padded(x, inside)
        cubes = self.sum(ops.pow(x, GEM_POWER) * inside, (2, 3))
        return ops.pow(cubes / self.sum(inside, (2, 3)), 1 / GEM_POWER)


def _inside(x: ms.Tensor, sides: ms.Tensor, stride: int) -> ms.Tensor:
    """Return [N, 1, h, w] for x [N, C, h, w], 1 on the cells of each picture and 0 outside."""
    rows = ops.arange(x.shape[2]) * stride < sides[:, :1]
    columns = ops.arange(x.shape[3]) * stride < sides[:, 1:]
    both = ops.logical_and(ops.expand_dims(rows, 2), ops.expand_dims(columns, 1))
    return ops.expand_dims(ops.cast(both, x.dtype), 1)
