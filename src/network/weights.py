"""Named tensors: telling them apart, folding batch normalisation, giving them to a network."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.common.errors import UserError, one_line
from src.common.json_files import parse_json, shaped
from src.delf_config import Layout

if TYPE_CHECKING:
    from mindspore import nn

Weights = dict[str, np.ndarray]

#: Where weights of another arrangement than the usual one say which; text, as bytes.
LAYOUT = "backbone.layout"


def layout_of(weights: Weights) -> Layout:
    """Return the arrangement of the backbone that weights were made for.

    Raises:
        UserError: they name one that is not known here.
    """
    if LAYOUT not in weights:
        return Layout()
    try:
        return shaped(parse_json(weights[LAYOUT].tobytes()), Layout, strict=True)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"these weights are for a network that is not known here ({one_line(error)}); "
            "convert them again"
        ) from None


def with_layout(weights: Weights, layout: Layout) -> Weights:
    """Return weights that say which arrangement they were made for; nothing for the usual one."""
    if layout == Layout():
        return weights
    text = json.dumps(dataclasses.asdict(layout), sort_keys=True).encode()
    return {**weights, LAYOUT: np.frombuffer(text, np.uint8)}


def digest_of(weights: Weights) -> bytes:
    """Return the sha256 sum of named tensors: of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.digest()


def fingerprint(weights: Weights) -> str:
    """Return 16 hexadecimal digits that identify a set of named tensors."""
    return digest_of(weights).hex()[:16]


def check_numbers(weights: Weights, source: str | Path) -> None:
    """Make sure that tensors can be computed with: all finite, no variance below zero.

    Args:
        weights: the tensors.
        source: the file they come from, for the message.

    Raises:
        UserError: a tensor cannot; file and tensor are named.
    """
    for name, value in weights.items():
        if not np.issubdtype(value.dtype, np.floating):
            continue
        finite = np.isfinite(value)
        if not finite.all():
            wrong = value.size - int(np.count_nonzero(finite))
            raise UserError(
                f"{source} is damaged: {wrong} of the {value.size} numbers of {name} are not "
                "finite; copy, download or make it again"
            )
        if name.endswith("variance") and value.size and value.min() < 0:
            raise UserError(
                f"{source} is damaged: {name} holds a variance of {value.min():.3g}, and none is "
                "below zero; copy, download or make it again"
            )


def fold_batch_norm(weights: Weights, epsilon: float) -> Weights:
    """Merge each `<x>.bn.*` into `<x>.conv.*`: one convolution with a bias (inference only).

    w' = w · γ/√(σ² + ε) for each output channel, b' = β − μ · γ/√(σ² + ε), computed in float64.
    """
    folded = {}
    for name, value in weights.items():
        stem, _, leaf = name.rpartition(".")
        if stem.endswith(".bn"):
            continue
        unit = stem[: -len(".conv")]
        if leaf == "weight" and stem.endswith(".conv") and f"{unit}.bn.gamma" in weights:
            gamma, beta, mean, variance = (
                weights[f"{unit}.bn.{part}"].astype(np.float64)
                for part in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            factor = gamma / np.sqrt(variance + epsilon)
            folded[name] = (value * factor[:, None, None, None]).astype(np.float32)
            folded[f"{stem}.bias"] = (beta - mean * factor).astype(np.float32)
        else:
            folded[name] = value
    return folded


def load_weights(
    network: nn.Cell,
    weights: Weights,
    source: str,
    only: tuple[str, ...] = ("",),
    optional: tuple[str, ...] = (),
) -> None:
    """Set the parameters of a network whose names start with one of `only`.

    `source` names the weights in messages. A parameter with a prefix in `optional` keeps its
    initial value when `weights` does not hold it; any other that is missing, or that has another
    shape, raises `UserError` naming it. So do weights for another arrangement than the network's.
    """
    import mindspore as ms

    layout = layout_of(weights)
    if layout != getattr(network, "layout", Layout()):
        raise UserError(
            f"{source} was converted from a ResNet50 that is arranged in another way "
            f"({', '.join(f'{k} {v}' for k, v in dataclasses.asdict(layout).items())}), which is "
            "for describing photos on a CPU only; take weights of Keras' ResNet50 for this"
        )

    missing, different = [], []
    for name, parameter in network.parameters_and_names():
        if not name.startswith(only):
            continue
        value = weights.get(name)
        if value is None:
            if not (optional and name.startswith(optional)):
                missing.append(name)
        elif tuple(value.shape) != tuple(parameter.shape):
            different.append(f"{name} is {tuple(value.shape)}, not {tuple(parameter.shape)}")
        else:
            parameter.set_data(ms.Tensor(value, parameter.dtype))
    if missing:
        shown = ", ".join(missing[:4]) + (" …" if len(missing) > 4 else "")
        raise UserError(
            f"{source} lacks {len(missing)} tensors of this network ({shown}); "
            "is it a checkpoint of another stage or another model?"
        )
    if different:
        raise UserError(f"{source} does not fit this network: {'; '.join(different[:4])}")
