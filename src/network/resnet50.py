"""From anybody's ResNet50 to the names, the layout and the pixels of this network's.

Trained ResNet50s differ in more than the names of their tensors. What differs and is removed here,
exactly: the order of a kernel's axes; biases in front of a batch normalisation (into its mean); the
ε of batch normalisation (into γ, see `_rescaled`); the pixels that the first convolution expects
(into its kernel and bias, up to the zero-padded border of the picture: there, zero is a grey of 128
instead of the mean colour). What cannot be removed, strides and padding, is said: see `Layout`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.common.errors import UserError
from src.delf_config import BN_EPSILON, STAGES, Layout
from src.network.weights import Weights, with_layout

INPUT_OFFSET = 128.0
INPUT_SCALE = 128.0
#: The parts of a convolution with batch normalisation.
PARTS = ("kernel", "bias", "gamma", "beta", "mean", "variance")
_SHOWN = 3  # names in a message, of each kind


class Place(NamedTuple):
    """A convolution with its batch normalisation.

    Attributes:
        stage: 1 for the first convolution, else 2 to 5.
        unit: residual unit of the stage, from 0.
        branch: "conv1", or "branch2a", "branch2b", "branch2c" or "branch1", the shortcut's.
        shape: of the kernel, OIHW.
    """

    stage: int
    unit: int
    branch: str
    shape: tuple[int, ...]

    @property
    def letter(self) -> str:
        """The unit as Keras 1 and this network call it."""
        return "abcdef"[self.unit]

    @property
    def own_name(self) -> str:
        """Its name in this network."""
        if self.stage == 1:
            return "backbone.conv1"
        return f"backbone.stage{self.stage}.res{self.stage}{self.letter}.{self.branch}"


def places() -> list[Place]:
    """Return the 53 convolutions of ResNet50 in the order of the computation."""
    found = [Place(1, 0, "conv1", (64, 3, 7, 7))]
    cin = 64
    for stage, (inner, units, _) in STAGES.items():
        for unit in range(units):
            found += [
                Place(stage, unit, "branch2a", (inner, cin, 1, 1)),
                Place(stage, unit, "branch2b", (inner, inner, 3, 3)),
            ]
            if unit == 0:
                found.append(Place(stage, unit, "branch1", (4 * inner, cin, 1, 1)))
            found.append(Place(stage, unit, "branch2c", (4 * inner, inner, 1, 1)))
            cin = 4 * inner
    return found


class Pixels(NamedTuple):
    """What a network expects of a photo: (value of 0 to 255 − mean) / deviation, by channel.

    Attributes:
        mean: of the channels, in the order of the network.
        deviation: likewise.
        bgr: whether that order is blue, green, red.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


