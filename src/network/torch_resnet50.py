"""torchvision's ResNet50 in this network's names and layout.

It is "v1.5": a stage is subsampled by the 3×3 convolution of its first unit, not by the 1×1 before
it, which the names and shapes of a file do not show; ε is 1e-5; pixels are RGB, shares of 255 less
a mean, by a deviation. Files of others that call their tensors the same are taken for the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.common.errors import UserError
from src.delf_config import Layout
from src.network.resnet50 import TORCH_PIXELS, Family, Place, convert, listed
from src.network.torch_file import is_safetensors, read_safetensors, read_torch
from src.network.weights import Weights, check_numbers

_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
_NUMBERS = {"branch2a": "1", "branch2b": "2", "branch2c": "3"}
_BACKBONE = re.compile(r"(conv1|bn1|layer\d|fc)\..*")
_DEPTH = 3  # dicts in dicts that are looked into for the network


def _names(place: Place) -> dict[str, str]:
    unit = "" if place.stage == 1 else f"layer{place.stage - 1}.{place.unit}."
    if place.branch == "branch1":
        conv, norm = f"{unit}downsample.0", f"{unit}downsample.1"
    else:
        number = _NUMBERS.get(place.branch, "1")
        conv, norm = f"{unit}conv{number}", f"{unit}bn{number}"
    return {"kernel": f"{conv}.weight", **{k: f"{norm}.{name}" for k, name in _NORM.items()}}


TORCHVISION = Family(
    "torchvision",
    _names,
    1e-5,
    TORCH_PIXELS,
    (("fc.weight", "fc.bias"),),
    hwio=False,
    layout=Layout(strides="3x3"),
)


def convert_torch(path: str | Path) -> Weights:
    """Return the weights in a `.pth` or `.safetensors` file in this network's names and layout.

    Raises:
        UserError: it cannot be read, or holds no such ResNet50, or more than one; it says what it
            does hold.
    """
    content = read_safetensors(path) if is_safetensors(path) else read_torch(path)
    networks = [tensors for tensors in _dicts_of_tensors(content) if _roots(tensors)]
    if not networks:
        raise UserError(f"{path} holds no ResNet50 as torchvision names it: {_described(content)}")
    roots = sorted(_roots(networks[0]))
    if len(networks) > 1 or len(roots) > 1:
        found = len(networks) if len(networks) > 1 else len(roots)
        raise UserError(
            f"{path} holds {found} networks, {listed(roots)} for instance; save the one that is "
            "meant by itself"
        )
    root = roots[0]
    tensors = {
        name[len(root) :]: value
        for name, value in networks[0].items()
        if name.startswith(root) and _BACKBONE.fullmatch(name[len(root) :])
    }
    tensors = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    if not {"fc.weight", "fc.bias"} <= tensors.keys() or tensors["fc.weight"].ndim != 2:
        tensors = {k: v for k, v in tensors.items() if not k.startswith("fc.")}  # another head
    check_numbers(tensors, path)
    return convert(tensors, TORCHVISION, path)


def _dicts_of_tensors(content: Any, depth: int = _DEPTH) -> list[dict[str, np.ndarray]]:
    """Return the tensors of each dict that holds some: a checkpoint has them among other things."""
    if not isinstance(content, Mapping):
        return []
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, np.ndarray)}
    found = [tensors] if tensors else []
    if depth:
        for value in content.values():
            found += _dicts_of_tensors(value, depth - 1)
    return found


def _roots(tensors: Mapping[str, np.ndarray]) -> set[str]:
    """Return what stands before the names of a backbone: nothing, or "module." for instance."""
    ends = "layer1.0.conv1.weight"
    roots = {name[: -len(ends)] for name in tensors if name.endswith(ends)}
    return {root for root in roots if f"{root}conv1.weight" in tensors}


def _described(content: Any) -> str:
    found = _dicts_of_tensors(content)
    if not found:
        kind = f"a dict of {listed(sorted(map(str, content)))}" if isinstance(content, dict) else ""
        return kind or "it is no state dict; save model.state_dict()"
    largest = max(found, key=len)
    return f"{len(largest)} tensors, {listed(list(largest))}"
