"""The DELF network: ResNet50 up to conv4 or conv5, the attention, and the two training stages.

The backbone is the first version of ResNet (He et al., CVPR 2016) as DELF uses it (Noh et al.,
ICCV 2017, section 4.1): a stage is subsampled by the 3×3 convolution of its *last* unit. Weights
made for the arrangement that subsamples in the first 1×1 convolution of the *next* stage fit
without change and give the same outputs: both of that stage's 1×1 convolutions read every second
pixel only, so here the other three quarters are never computed (12 % of the network's
multiplications). The conv4 output is therefore already at stride 32, the one DELF reads. Weights
that were made for yet another arrangement say so, and inference has it too: see `Layout`.
"""

from __future__ import annotations

from collections import OrderedDict

import mindspore as ms
from mindspore import nn, ops
from mindspore.common.initializer import HeNormal, Normal, initializer

from src.delf_config import (
    BN_EPSILON,
    CONV4_CHANNELS,
    CONV5_CHANNELS,
    GEM_POWER,
    STAGES,
    Layout,
)

# What the weights of a photo's features add up to in the attention stage.
WEIGHT_SUM = 30.0
# The least value that a generalised mean is trained on: the slope of a root at 0 is not finite.
_LEAST_POOLED = 1e-6


class ConvBN(nn.Cell):
    """A convolution and its batch normalisation; folded, one convolution with a bias.

    The convolution has no bias of its own: batch normalisation cancels it, and the conversion of
    the weights moves it into the running mean. `momentum` is the share of the running statistics
    that stays in a step; 0.99 is Keras', which TensorFlow's DELF leaves as it is.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int,
        stride: int = 1,
        folded: bool = False,
        momentum: float = 0.99,
        pad_mode: str = "pad",
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            cin,
            cout,
            kernel,
            stride,
            pad_mode=pad_mode if kernel > 1 else "valid",
            padding=kernel // 2 if pad_mode == "pad" else 0,
            has_bias=folded,
            weight_init=HeNormal(mode="fan_out", nonlinearity="relu"),
            bias_init="zeros",
        )
        self.bn = nn.Identity() if folded else nn.BatchNorm2d(cout, BN_EPSILON, momentum)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Map [N, cin, H, W] to [N, cout, ceil(H/stride), ceil(W/stride)]."""
        return self.bn(self.conv(x))


class Bottleneck(nn.Cell):
    """A residual unit: 1×1, 3×3 and 1×1 convolutions beside a shortcut.

    `stride` is taken by the 3×3 convolution; the shortcut then keeps every second pixel.
    """

    def __init__(
        self, cin: int, inner: int, stride: int = 1, project: bool = False, folded: bool = False
    ):
        super().__init__()
        cout = 4 * inner
        self.branch2a = ConvBN(cin, inner, 1, folded=folded)
        self.branch2b = ConvBN(inner, inner, 3, stride, folded=folded)
        self.branch2c = ConvBN(inner, cout, 1, folded=folded)
        self.branch1 = ConvBN(cin, cout, 1, folded=folded) if project else nn.Identity()
        self.subsample = nn.MaxPool2d(1, stride, "valid") if stride > 1 else nn.Identity()
        self.relu = nn.ReLU()

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Map [N, cin, H, W] to [N, 4·inner, ceil(H/stride), ceil(W/stride)]."""
        return self._behind_first(self.relu(self.branch2a(x)), x)

    def padded(self, x: ms.Tensor, inside: ms.Tensor) -> ms.Tensor:
        """Map x, whose pictures are smaller than the array; `inside` [N, 1, H, W] is 1 on them.

        The 3×3 convolution is the only one that looks beyond its cell: outside of a picture it
        meets the zeros that it meets outside of an array.
        """
        return self._behind_first(self.relu(self.branch2a(x)) * inside, x)

    def _behind_first(self, y: ms.Tensor, x: ms.Tensor) -> ms.Tensor:
        y = self.relu(self.branch2b(y))
        return self.relu(self.branch2c(y) + self.branch1(self.subsample(x)))


def _stage(
    number: int, cin: int, folded: bool, layout: Layout, is_last: bool = False
) -> nn.SequentialCell:
    inner, units, last_stride = STAGES[number]
    strides = layout.unit_strides(number, units, last_stride, is_last)
    cells = OrderedDict()
    for unit, stride in enumerate(strides):
        cells[f"res{number}{'abcdef'[unit]}"] = Bottleneck(
            cin if unit == 0 else 4 * inner,
            inner,
            stride=stride,
            project=unit == 0,
            folded=folded,
        )
    return nn.SequentialCell(cells)


class ResNet50(nn.Cell):
    """ResNet50 without its classifier, up to conv4 (stride 32, 1,024 channels) or conv5 (2,048).

    `portable` builds the first pooling of operators that a model file can hold for pictures of any
    size. It computes the same, since padding by zero behind a ReLU is padding by nothing, but the
    padding takes a sixth of the network's time on CPU. `layout` is that of the weights.
    """

    def __init__(
        self,
        conv5: bool,
        folded: bool = False,
        portable: bool = False,
        layout: Layout = Layout(),  # noqa: B008 (it is frozen)
    ):
        super().__init__()
        self.conv1 = ConvBN(3, 64, 7, 2, folded=folded, pad_mode=layout.conv1)
        self.relu = nn.ReLU()
        padded = layout.pool1 == "pad"
        apart = padded and portable
        self.pad = nn.Pad(((0, 0), (0, 0), (1, 1), (1, 1))) if apart else nn.Identity()
        if padded and not portable:
            self.pool1 = nn.MaxPool2d(3, 2, "pad", 1)
        else:
            self.pool1 = nn.MaxPool2d(3, 2, "valid" if padded else layout.pool1)
        self.stage2 = _stage(2, 64, folded, layout)
        self.stage3 = _stage(3, 256, folded, layout)
        self.stage4 = _stage(4, 512, folded, layout, not conv5)
        self.stage5 = nn.Identity()
        if conv5:
            self.stage5 = _stage(5, CONV4_CHANNELS, folded, layout)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Map RGB images [N, 3, H, W], (x − 128)/128, to [N, C, ceil(H/32), ceil(W/32)]."""
        x = self.pool1(self.pad(self.relu(self.conv1(x))))
        return self.stage5(self.stage4(self.stage3(self.stage2(x))))

    def stages(self) -> list[nn.Cell]:
        """Return the parts with weights in the order of the computation: conv1, stage 2 to 5."""
        return [self.conv1, self.stage2, self.stage3, self.stage4, self.stage5]