#: Keras' "caffe" pixels.
CAFFE_PIXELS = Pixels((103.939, 116.779, 123.68), bgr=True)
#: torchvision's, which it writes as shares of 255.
TORCH_PIXELS = Pixels(
    (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
)
#: DELF's own.
DELF_PIXELS = Pixels((INPUT_OFFSET,) * 3, (INPUT_SCALE,) * 3)


class Family(NamedTuple):
    """A way to write a ResNet50 down.

    Attributes:
        title: what a file of it is called in messages.
        names: from a place to the names of its tensors by part; a part may be absent: no bias.
        epsilon: of its batch normalisation.
        pixels: that it expects.
        classifier: names of the kernel and the bias of its classifier, as alternatives.
        hwio: whether kernels are HWIO, and the classifier's [channels, classes].
        layout: its strides and padding.
    """

    title: str
    names: Callable[[Place], dict[str, str]]
    epsilon: float
    pixels: Pixels
    classifier: tuple[tuple[str, str], ...] = ()
    hwio: bool = True
    layout: Layout = Layout()


def listed(names: Sequence[str]) -> str:
    """Return the first of some names and how many more there are; "none" where there is none."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "") or "none"


def convert(
    tensors: Mapping[str, np.ndarray], family: Family, path: str | Path, conv5: bool = True
) -> Weights:
    """Return the weights of `ResNet50` in this network's names and layout.

    A classifier comes along as `classifier.weight` [classes, 2048] and `classifier.bias`.

    Args:
        tensors: of the backbone and its classifier, nothing else.
        family: how they are written.
        path: the file they come from, for messages.
        conv5: whether it goes up to conv5, not only to conv4.

    Raises:
        UserError: it names the first tensors that are missing, left over or of another shape.
    """
    left = dict(tensors)
    weights: Weights = {}
    missing: list[str] = []
    for place in places():
        if place.stage == 5 and not conv5:
            continue
        names = family.names(place)
        absent = [name for name in names.values() if name not in left]
        unit = {part: left.pop(name) for part, name in names.items() if name in left}
        if absent:
            missing += absent
            continue
        _check_shapes(unit, place, names, path)
        pixels = family.pixels if place.stage == 1 else None
        for part, value in convert_unit(unit, family.hwio, family.epsilon, pixels).items():
            weights[f"{place.own_name}.{part}"] = value
    weights.update(_classifier(left, family))
    if missing or left:
        raise UserError(
            f"{path} is not a complete ResNet50 as {family.title} has it: missing "
            f"{listed(missing)}; left over {listed(sorted(left))}"
        )
    return with_layout(weights, family.layout)


def convert_unit(
    unit: Mapping[str, np.ndarray], hwio: bool, epsilon: float, pixels: Pixels | None = None
) -> Weights:
    """Return a convolution and its batch normalisation as `delf_model.ConvBN` has them.

    Args:
        unit: its tensors by part, see `PARTS`; "bias" may be absent.
        hwio: whether the kernel is HWIO; else it is OIHW.
        epsilon: of the batch normalisation.
        pixels: what it expects where it is the first; None: features.
    """
    kernel = unit["kernel"].astype(np.float64)
    if hwio:
        kernel = np.transpose(kernel, (3, 2, 0, 1))
    bias = unit["bias"].astype(np.float64) if "bias" in unit else np.zeros(len(kernel))
    if pixels is not None and pixels != DELF_PIXELS:
        # (128 · x + 128 − mean) / deviation, x being this network's; in their order of channels
        mean, deviation = np.array(pixels.mean), np.array(pixels.deviation)
        bias = bias + np.einsum("oihw,i->o", kernel, (INPUT_OFFSET - mean) / deviation)
        kernel = kernel * (INPUT_SCALE / deviation)[:, None, None]
        if pixels.bgr:
            kernel = kernel[:, ::-1]
    converted = {
        "conv.weight": kernel.astype(np.float32),
        "bn.gamma": _rescaled(unit["gamma"], unit["variance"], epsilon),
        "bn.beta": unit["beta"].astype(np.float32),
        # a bias before batch normalisation is the same as a lower mean
        "bn.moving_mean": (unit["mean"] - bias).astype(np.float32),
        "bn.moving_variance": unit["variance"].astype(np.float32),
    }
    return {name: np.ascontiguousarray(value) for name, value in converted.items()}


def _rescaled(gamma: np.ndarray, variance: np.ndarray, epsilon: float) -> np.ndarray:
    """Return the γ that, with this network's ε, does what γ does with another one.

    γ/√(σ² + ε) stays the same. Moving the difference into σ² instead would make it negative where
    a channel hardly varies, and in trained networks some do.
    """
    if epsilon == BN_EPSILON:
        return gamma.astype(np.float32)
    variance = variance.astype(np.float64)
    return (gamma * np.sqrt((variance + BN_EPSILON) / (variance + epsilon))).astype(np.float32)


def _check_shapes(
    unit: Mapping[str, np.ndarray], place: Place, names: Mapping[str, str], path: str | Path
) -> None:
    cout, cin, height, width = place.shape
    kernels = {(cout, cin, height, width), (height, width, cin, cout)}
    for part, value in unit.items():
        if value.shape not in (kernels if part == "kernel" else {(cout,)}):
            raise UserError(
                f"{path} is no ResNet50: {names[part]} has shape {value.shape}, where ResNet50 has "
                f"{place.shape if part == 'kernel' else (cout,)}"
            )


def _classifier(left: dict[str, np.ndarray], family: Family) -> Weights:
    """Take the classifier out of the tensors that are left."""
    for kernel, bias in family.classifier:
        if kernel in left and bias in left:
            matrix = left.pop(kernel)
            matrix = matrix.reshape(matrix.shape[-2:]) if matrix.ndim == 4 else matrix
            weight = matrix.T if family.hwio else matrix
            return {
                "classifier.weight": np.ascontiguousarray(weight, np.float32),
                "classifier.bias": left.pop(bias).astype(np.float32),
            }
    return {}
