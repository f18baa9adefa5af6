"""Exporting the feature network as MindIR, and checking the file against the network."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model_utils.bounds import check_fields
from model_utils.config import Config
from model_utils.device import set_up_device
from src.common.atomic_files import atomic_path, check_writable
from src.common.errors import UserError, naming_file
from src.delf_config import DelfConfig, Layout
from src.network.conv5_source import find_conv5, read_conv5
from src.network.feature_weights import has_attention, read_feature_weights
from src.network.mindir import as_pooling, read_proto, sign, to_bytes
from src.network.mindir_version1 import OLD_VERSION, to_version1
from src.network.weights import Weights, layout_of, load_weights

if TYPE_CHECKING:
    import mindspore as ms
    from mindspore import nn

    from src.delf_model import FeatureExtractor

LOG = logging.getLogger(__name__)

NATIVE_VERSION = 0  # whatever this MindSpore writes
# The sides a model for pictures of any size is tried with.
DYNAMIC_SIDES = ((96, 128), (161, 95))
# A larger input than this many pixels is tried in small.
CHECKED_PIXELS = 2_000_000
SMALL_SIDES = (96, 128)
# MindSpore refuses to export to any other path: no space, no umlaut, no plus.
_PLAIN = re.compile(r"[0-9a-zA-Z@_\-.:/\\]+")


@dataclass(frozen=True)
class ExportSettings:
    """What is exported, and where.

    Attributes:
        shape: batch, 3, height and width of the input; height and width 0 for any size.
        device_target: where it is exported; see `model_utils.device`.
        device_id: which Ascend.
        version: of the MindIR: that of this MindSpore, or 1 for older runtimes.
        global_descriptor: whether the vector of conv5 that a global descriptor is made of, not
            whitened, is a third output.

    Raises:
        UserError: the shape is impossible.
    """

    shape: tuple[int, ...]
    device_target: str = "auto"
    device_id: int = 0
    version: int = NATIVE_VERSION
    global_descriptor: bool = False

    @classmethod
    def from_config(cls, config: Config) -> ExportSettings:
        """Return what a configuration says of the export."""
        return cls(
            tuple(config.export_shape),
            config.device_target,
            config.device_id,
            config.mindir_version,
            config.global_descriptor == "True",
        )

    def __post_init__(self) -> None:
        """Check the shape."""
        check_fields(self)
        shape = self.shape
        if len(shape) != 4 or shape[0] < 1 or shape[1] != 3 or min(shape) < 0:
            levels = len(DelfConfig().image_scales)
            raise UserError(
                f"export_shape is {list(shape)}; give batch, 3, height and width, for instance "
                f"{levels},3,2048,2048 or 1,3,0,0 for pictures of any size"
            )
        if (shape[2] == 0) != (shape[3] == 0):
            raise UserError(
                "export_shape: height and width are 0 together (any size) or not at all"
            )


def export_model(checkpoint: str | Path, output: str | Path, settings: ExportSettings) -> Path:
    """Export the network of a checkpoint of the attention stage: conv4 features and scores.

    Args:
        checkpoint: a .ckpt of the attention stage.
        output: the file to write; `.mindir` is added where it is missing.
        settings: what is exported.

    Returns:
        The path of the file.

    Raises:
        UserError: the checkpoint has no attention, or the file, loaded back, does not compute what
            the network computes.
    """
    weights = read_feature_weights(checkpoint)
    if not has_attention(weights):
        raise UserError(f"{checkpoint} holds no attention; export a checkpoint of the attn stage")
    conv5 = None
    if settings.global_descriptor:
        conv5 = read_conv5(find_conv5(checkpoint))
    return export_weights(weights, str(checkpoint), output, settings, conv5)


def build_extractor(
    weights: Weights, source: str, conv5: Weights | None = None, portable: bool = True
) -> tuple[FeatureExtractor, Weights]:
    """Return the network that describes pictures, loaded, and all of its weights.

    Args:
        weights: of backbone and attention, folded; without attention all scores are alike.
        source: names the weights in messages.
        conv5: with them there is a third output, the vectors [N, 2048] of `GlobalPooling`.
        portable: as for `FeatureExtractor`.

    Raises:
        UserError: the weights are not those of this network.
    """
    from src.delf_model import FeatureExtractor, PooledExtractor

    extractor = FeatureExtractor if conv5 is None else PooledExtractor
    network = extractor(portable, layout_of(weights))
    if not has_attention(weights):
        attention = {
            name: np.zeros(parameter.shape, np.float32)
            for name, parameter in network.parameters_and_names()
            if name.startswith("attention.")
        }
        weights = {**weights, **attention}
    weights = {**weights, **as_pooling(conv5 or {})}
    load_weights(network, weights, source)
    network.set_train(False)
    return network, weights


def export_weights(
    weights: Weights,
    source: str,
    output: str | Path,
    settings: ExportSettings,
    conv5: Weights | None = None,
) -> Path:
    """Export the network with some weights; see `export_model`.

    With the weights of conv5 there is a third output, the vectors [N, 2048] of `GlobalPooling`.

    Weights without an attention give a model whose scores are all alike: good for features that are
    picked by their norm.
    """
    set_up_device(settings.device_target, settings.device_id)
    layout = layout_of(weights)
    if layout != Layout() and settings.shape[2]:
        raise UserError(
            f"{source} is of a network that reads the edges of a photo or its strides in another "
            "way, which photos padded to one size do not allow; export with "
            "--export_shape=1,3,0,0, for pictures of any size"
        )
    network, weights = build_extractor(weights, source, conv5)
    reference, _ = build_extractor(weights, source, conv5, portable=False)
    batch, channels, height, width = settings.shape
    dims = [batch, channels, height or None, width or None]
    output = Path(output)
    if output.suffix != ".mindir":
        output = output.with_name(output.name + ".mindir")
    check_writable(output)
    with _exported(network, weights, dims, settings.version) as written:
        if height * width * batch <= CHECKED_PIXELS:
            _check_outputs(written, reference, dims)
        else:
            # The full size takes minutes and gigabytes on CPU. The same graph is tried in small,
            # and the large file must hold the same weights.
            small = [1, channels, *SMALL_SIDES]
            with _exported(network, weights, small, settings.version) as small_file:
                _check_outputs(small_file, reference, small)
            _check_weights(written, network)
        with atomic_path(output) as temporary:
            temporary.write_bytes(written.read_bytes())
    LOG.info("%s: %.1f MB, input %s", output, output.stat().st_size / 1e6, dims)
    return output


@contextlib.contextmanager
def _exported(
    network: nn.Cell, weights: Weights, dims: list[int | None], version: int
) -> Iterator[Path]:
    """Export to a file in a temporary folder, which is gone afterwards."""
    import mindspore as ms

    inputs = (
        ms.Tensor(shape=dims, dtype=ms.float32)
        if None in dims
        else ms.Tensor(np.zeros(dims, np.float32))
    )
    with tempfile.TemporaryDirectory(prefix="delf-export-", dir=_plain_folder()) as folder:
        written = Path(folder, "model.mindir")
        with naming_file(written):
            # MindSpore adds the ending by itself, so the name it is given has none.
            ms.export(network, inputs, file_name=f"{folder}/model", file_format="MINDIR")
        # MindSpore makes files that their owner can only read.
        written.chmod(0o644)
        _sign(written, weights)
        if version == OLD_VERSION:
            _rewrite(written, dims)
        yield written


def _plain_folder() -> str:
    """Return a folder for temporary files that MindSpore exports to.

    Raises:
        UserError: there is none.
    """
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        if _PLAIN.fullmatch(folder) and os.access(folder, os.W_OK):
            return folder
    raise UserError(
        f"MindSpore does not export to {tempfile.gettempdir()}; set TMPDIR to a folder whose path "
        "has letters of English, digits and .-_ only"
    )


def _sign(path: Path, weights: Weights) -> None:
    model = read_proto(path)
    sign(model, weights)
    with naming_file(path):
        path.write_bytes(to_bytes(model))


def _rewrite(path: Path, dims: list[int | None]) -> None:
    """Bring a file to version 1, and make sure that it computes the very same."""
    import mindspore as ms

    model = read_proto(path)
    native = ms.nn.GraphCell(ms.load(str(path)))
    to_version1(model)
    with naming_file(path):
        path.write_bytes(to_bytes(model))
    if np.prod([side or 1 for side in dims]) > 3 * CHECKED_PIXELS:
        return  # tried in small, see `export_weights`
    rewritten = ms.nn.GraphCell(ms.load(str(path)))
    for height, width in _tried_sides(dims):
        noise = _noise(dims[0], height, width)
        for found, wanted in zip(rewritten(noise), native(noise)):
            if found.shape != wanted.shape or (found.asnumpy() != wanted.asnumpy()).any():
                raise UserError("MindIR version 1 computes something else: it was not kept")
    LOG.info("MindIR version 1 computes what the native version computes, to the bit")


def _tried_sides(dims: list[int | None]) -> tuple[tuple[int, int], ...]:
    return DYNAMIC_SIDES if None in dims else ((dims[2], dims[3]),)


def _noise(batch: int, height: int, width: int) -> ms.Tensor:
    import mindspore as ms

    generator = np.random.default_rng(0)
    return ms.Tensor(generator.uniform(-1, 1, (batch, 3, height, width)).astype(np.float32))


def _check_outputs(path: Path, network: nn.Cell, dims: list[int | None]) -> None:
    """Run the file and the network on the same noise; raise `UserError` where they differ."""
    import mindspore as ms

    model = ms.nn.GraphCell(ms.load(str(path)))
    if None in dims:
        network.set_inputs(ms.Tensor(shape=dims, dtype=ms.float32))
    for height, width in _tried_sides(dims):
        noise = _noise(dims[0], height, width)
        features, scores, *pooled = network(noise)
        if not pooled:  # the network leaves it to its caller
            scores = network.attention.softplus(scores)
        wanted_outputs = [x.asnumpy() for x in (features, scores, *pooled)]
        for found, wanted in zip(model(noise), wanted_outputs, strict=True):
            if found.shape != wanted.shape:
                raise UserError(
                    f"the exported model gives shape {found.shape} at {height}×{width}, the "
                    f"network {wanted.shape}: it was not kept"
                )
            difference = float(np.abs(found.asnumpy() - wanted).max())
            if difference > 1e-4 * max(1.0, float(np.abs(wanted).max())):
                raise UserError(
                    f"the exported model differs from the network by {difference:.2g} at "
                    f"{height}×{width}: it was not kept"
                )
    LOG.info("the exported file computes what the network computes")


def _check_weights(path: Path, network: nn.Cell) -> None:
    """Raise `UserError` where the file does not hold the network's weights."""
    import mindspore as ms

    found = ms.nn.GraphCell(ms.load(str(path))).parameters_dict()
    for name, parameter in network.parameters_and_names():
        if name not in found or (found[name].asnumpy() != parameter.asnumpy()).any():
            raise UserError(f"the exported model lost the weights {name}: it was not kept")