class Attention(nn.Cell):
    """The score of each feature: two 1×1 convolutions and a softplus (section 4.2).

    The first is normalised over the batch in training: features are of any length, and without it
    a few steps can push all scores to zero for good. Its running statistics begin at 0 and 1, not
    at those of trained weights, so they follow ten times as fast as the backbone's (momentum 0.9,
    where TensorFlow's DELF has 0.99 too): of 0.99, after the 210 steps of small_data.yaml, 12 % of
    the beginning would be left in them.
    """

    def __init__(self, folded: bool = False):
        super().__init__()
        self.conv1 = ConvBN(CONV4_CHANNELS, 512, 1, folded=folded, momentum=0.9)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(
            512, 1, 1, pad_mode="valid", has_bias=True, weight_init=Normal(0.01), bias_init="zeros"
        )
        self.softplus = ops.Softplus()

    def construct(self, features: ms.Tensor) -> ms.Tensor:
        """Map features [N, 1024, h, w] to positive scores [N, 1, h, w]."""
        return self.softplus(self.before_softplus(features))

    def before_softplus(self, features: ms.Tensor) -> ms.Tensor:
        """Map features [N, 1024, h, w] to scores [N, 1, h, w] that softplus has yet to map."""
        return self.conv2(self.relu(self.conv1(features)))


def keep_statistics(cell: nn.Cell) -> None:
    """Let all batch normalisation of a cell use its running statistics, in training too.

    Setting the cell to inference would not last: a cell around it that is set to training sets
    everything inside.
    """
    for _, inner in cell.cells_and_names():
        if isinstance(inner, nn.BatchNorm2d):
            inner.use_batch_statistics = False


def freeze(cell: nn.Cell) -> None:
    """Let nothing of a cell move in training: neither parameters nor running statistics."""
    keep_statistics(cell)
    for parameter in cell.get_parameters():
        parameter.requires_grad = False


def use_half_precision(cell: nn.Cell) -> None:
    """Compute the convolutions of a cell, and its classifier, in float16.

    Batch normalisation stays in float32, and with it what follows: additions, pooling, the norms
    and weights of the features, softplus. So does the convolution that makes the scores.
    """
    for _, inner in cell.cells_and_names():
        if isinstance(inner, ConvBN):
            inner.conv.to_float(ms.float16)
            inner.bn.to_float(ms.float32)
        elif isinstance(inner, nn.Dense):
            inner.to_float(ms.float16)


