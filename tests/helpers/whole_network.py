"""A network up to conv5 with random weights, and a whitening that is made for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from src.delf_model import TuningNetwork
from src.describe.whitening import Whitening
from src.network.feature_weights import read_conv5_weights, read_feature_weights
from src.network.weight_files import write_checkpoint
from src.network.weights import fingerprint, load_weights
from tests.helpers.weights import random_weights


def whole_network() -> tuple[Any, dict[str, np.ndarray]]:
    """Return the backbone of the first stage, batch normalisation not folded, and its weights."""
    whole = TuningNetwork(2)
    weights = random_weights(whole, seed=4)
    load_weights(whole, weights, "it")
    whole.set_train(False)
    return whole.backbone, {n: v for n, v in weights.items() if n.startswith("backbone.")}


def write_whole_checkpoint(folder: Path) -> Path:
    """Write a checkpoint of that network."""
    path = folder / "whole.ckpt"
    write_checkpoint(path, whole_network()[1])
    return path


def whitening_for(checkpoint: Path) -> Whitening:
    """Return a whitening, to 12 numbers, for a checkpoint."""
    generator = np.random.default_rng(5)
    return Whitening(
        generator.normal(0, 0.01, 2048).astype(np.float32),
        generator.normal(0, 1, (2048, 12)).astype(np.float16),
        fingerprint(read_feature_weights(checkpoint)),
        fingerprint(read_conv5_weights(checkpoint)),
    )
