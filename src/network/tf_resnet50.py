"""The networks in TensorFlow's checkpoints: DELF v1, TF-Slim's ResNet v1, DELF and DELG of 2020.

| | names | ε | edges | expects |
| --- | --- | --- | --- | --- |
| DELF v1 | `resnet_v1_50/block1/unit_1/…`, `…attention/…` | 1.001e-5 | as here | as here |
| TF-Slim | the same without an attention | 1e-5 | pooling "same" | RGB minus a mean |
| DELG | `…l2a/conv2a/kernel`, `…` | 1e-3 | convolution "same", pooling none | as here |

The first row is that of the released graph, `saved_model.pb`; the others those of the published
definitions of the models. What this network has not is left out: classifiers, DELG's whitening of
the global descriptor, its autoencoder.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from src.common.errors import UserError
from src.delf_config import CONV4_CHANNELS, Layout
from src.network.resnet50 import (
    DELF_PIXELS,
    Family,
    Pixels,
    Place,
    convert,
    convert_unit,
    listed,
)
from src.network.tf_bundle import Bundle
from src.network.tf_objects import GRAPH, SavedObject, read_objects, tensors_below
from src.network.weights import Weights, check_numbers

LOG = logging.getLogger(__name__)

_SLIM = "resnet_v1_50/"
_SLIM_CONVOLUTIONS = {
    "branch2a": "conv1",
    "branch2b": "conv2",
    "branch2c": "conv3",
    "branch1": "shortcut",
}
_SLIM_NORM = {
    "gamma": "BatchNorm/gamma",
    "beta": "BatchNorm/beta",
    "mean": "BatchNorm/moving_mean",
    "variance": "BatchNorm/moving_variance",
}
_KERAS_NORM = {
    "gamma": "gamma",
    "beta": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}
#: Parts of an object that is DELG's backbone.
_BACKBONE = {"conv1", "bn_conv1", "l2a", "l3a", "l4a", "l4f", "l5a"}
_SLIM_ATTENTION = "attention/compute/"
_ATTENTION_CHANNELS = 512
# An optimiser's memory of a tensor, under the tensor's name.
_TRAINING = re.compile(r"/(Momentum|RMSProp|Adam|ExponentialMovingAverage)(_\d+)?$")


def _slim_names(place: Place) -> dict[str, str]:
    stem = f"{_SLIM}conv1"
    if place.stage > 1:
        unit = f"{_SLIM}block{place.stage - 1}/unit_{place.unit + 1}/bottleneck_v1"
        stem = f"{unit}/{_SLIM_CONVOLUTIONS[place.branch]}"
    names = {part: f"{stem}/{name}" for part, name in _SLIM_NORM.items()}
    return {"kernel": f"{stem}/weights", **names}


def _keras_names(place: Place) -> dict[str, str]:
    unit, number = "", "1"
    if place.stage > 1:
        unit = f"l{place.stage}{place.letter}/"
        number = "_shortcut" if place.branch == "branch1" else place.branch[len("branch") :]
    conv, norm = f"{unit}conv{number}", f"{unit}bn{number}"
    if place.stage == 1:
        norm = "bn_conv1"
    elif place.branch == "branch1":
        norm = f"{unit}bn_shortcut"
    names = {part: f"{norm}/{name}" for part, name in _KERAS_NORM.items()}
    return {"kernel": f"{conv}/kernel", "bias": f"{conv}/bias", **names}


DELF_V1 = Family("DELF of 2017", _slim_names, 1.001e-5, DELF_PIXELS)
SLIM = Family(
    "TF-Slim",
    _slim_names,
    1e-5,
    Pixels((123.68, 116.78, 103.94)),
    ((f"{_SLIM}logits/weights", f"{_SLIM}logits/biases"),),
    layout=Layout(pool1="same"),
)
DELG = Family(
    "DELF of 2020 or DELG",
    _keras_names,
    1e-3,
    DELF_PIXELS,
    layout=Layout(conv1="same", pool1="valid"),
)


def convert_bundle(path: str | Path) -> Weights:
    """Return the weights in a TensorFlow checkpoint in this network's names and layout.

    Args:
        path: see `tf_bundle.bundle_prefix`.

    Raises:
        UserError: it cannot be read, or holds no network that is known here; it says what it does
            hold.
    """
    bundle = Bundle(path)
    if f"{_SLIM}conv1/weights" in bundle.entries:
        return _convert_slim(bundle)
    objects = read_objects(bundle)
    backbones = [number for number, found in enumerate(objects) if found.parts.keys() >= _BACKBONE]
    if len(backbones) == 1:
        return _convert_keras(bundle, objects, backbones[0])
    names = sorted(bundle.entries.keys() - {GRAPH})
    raise UserError(
        f"{path} is a TensorFlow checkpoint of {len(names)} tensors with {len(backbones) or 'no'} "
        f"ResNet50 of DELF, DELG or TF-Slim in it: {listed(names)}"
    )


def _convert_slim(bundle: Bundle) -> Weights:
    names = [name for name in bundle.entries if not _TRAINING.search(name)]
    backbone = _read(bundle, {name: name for name in names if name.startswith(_SLIM)})
    ends = f"{_SLIM_ATTENTION}conv1/weights"
    roots = [name[: -len(ends)] for name in names if name.endswith(ends)]
    if not roots:
        LOG.warning(
            "%s holds no attention: it is taken for TF-Slim's ImageNet weights", bundle.prefix
        )
    conv5 = any(name.startswith(f"{_SLIM}block4/") for name in backbone)
    weights = convert(backbone, DELF_V1 if roots else SLIM, bundle.prefix, conv5)
    if roots:
        stem = f"{roots[0]}{_SLIM_ATTENTION}"
        parts = {"kernel": "conv1/weights"} | {k: f"conv1/{v}" for k, v in _SLIM_NORM.items()}
        last = {"kernel": "conv2/weights", "bias": "conv2/biases"}
        below = {name[len(stem) :]: name for name in names if name.startswith(stem)}
        weights |= _attention(bundle, below, parts, last, DELF_V1.epsilon)
    return weights


def _convert_keras(bundle: Bundle, objects: list[SavedObject], number: int) -> Weights:
    """Return the weights of a backbone, an object of a checkpoint, and of the attention beside."""
    # Not the same once more by the lists of variables that Keras keeps beside.
    wanted = re.compile(r"(l\d\w/)?(conv|bn)\w+/[a-z_]+")
    below = dict(tensors_below(objects, number, 3))
    backbone = {name: tensor for name, tensor in below.items() if wanted.fullmatch(name)}
    weights = convert(_read(bundle, backbone), DELG, bundle.prefix)
    around = [found.parts for found in objects if number in found.parts.values()]
    model = next((parts for parts in around if "attention" in parts), {})
    if "autoencoder" in model:
        LOG.warning(
            "the attention in %s reads features that went through an autoencoder, which this "
            "network has not: it is left out, and features are picked by their norm",
            bundle.prefix,
        )
    elif model:
        parts = {"kernel": "conv1/kernel", "bias": "conv1/bias"}
        parts |= {part: f"bn_conv1/{name}" for part, name in _KERAS_NORM.items()}
        last = {"kernel": "conv2/kernel", "bias": "conv2/bias"}
        below = dict(tensors_below(objects, model["attention"], 2))
        weights |= _attention(bundle, below, parts, last, DELG.epsilon)
    return weights


def _attention(
    bundle: Bundle,
    stored: Mapping[str, str],
    parts: Mapping[str, str],
    last: Mapping[str, str],
    epsilon: float,
) -> Weights:
    """Return the attention of a checkpoint.

    Args:
        bundle: the checkpoint.
        stored: how its tensors are stored, by their names inside of the attention.
        parts: names of the first convolution's, by part.
        last: likewise, of the second one's.
        epsilon: of the batch normalisation.
    """
    ends = (*parts.values(), *last.values())
    absent = [end for end in ends if end not in stored]
    if absent:
        raise UserError(f"{bundle.prefix} holds half an attention: missing {listed(absent)}")
    tensors = _read(bundle, {end: stored[end] for end in ends})
    hidden = _ATTENTION_CHANNELS
    shapes = (tensors[parts["kernel"]].shape, tensors[last["kernel"]].shape)
    if shapes != ((1, 1, CONV4_CHANNELS, hidden), (1, 1, hidden, 1)):
        raise UserError(
            f"{bundle.prefix} holds an attention of another shape, {shapes[0]} and {shapes[1]}"
        )
    unit = {part: tensors[end] for part, end in parts.items()}
    weights = {
        f"attention.conv1.{name}": value
        for name, value in convert_unit(unit, True, epsilon).items()
    }
    kernel = np.transpose(tensors[last["kernel"]], (3, 2, 0, 1))
    weights["attention.conv2.weight"] = np.ascontiguousarray(kernel, np.float32)
    weights["attention.conv2.bias"] = tensors[last["bias"]].astype(np.float32)
    return weights


def _read(bundle: Bundle, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return tensors under new names, from how they are stored.

    Raises:
        UserError: one cannot be read, or holds numbers nobody can compute with.
    """
    tensors = {name: bundle.read(stored) for name, stored in names.items()}
    check_numbers(tensors, bundle.prefix)
    return tensors