class CosineClassifier(nn.Cell):
    """Logits that are the cosine of a vector and each class's, times a scale that is learned.

    As in DELG (Cao, Araujo and Sim, ECCV 2020, section 3.3), in float32 always.
    """

    def __init__(self, channels: int, num_classes: int, scale: float):
        super().__init__()
        self.weight = ms.Parameter(initializer(Normal(0.01), (num_classes, channels)), "weight")
        self.scale = ms.Parameter(ms.Tensor([scale], ms.float32), "scale")
        self.sum = ops.ReduceSum(keep_dims=True)
        self.multiply = ops.MatMul(transpose_b=True)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Map vectors [N, channels] to logits [N, num_classes]."""
        return self.scale * self.cosines(x)

    def cosines(self, x: ms.Tensor) -> ms.Tensor:
        """Map vectors [N, channels] to cosines [N, num_classes]."""
        return self.multiply(self._unit(ops.cast(x, ms.float32)), self._unit(self.weight))

    def _unit(self, rows: ms.Tensor) -> ms.Tensor:
        return rows / ops.sqrt(ops.maximum(self.sum(rows * rows, 1), 1e-12))


class TuningNetwork(nn.Cell):
    """The first stage: the whole ResNet50 as a classifier of landmarks (section 4.1).

    By default as published; with a generalised mean, a classifier by cosines (`scale` is where its
    scale begins), or both, as DELG trains its global descriptor.
    """

    def __init__(self, num_classes: int, use_gem: bool = False, scale: float | None = None):
        super().__init__()
        self.backbone = ResNet50(conv5=True)
        self.pool = ops.ReduceMean()
        self.use_gem = use_gem
        if scale is None:
            self.classifier = nn.Dense(CONV5_CHANNELS, num_classes, Normal(0.01), "zeros")
        else:
            self.classifier = CosineClassifier(CONV5_CHANNELS, num_classes, scale)

    def construct(self, images: ms.Tensor) -> ms.Tensor:
        """Map images [N, 3, H, W] to logits [N, num_classes]; pools over the whole map."""
        return self.classifier(self.pooled(images))

    def pooled(self, images: ms.Tensor) -> ms.Tensor:
        """Map images [N, 3, H, W] to what is classified [N, 2048]."""
        x = self.backbone(images)
        if not self.use_gem:
            return self.pool(x, (2, 3))
        cubes = ops.pow(ops.maximum(x, _LEAST_POOLED), GEM_POWER)
        return ops.pow(self.pool(cubes, (2, 3)), 1 / GEM_POWER)


class AttentionNetwork(nn.Cell):
    """The second stage: the attention learns on a frozen backbone (section 4.2).

    The prediction is W · Σ w(f) f/|f|: the sum of the L2-normalised conv4 features, each weighted
    by its score α(f). The weights of a photo are scaled to one sum, w = 30 α / Σ α: with the bare
    scores of the paper, w = α (not `normalised`), the sum grows with the picture, and they escape
    to zero before anything is learned (docs/performance.md). Nothing of the backbone is trained: no
    gradient is sent into it, and its batch normalisation's running statistics do not move.
    """

    def __init__(self, num_classes: int, normalised: bool = True):
        super().__init__()
        self.backbone = ResNet50(conv5=False)
        self.attention = Attention()
        self.classifier = nn.Dense(CONV4_CHANNELS, num_classes, Normal(0.01), "zeros")
        self.normalised = normalised
        self.sum = ops.ReduceSum()
        self.sum_keep = ops.ReduceSum(keep_dims=True)
        freeze(self.backbone)

    def construct(self, images: ms.Tensor) -> ms.Tensor:
        """Map images [N, 3, H, W] to logits [N, num_classes]."""
        features = ops.stop_gradient(self.backbone(images))
        squares = self.sum_keep(features * features, 1)
        unit = features / ops.sqrt(ops.maximum(squares, 1e-12))
        weights = self.attention(features)
        if self.normalised:
            weights = WEIGHT_SUM * weights / ops.maximum(self.sum_keep(weights, (2, 3)), 1e-12)
        return self.classifier(self.sum(unit * weights, (2, 3)))


class GlobalPooling(nn.Cell):
    """From conv4 features to one vector of their picture: conv5, batch normalisation folded, GeM.

    The generalised mean of each channel over the map, (Σ x³ / n)^(1/3), lies between the mean and
    the largest value (Radenović, Tolias and Chum, 2018).
    """

    def __init__(self):
        super().__init__()
        self.stage5 = _stage(5, CONV4_CHANNELS, True, Layout())
        self.mean = ops.ReduceMean()

    def construct(self, features: ms.Tensor) -> ms.Tensor:
        """Map conv4 features [N, 1024, h, w] to vectors [N, 2048]."""
        x = self.stage5(features)
        return ops.pow(self.mean(ops.pow(x, GEM_POWER), (2, 3)), 1 / GEM_POWER)


class FeatureExtractor(nn.Cell):
    """What inference needs: conv4 features and their scores, batch normalisation folded.

    L2 normalisation and PCA follow outside, for the selected features only. `portable`: for export.
    Otherwise softplus is left to the caller: MindSpore's CPU kernel splits its work anew in each
    call, and the last bits of a result depend on where. `layout` is that of the weights.
    """

    def __init__(self, portable: bool = False, layout: Layout = Layout()):  # noqa: B008
        super().__init__()
        self.layout = layout
        self.backbone = ResNet50(conv5=False, folded=True, portable=portable, layout=layout)
        self.attention = Attention(folded=True)
        self.portable = portable

    def construct(self, images: ms.Tensor) -> tuple[ms.Tensor, ms.Tensor]:
        """Map images [N, 3, H, W] to features [N, 1024, h, w] and scores [N, 1, h, w]."""
        features = self.backbone(images)
        if self.portable:
            return features, self.attention(features)
        return features, self.attention.before_softplus(features)


class PooledExtractor(FeatureExtractor):
    """The same with the vector of each picture, for export."""

    def __init__(self, portable: bool = False, layout: Layout = Layout()):  # noqa: B008
        super().__init__(portable, layout)
        self.pooling = GlobalPooling()

    def construct(self, images: ms.Tensor) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
        """Map images [N, 3, H, W] to features, scores as above, and vectors [N, 2048]."""
        features = self.backbone(images)
        return features, self.attention(features), self.pooling(features)
