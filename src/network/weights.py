"""Named tensors: telling them apart, folding batch normalisation, giving them to a network."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from src.common.errors import UserError

if TYPE_CHECKING:
    from mindspore import nn

Weights = dict[str, np.ndarray]


def fingerprint(weights: Weights) -> str:
    """Return 16 hexadecimal digits that identify a set of named tensors."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


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
    shape, raises `UserError` naming it.
    """
    import mindspore as ms

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
