"""Where conv5 comes from, which the global descriptor is made of and not every file holds."""

from __future__ import annotations

import logging
from pathlib import Path

from model_utils.environment import kept_root
from src.common.errors import UserError
from src.delf_config import Layout
from src.network.feature_weights import conv5_fits, holds_conv5, layout_in, read_conv5_weights
from src.network.mindir import read_mindir
from src.network.weights import Weights, fingerprint, layout_of

LOG = logging.getLogger(__name__)

#: Where `scripts/download_pretrained.sh` puts the ImageNet weights.
IMAGENET_WEIGHTS = kept_root() / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"


def find_conv5(source: str | Path, wanted: str | None = None) -> Path:
    """Return the file to take conv5 from: the file of the other weights, or the ImageNet weights.

    A checkpoint of the attention stage holds none: it was tuned in the first stage, and the
    attention needs no more than conv4.

    Args:
        source: a checkpoint (.ckpt), Keras weights (.h5), or a model (.mindir).
        wanted: the fingerprint that another file's must have; None: any.

    Raises:
        UserError: neither holds one that fits, or the other file another one.
    """
    source = Path(source)
    if _holds_conv5(source):
        return source
    if not conv5_fits(_layout_in(source)):
        raise UserError(
            f"{source} is of a network whose conv5 reads larger maps of conv4 than features are, "
            "and no other conv5 reads its maps: no global descriptor can be made by these weights"
        )
    if not IMAGENET_WEIGHTS.is_file():
        raise UserError(
            f"{source} holds no conv5, and the ImageNet weights, whose conv5 would do, are not "
            f"there ({IMAGENET_WEIGHTS}): run `bash scripts/download_pretrained.sh`"
        )
    if wanted is not None and fingerprint(read_conv5(IMAGENET_WEIGHTS)) != wanted:
        raise UserError(
            f"{source} holds no conv5, and that of the ImageNet weights is not the one that the "
            "whitening is for"
        )
    LOG.info("%s holds no conv5: that of the ImageNet weights is used", source)
    return IMAGENET_WEIGHTS


def read_conv5(source: str | Path) -> Weights:
    """Return the weights of conv5 of any file that `find_conv5` returns, folded."""
    return read_mindir(source).conv5 if _is_model(source) else read_conv5_weights(source)


def _holds_conv5(source: Path) -> bool:
    return bool(read_mindir(source).conv5) if _is_model(source) else holds_conv5(source)


def _layout_in(source: Path) -> Layout:
    return layout_of(read_mindir(source).weights) if _is_model(source) else layout_in(source)


def _is_model(source: str | Path) -> bool:
    return Path(source).suffix == ".mindir"
