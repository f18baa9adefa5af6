"""What inference needs of a file of weights."""

from __future__ import annotations

from pathlib import Path

from src.common.errors import UserError
from src.delf_config import BN_EPSILON, Layout
from src.network.keras_h5 import is_h5
from src.network.weight_files import read_names, read_weights
from src.network.weights import (
    LAYOUT,
    Weights,
    check_numbers,
    fingerprint,
    fold_batch_norm,
    layout_of,
)

_CONV5 = ".stage5."


def read_feature_weights(checkpoint: str | Path) -> Weights:
    """Return what inference needs of a checkpoint (.ckpt) or of Keras weights (.h5), folded.

    That is the backbone up to conv4 and, where the checkpoint has one, the attention. Raises
    `UserError` for a file that cannot be read or is damaged; what is missing is found when the
    network is built.
    """
    return _folded(
        checkpoint,
        {
            name: value
            for name, value in read_weights(checkpoint).items()
            if name.startswith(("backbone.", "attention.")) and _CONV5 not in name
        },
    )


def read_conv5_weights(checkpoint: str | Path) -> Weights:
    """Return the weights of conv5 of a checkpoint (.ckpt) or of Keras weights (.h5), folded.

    Raises `UserError` for a file that cannot be read or is damaged, or that holds none.
    """
    weights = read_weights(checkpoint)
    wanted = {name: value for name, value in weights.items() if _is_conv5(name)}
    if not wanted or not conv5_fits(layout_of(weights)):
        raise UserError(
            f"{checkpoint} holds no conv5 that reads conv4 at stride 32, which the global "
            "descriptor is made of; give --global_descriptor=off"
        )
    return _folded(checkpoint, wanted)


def backbone_fingerprint(weights: Weights) -> str:
    """Return what identifies the weights up to conv4, whatever attention stands beside them."""
    return fingerprint(
        {name: value for name, value in weights.items() if not name.startswith("attention.")}
    )


def holds_conv5(checkpoint: str | Path) -> bool:
    """Tell whether a file of weights holds a conv5 for the maps of conv4 that features are.

    Keras weights do. That of torchvision's ResNet50 reads maps of twice the size.
    """
    if is_h5(checkpoint):
        return True
    return any(map(_is_conv5, read_names(checkpoint))) and conv5_fits(layout_in(checkpoint))


def layout_in(checkpoint: str | Path) -> Layout:
    """Return the arrangement of the network in a file of weights."""
    if is_h5(checkpoint) or LAYOUT not in read_names(checkpoint):
        return Layout()
    return layout_of(read_weights(checkpoint))


def conv5_fits(layout: Layout) -> bool:
    """Tell whether conv5 of an arrangement reads the maps that features are, of stride 32."""
    return layout.strides == "last"


def _is_conv5(name: str) -> bool:
    return name.startswith("backbone.") and _CONV5 in name


def _folded(checkpoint: str | Path, wanted: Weights) -> Weights:
    folded = fold_batch_norm(wanted, BN_EPSILON)
    check_numbers(folded, checkpoint)  # large ones may have become too large
    return folded


def has_attention(weights: Weights) -> bool:
    """Return whether the weights come from the attention stage."""
    return any(name.startswith("attention.") for name in weights)
