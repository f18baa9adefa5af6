"""The feature network as an OpenVINO graph, made of the folded weights themselves.

The same network as `delf_model.FeatureExtractor` in inference, with what stands around it inside:
pixels come as uint8 in rows, the attention's softplus and the norms of the features are computed,
and the features are laid out as they are read.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from src.delf_config import CONV4_CHANNELS, GEM_POWER, STAGES, Layout
from src.network.weights import Weights, layout_of

#: A padding of `Layout` → what OpenVINO calls it.
_PADDINGS = {"pad": "explicit", "same": "same_upper", "valid": "valid"}


@cache
def core() -> ov.Core:
    """Return the runtime, one for as long as the process lives.

    The first one gives the thread that makes it another stack for signal handlers (on processors
    with AVX-512 or AMX) and takes it away when it goes, in whatever thread that happens to be: the
    next signal, Ctrl-C say, would find no stack and end the process.
    """
    return ov.Core()


def feature_graph(weights: Weights, has_attention: bool) -> ov.Model:
    """Build the graph, for pictures of any size.

    Args:
        weights: folded, as `network.feature_weights.read_feature_weights` returns them.
        has_attention: whether they hold an attention; else the scores are the norms.

    Returns:
        A model that maps pixels, uint8 [1, H, W, 3], RGB, to features, float32 [1, h, w, 1024],
        not normalised, scores, float32 [1, h, w], and the features' L2 norms, float32 [1, h, w];
        h = ceil(H/32), w = ceil(W/32).

    Raises:
        KeyError: a weight is missing.
    """
    pixels = ops.parameter([1, -1, -1, 3], np.uint8, name="pixels")
    # (x − 128)/128 as in `extract_utils_np.build_pyramid`; all steps are exact.
    scaled = ops.multiply(ops.convert(pixels, np.float32), np.float32(1 / 128))
    image = ops.transpose(ops.subtract(scaled, np.float32(1)), np.int64([0, 3, 1, 2]))
    layout = layout_of(weights)
    x = ops.relu(_convolution(image, weights, "backbone.conv1", 2, layout.conv1))
    x = _pooled(x, 3, 2, layout.pool1)
    for number in (2, 3, 4):
        x = _stage(x, weights, number, layout, number == 4)
    norms = ops.reduce_l2(x, np.int64([1]))
    outputs = [ops.transpose(x, np.int64([0, 2, 3, 1])), norms, norms]
    if has_attention:
        hidden = ops.relu(_convolution(x, weights, "attention.conv1"))
        scores = ops.softplus(_convolution(hidden, weights, "attention.conv2"))
        outputs[1] = ops.squeeze(scores, np.int64([1]))
    return ov.Model(outputs, [pixels], "delf")


def pooling_graph(weights: Weights) -> ov.Model:
    """Build conv5 and the generalised mean over it, for maps of any size.

    Args:
        weights: of conv5, folded, as `network.feature_weights.read_conv5_weights` returns them.

    Returns:
        A model that maps features of `feature_graph`, float32 [1, h, w, 1024], to the vector of
        their picture, float32 [1, 2048]; see `delf_model.GlobalPooling`.

    Raises:
        KeyError: a weight is missing.
    """
    features = ops.parameter([1, -1, -1, CONV4_CHANNELS], np.float32, name="features")
    planes = ops.transpose(features, np.int64([0, 3, 1, 2]))
    x = _stage(planes, weights, 5, Layout())
    cubes = ops.power(x, np.float32(GEM_POWER))
    pooled = ops.power(ops.reduce_mean(cubes, np.int64([2, 3])), np.float32(1 / GEM_POWER))
    return ov.Model([pooled], [features], "conv5")


def _stage(
    x: ov.Node, weights: Weights, number: int, layout: Layout, is_last: bool = False
) -> ov.Node:
    """Build a stage of residual units."""
    _, units, last_stride = STAGES[number]
    strides = layout.unit_strides(number, units, last_stride, is_last)
    for unit, stride in enumerate(strides):
        name = f"backbone.stage{number}.res{number}{'abcdef'[unit]}"
        x = _bottleneck(x, weights, name, stride)
    return x


def _bottleneck(x: ov.Node, weights: Weights, name: str, stride: int) -> ov.Node:
    """Build a residual unit; see `delf_model.Bottleneck`."""
    y = ops.relu(_convolution(x, weights, f"{name}.branch2a"))
    y = ops.relu(_convolution(y, weights, f"{name}.branch2b", stride))
    y = _convolution(y, weights, f"{name}.branch2c")
    if stride > 1:
        x = _pooled(x, window=1, stride=stride)
    if _key(weights, f"{name}.branch1", "weight") in weights:
        x = _convolution(x, weights, f"{name}.branch1")
    return ops.relu(ops.add(y, x))


def _convolution(
    x: ov.Node, weights: Weights, name: str, stride: int = 1, padding: str = "pad"
) -> ov.Node:
    """Build a convolution that pads by half of its kernel, and its bias."""
    kernel = weights[_key(weights, name, "weight")]
    bias = weights[_key(weights, name, "bias")]
    pad = [kernel.shape[2] // 2] * 2
    mode = _PADDINGS[padding]
    y = ops.convolution(x, ops.constant(kernel), [stride] * 2, pad, pad, [1, 1], mode)
    return ops.add(y, ops.constant(bias.reshape(1, -1, 1, 1)))


def _key(weights: Weights, name: str, part: str) -> str:
    """Return the name of a convolution's parameter, which may have its batch norm folded in."""
    folded = f"{name}.conv.{part}"
    return folded if folded in weights else f"{name}.{part}"


def _pooled(x: ov.Node, window: int, stride: int, padding: str = "pad") -> ov.Node:
    pad = [window // 2] * 2
    mode = _PADDINGS[padding]
    pooled = ops.max_pool(
        x, [stride] * 2, [1, 1], pad, pad, [window] * 2, rounding_type="floor", auto_pad=mode
    )
    return pooled.output(0)


def convolution_primitive(precision: str) -> str | None:
    """Return what the runtime would run a convolution by in a precision, None where it cannot.

    Args:
        precision: as OpenVINO calls it, such as "bf16".
    """
    kernel = ops.constant(np.ones((64, 64, 3, 3), np.float32))
    image = ops.parameter([1, 64, 32, 32], np.float32)
    sides = [1, 1]
    inner = ops.relu(ops.convolution(image, kernel, sides, sides, sides, sides))
    model = ov.Model([ops.convolution(inner, kernel, sides, sides, sides, sides)], [image])
    try:
        compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    except RuntimeError:
        return None
    for node in compiled.get_runtime_model().get_ops():
        about = node.get_rt_info()
        if about["layerType"].astype(str) == "Convolution":
            return about["primitiveType"].astype(str)
    return None
