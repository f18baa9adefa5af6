"""What inference needs of a file of weights."""

from __future__ import annotations

from pathlib import Path

from src.delf_config import BN_EPSILON
from src.network.weight_files import read_weights
from src.network.weights import Weights, check_numbers, fold_batch_norm


def read_feature_weights(checkpoint: str | Path) -> Weights:
    """Return what inference needs of a checkpoint (.ckpt) or of Keras weights (.h5), folded.

    That is the backbone up to conv4 and, where the checkpoint has one, the attention. Raises
    `UserError` for a file that cannot be read or is damaged; what is missing is found when the
    network is built.
    """
    wanted = {
        name: value
        for name, value in read_weights(checkpoint).items()
        if name.startswith(("backbone.", "attention.")) and ".stage5." not in name
    }
    folded = fold_batch_norm(wanted, BN_EPSILON)
    check_numbers(folded, checkpoint)  # large ones may have become too large
    return folded


def has_attention(weights: Weights) -> bool:
    """Return whether the weights come from the attention stage."""
    return any(name.startswith("attention.") for name in weights)
