"""The ResNet50 of Keras: its h5 files of all ages in the names and the layout of this network.

| written by | tensors |
| --- | --- |
| Keras 1 | `res2a_branch2a/res2a_branch2a_W_1:0`, variances as `running_std` |
| Keras 2, weights of 2016 | `res2a_branch2a/res2a_branch2a/kernel:0` |
| Keras 2 and 3, h5 | `conv2_block1_1_conv/conv2_block1_1_conv/kernel:0`; ε 1.001e-5 |
| Keras 3, `.weights.h5` | `layers/conv2d_1/vars/0`, the name as an attribute of `vars` |

A whole model in an h5 has its weights under `model_weights/`. In all of them a stage is subsampled
by its first 1×1 convolution, convolutions have biases, and pixels are BGR minus a mean.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.common.errors import UserError, one_line, raise_if_of_system
from src.common.unpacked_size import check_unpacked
from src.network.resnet50 import CAFFE_PIXELS, Family, Place, convert, listed, places
from src.network.weights import Weights, check_numbers

if TYPE_CHECKING:
    import h5py

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
# Keras 3 numbers the tensors of a layer.
_KERAS3_PARTS = {2: ("kernel", "bias"), 4: ("gamma", "beta", "mean", "variance")}
_KERAS3_TENSOR = re.compile(r"(?:.*/)?([^/]+)/vars/(\d+)")
_BRANCH_NUMBERS = {"branch1": 0, "branch2a": 1, "branch2b": 2, "branch2c": 3}


def _old_names(place: Place) -> dict[str, str]:
    if place.stage == 1:
        conv, norm = "conv1", "bn_conv1"
    else:
        layer = f"{place.stage}{place.letter}_{place.branch}"
        conv, norm = f"res{layer}", f"bn{layer}"
    return _tensor_names(conv, norm)


def _new_names(place: Place) -> dict[str, str]:
    layer = "conv1"
    if place.stage > 1:
        layer = f"conv{place.stage}_block{place.unit + 1}_{_BRANCH_NUMBERS[place.branch]}"
    return _tensor_names(f"{layer}_conv", f"{layer}_bn")


def _tensor_names(conv: str, norm: str) -> dict[str, str]:
    names = {part: f"{conv}/{part}" for part in ("kernel", "bias")}
    return {**names, **{part: f"{norm}/{part}" for part in ("gamma", "beta", "mean", "variance")}}


OLD_KERAS = Family(
    "Keras before 2019",
    _old_names,
    1e-3,
    CAFFE_PIXELS,
    (("fc1000/kernel", "fc1000/bias"),),
)
KERAS = Family(
    "Keras",
    _new_names,
    1.001e-5,
    CAFFE_PIXELS,
    tuple((f"{layer}/kernel", f"{layer}/bias") for layer in ("predictions", "probs")),
)


def is_h5(path: str | Path) -> bool:
    """Tell by the name of a file whether it holds Keras weights."""
    return Path(path).suffix.lower() in (".h5", ".hdf5")


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


def read_h5(path: str | Path) -> dict[str, np.ndarray]:
    """Return the tensors of a Keras weight file by "layer/part".

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
    try:
        with h5py.File(path, "r") as file:
            tensors, unknown = _tensors(file, path.stat().st_size)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise_if_of_system(error, path)
        reason = one_line(error)[:200]
        raise UserError(f"{path} cannot be read as an h5 file of weights: {reason}") from error
    if unknown:
        raise UserError(f"{path} holds tensors of no ResNet50: {listed(sorted(unknown))}")
    check_numbers(tensors, path)
    return tensors


def _tensors(file: h5py.File, length: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the tensors of a file so long by "layer/part", and the names not understood."""
    import h5py

    datasets: dict[str, h5py.Dataset] = {}
    file.visititems(
        lambda name, item: datasets.update({name: item}) if isinstance(item, h5py.Dataset) else None
    )
    check_unpacked(length, sum(dataset.nbytes for dataset in datasets.values()))
    tensors: dict[str, np.ndarray] = {}
    unknown: list[str] = []
    for name, dataset in datasets.items():
        if name.startswith(("optimizer", "_layer_checkpoint_dependencies/optimizer")):
            continue  # of a training
        key = _keras3_name(name, file) or parse_tensor_name(name)
        if key is None:
            unknown.append(name)
        else:
            tensors["/".join(key)] = np.asarray(dataset, np.float32)
    return tensors, unknown


def _keras3_name(name: str, file: h5py.File) -> tuple[str, str] | None:
    """Return (layer, part) of a tensor as Keras 3 stores it, None where it is no such."""
    found = _KERAS3_TENSOR.fullmatch(name)
    if found is None:
        return None
    group = file[name].parent
    parts = _KERAS3_PARTS.get(len(group))
    if parts is None or int(found[2]) >= len(parts):
        return None
    layer = group.attrs.get("name", found[1])
    layer = layer.decode() if isinstance(layer, bytes) else str(layer)
    return _counted_layers().get(layer, layer), parts[int(found[2])]


@cache
def _counted_layers() -> dict[str, str]:
    """Return the names of the layers by those that Keras 3 stores them under.

    Each is called by its class and a number in the order in which the model was built; a unit's
    shortcut comes before the last convolution of its main path. Files say the names too, but for
    the first versions.
    """
    names = {"dense": "predictions"}
    for number, place in enumerate(places()):
        counter = f"_{number}" if number else ""
        parts = _new_names(place)
        names[f"conv2d{counter}"] = parts["kernel"].rpartition("/")[0]
        names[f"batch_normalization{counter}"] = parts["gamma"].rpartition("/")[0]
    return names


def convert_h5(path: str | Path) -> Weights:
    """Return the weights of `ResNet50` in this project's names and layout from a Keras h5.

    A classifier in the file (`fc1000`, `predictions`) comes along as `classifier.weight`
    [1000, 2048] and `classifier.bias`. Raises `UserError` that names the first tensors that are
    missing or left over.
    """
    tensors = read_h5(path)
    is_new = any(name.startswith("conv2_block") for name in tensors)
    return convert(tensors, KERAS if is_new else OLD_KERAS, path)
