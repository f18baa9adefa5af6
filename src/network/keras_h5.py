"""The ImageNet ResNet50 of Keras (h5) in the names and the layout of this network.

The h5's convolutions have biases and expect BGR pixels minus (103.939, 116.779, 123.68); this
network's have none and expect RGB (x − 128)/128. Both differences are removed exactly, up to the
zero-padded border of the picture (there, zero is a grey of 128 instead of the mean colour).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from src.common.errors import UserError
from src.network.weights import Weights, check_numbers

BGR_MEAN = np.array([103.939, 116.779, 123.68])
INPUT_OFFSET = 128.0
INPUT_SCALE = 128.0

# leaf of a tensor's name -> part, in the two ways Keras has named them
_KERAS1_LEAVES = {
    "W": "kernel",
    "b": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "running_mean": "mean",
    "running_std": "variance",  # holds the variance in spite of its name
}
_KERAS2_LEAVES = {
    "kernel": "kernel",
    "bias": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "mean",
    "moving_variance": "variance",
}
_STAGE_UNITS = {2: "abc", 3: "abcd", 4: "abcdef", 5: "abc"}


def is_h5(path: str | Path) -> bool:
    """Tell by the name of a file whether it holds Keras weights."""
    return Path(path).suffix.lower() in (".h5", ".hdf5")


def layer_names() -> dict[str, str]:
    """Return this network's names of the 53 convolution units by their names in Keras.

    `conv1` stands for `conv1`/`bn_conv1`, `2a_branch2b` for `res2a_branch2b`/`bn2a_branch2b`.
    """
    names = {"conv1": "backbone.conv1"}
    for stage, units in _STAGE_UNITS.items():
        for unit in units:
            for branch in ("branch2a", "branch2b", "branch2c", *(["branch1"] * (unit == "a"))):
                names[f"{stage}{unit}_{branch}"] = (
                    f"backbone.stage{stage}.res{stage}{unit}.{branch}"
                )
    return names


def parse_tensor_name(name: str) -> tuple[str, str] | None:
    """Split a tensor's name in the h5 into (layer, part), or None where it names no known tensor.

    >>> parse_tensor_name("res2a_branch2a/res2a_branch2a/kernel:0")
    ('res2a_branch2a', 'kernel')
    >>> parse_tensor_name("bn2a_branch2a/bn2a_branch2a_running_std_1:0")
    ('bn2a_branch2a', 'variance')
    """
    leaf = name.rpartition("/")[2].partition(":")[0]
    if leaf in _KERAS2_LEAVES:
        layer = name.rpartition("/")[0].rpartition("/")[2]
        return layer, _KERAS2_LEAVES[leaf]
    stem, _, counter = leaf.rpartition("_")
    if not counter.isdigit():
        stem = leaf
    for keras_leaf, part in _KERAS1_LEAVES.items():
        if stem.endswith("_" + keras_leaf):
            return stem[: -len(keras_leaf) - 1], part
    return None


def read_h5(path: str | Path) -> dict[tuple[str, str], np.ndarray]:
    """Return the tensors of a Keras weight file by (layer, part).

    Parts are kernel, bias, gamma, beta, mean and variance. Raises `UserError` for a missing or
    damaged file, for numbers nobody can compute with, and for a tensor whose name is not
    understood.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"weights {path} do not exist; run `bash scripts/download_pretrained.sh`, "
            "or set imagenet_checkpoint"
        )
    tensors: dict[tuple[str, str], np.ndarray] = {}
    unknown: list[str] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            key = parse_tensor_name(name)
            if key is None:
                unknown.append(name)
            else:
                tensors[key] = np.asarray(item, np.float32)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read as an h5 file of weights: {error}") from error
    if unknown:
        raise UserError(f"{path} holds tensors of no ResNet50: {', '.join(sorted(unknown)[:5])}")
    check_numbers({"/".join(key): value for key, value in tensors.items()}, path)
    return tensors


def _convert_unit(unit: dict[str, np.ndarray], is_stem: bool) -> Weights:
    kernel = np.transpose(unit["kernel"], (3, 2, 0, 1)).astype(np.float64)  # HWIO -> OIHW
    bias = unit["bias"].astype(np.float64)
    if is_stem:
        # bgr − mean = scale · x + (offset − mean), with x's channels in the order BGR
        bias = bias + np.einsum("oihw,i->o", kernel, INPUT_OFFSET - BGR_MEAN)
        kernel = kernel[:, ::-1] * INPUT_SCALE
    return {
        "conv.weight": kernel.astype(np.float32),
        "bn.gamma": unit["gamma"],
        "bn.beta": unit["beta"],
        # a bias before batch normalisation is the same as a lower mean
        "bn.moving_mean": (unit["mean"] - bias).astype(np.float32),
        "bn.moving_variance": unit["variance"],
    }


def _check_shapes(unit: dict[str, np.ndarray], layer: str, path: str | Path) -> None:
    kernel = unit["kernel"].shape
    for part, value in unit.items():
        if len(kernel) != 4 or (part != "kernel" and value.shape != kernel[-1:]):
            raise UserError(
                f"{path} is no ResNet50: of layer {layer} the kernel is {kernel} and the {part} "
                f"{value.shape}"
            )


def convert_h5(path: str | Path) -> Weights:
    """Return the weights of `ResNet50` in this project's names and layout from a Keras h5.

    A classifier in the file (`fc1000`) comes along as `classifier.weight` [1000, 2048] and
    `classifier.bias`. Raises `UserError` that names every tensor missing or left over.
    """
    tensors = read_h5(path)
    weights: Weights = {}
    missing: list[str] = []
    for keras_name, name in layer_names().items():
        is_stem = keras_name == "conv1"
        conv, norm = ("conv1", "bn_conv1") if is_stem else (f"res{keras_name}", f"bn{keras_name}")
        keys = [(conv, "kernel"), (conv, "bias")]
        keys += [(norm, part) for part in ("gamma", "beta", "mean", "variance")]
        absent = [f"{layer}/{part}" for layer, part in keys if (layer, part) not in tensors]
        if absent:
            missing += absent
            continue
        unit = {part: tensors.pop((layer, part)) for layer, part in keys}
        _check_shapes(unit, keras_name, path)
        for part, value in _convert_unit(unit, is_stem).items():
            weights[f"{name}.{part}"] = np.ascontiguousarray(value)
    if ("fc1000", "kernel") in tensors and ("fc1000", "bias") in tensors:
        weights["classifier.weight"] = np.ascontiguousarray(tensors.pop(("fc1000", "kernel")).T)
        weights["classifier.bias"] = tensors.pop(("fc1000", "bias"))
    if missing or tensors:
        left = [f"{layer}/{part}" for layer, part in sorted(tensors)]
        raise UserError(
            f"{path} is not a complete ResNet50: "
            f"missing {', '.join(missing) or 'none'}; left over {', '.join(left) or 'none'}"
        )
    return weights
