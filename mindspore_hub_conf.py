"""What MindSpore Hub asks of a repository: its networks by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindspore import nn

#: Name → what the network is; see `create_network` for what each takes.
NETWORKS = {
    "delf": "conv4 features and their scores, as a MindIR has them",
    "delf_global": "the same, and the vector of conv5 that global descriptors are made of",
    "delf_tuning": "the first stage of the training: ResNet50 as a classifier of landmarks",
    "delf_attn": "the second stage: the attention on a frozen backbone",
}


def create_network(name: str, *args: Any, **kwargs: Any) -> nn.Cell:
    """Return a network of `NETWORKS`.

    Args:
        name: of the network.
        args: nothing.
        kwargs: "delf" and "delf_global" take `checkpoint`, a .ckpt of either stage or the ImageNet
            .h5, whose weights are folded and loaded; it is needed. Of weights without attention all
            scores are alike. "delf_tuning" and "delf_attn" take `num_classes` and the other
            arguments of `TuningNetwork` and `AttentionNetwork`, and perhaps `checkpoint`, one of
            that stage; without it their weights are drawn at random.

    Returns:
        "delf": RGB images float32 [N, 3, H, W], (x - 128) / 128, to features [N, 1024, h, w] and
        scores [N, 1, h, w]; "delf_global" also to vectors [N, 2048]. "delf_tuning" and "delf_attn":
        images to logits [N, num_classes].

    Raises:
        ValueError: there is no such network, or it does not take these arguments.
        UserError: the checkpoint cannot be read, or is of something else.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; take {', '.join(NETWORKS)}")
    if args:
        raise ValueError(f"{name} takes arguments by their names only")
    try:
        if name in ("delf", "delf_global"):
            return _extractor(with_global=name == "delf_global", **kwargs)
        return _stage(name, **kwargs)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def _stage(name: str, checkpoint: str = "", **kwargs: Any) -> nn.Cell:
    from src.delf_model import AttentionNetwork, TuningNetwork
    from src.network.weight_files import read_weights
    from src.network.weights import load_weights

    network = (TuningNetwork if name == "delf_tuning" else AttentionNetwork)(**kwargs)
    if checkpoint:
        load_weights(network, read_weights(checkpoint), str(checkpoint))
    return network


def _extractor(with_global: bool, checkpoint: str = "") -> nn.Cell:
    if not checkpoint:
        raise ValueError("give checkpoint=, a .ckpt of either stage or the ImageNet .h5")
    from src.network.conv5_source import find_conv5, read_conv5
    from src.network.export import build_extractor
    from src.network.feature_weights import read_feature_weights

    conv5 = read_conv5(find_conv5(checkpoint)) if with_global else None
    return build_extractor(read_feature_weights(checkpoint), str(checkpoint), conv5)[0]
