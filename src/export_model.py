"""Exporting the feature network as MindIR, and checking the file against the network."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model_utils.device import set_up_device
from src.delf_config import DelfConfig
from src.errors import UserError
from src.feature_network import has_attention, read_feature_weights, softplus
from src.network_weights import load_weights

LOG = logging.getLogger(__name__)

# What a picture of any size is tried with in the check of a dynamic model.
CHECKED_SIDES = ((96, 128), (161, 95))


def export_model(
    checkpoint: str | Path,
    output: str | Path,
    shape: Sequence[int],
    device_target: str = "auto",
    device_id: int = 0,
) -> Path:
    """Export the network of a checkpoint of the attention stage: conv4 features and scores.

    Args:
        checkpoint: a .ckpt of the attention stage.
        output: the file to write; `.mindir` is added where it is missing.
        shape: batch, 3, height and width of the input; height and width 0 for any size.
        device_target: where it is exported; see `model_utils.device`.
        device_id: which Ascend.

    Returns:
        The path of the file.

    Raises:
        UserError: the checkpoint has no attention, the shape is impossible, or the file, loaded
            back, does not compute what the network computes.
    """
    batch, channels, height, width = _checked_shape(shape)
    weights = read_feature_weights(checkpoint)
    if not has_attention(weights):
        raise UserError(f"{checkpoint} holds no attention; export a checkpoint of the attn stage")
    set_up_device(device_target, device_id)
    import mindspore as ms

    from src.delf_model import FeatureExtractor

    network, reference = FeatureExtractor(portable=True), FeatureExtractor()
    for cell in (network, reference):
        load_weights(cell, weights, str(checkpoint))
        cell.set_train(False)
    dims = [batch, channels, height or None, width or None]
    output = Path(output)
    if output.suffix != ".mindir":
        output = output.with_name(output.name + ".mindir")
    output.parent.mkdir(parents=True, exist_ok=True)
    # MindSpore adds the ending by itself, so the temporary name has none.
    temporary = output.with_name(f".{output.stem}.{os.getpid()}.tmp")
    written = temporary.with_name(temporary.name + ".mindir")
    try:
        ms.export(
            network,
            ms.Tensor(shape=dims, dtype=ms.float32)
            if None in dims
            else ms.Tensor(np.zeros(dims, np.float32)),
            file_name=str(temporary),
            file_format="MINDIR",
        )
        _check(written, reference, dims)
        # MindSpore writes files that their owner can only read.
        written.chmod(0o644)
        os.replace(written, output)
    finally:
        written.unlink(missing_ok=True)
    LOG.info("%s: %.1f MB, input %s", output, output.stat().st_size / 1e6, dims)
    return output


def _checked_shape(shape: Sequence[int]) -> tuple[int, int, int, int]:
    levels = len(DelfConfig().image_scales)
    if len(shape) != 4 or shape[0] < 1 or shape[1] != 3 or min(shape) < 0:
        raise UserError(
            f"export_shape is {list(shape)}; give batch, 3, height and width, for instance "
            f"{levels},3,2048,2048 or 1,3,0,0 for pictures of any size"
        )
    batch, channels, height, width = shape
    if (height == 0) != (width == 0):
        raise UserError("export_shape: height and width are 0 together (any size) or not at all")
    return batch, channels, height, width


def _check(path: Path, network: object, dims: list[int | None]) -> None:
    """Run the file and the network on the same noise; raise `UserError` where they differ."""
    import mindspore as ms

    model = ms.nn.GraphCell(ms.load(str(path)))
    sides = CHECKED_SIDES if None in dims else ((dims[2], dims[3]),)
    if None in dims:
        network.set_inputs(ms.Tensor(shape=dims, dtype=ms.float32))
    generator = np.random.default_rng(0)
    for height, width in sides:
        noise = generator.uniform(-1, 1, (dims[0], 3, height, width)).astype(np.float32)
        features, scores = (output.asnumpy() for output in network(ms.Tensor(noise)))
        for found, wanted in zip(model(ms.Tensor(noise)), (features, softplus(scores))):
            difference = float(np.abs(found.asnumpy() - wanted).max())
            if found.shape != wanted.shape or difference > 1e-4:
                raise UserError(
                    f"the exported model differs from the network by {difference:.2g} at "
                    f"{height}×{width}: it was not kept"
                )
    LOG.info("the exported file computes what the network computes")
