"""Which engine describes: by the name in the settings, with the weights it is to run."""

from __future__ import annotations

import argparse
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_utils.bounds import check_fields
from model_utils.device import find_device_target
from src.common.errors import UserError
from src.describe.engines.interface import Engine
from src.describe.engines.lite_program import PROGRAM, LiteProgram, build_program
from src.describe.engines.lite_runtime import newest_readable
from src.describe.engines.mindspore_graph import MindSporeEngine
from src.describe.engines.openvino_runtime import PRECISIONS, OpenVinoEngine
from src.describe.engines.static_batches import StaticPlan
from src.network.export import ExportSettings, export_weights
from src.network.feature_weights import (
    backbone_fingerprint,
    has_attention,
    read_feature_weights,
)
from src.network.mindir import MindIr, is_whole, read_mindir
from src.network.mindir_version1 import OLD_VERSION, write_version1
from src.network.weights import Weights, fingerprint

LOG = logging.getLogger(__name__)

#: Input of a model for photos of any size: batch, channels, height, width.
ANY_SIZE = (1, 3, -1, -1)


@dataclass(frozen=True)
class EngineSettings:
    """Which engine, and what it runs.

    Attributes:
        name: a key of `ENGINES`, or "auto": MindSpore on Ascend, else OpenVINO where it is
            installed, else MindSpore.
        checkpoint: the weights (.ckpt, or Keras .h5); "" where a MindIR is given.
        mindir: a model for the C++ program, instead of a checkpoint.
        device_target: "auto", "Ascend" or "CPU".
        max_level_side: side in pixels of the largest levels on a device that wants static shapes.
        static_batch: there, levels that go through the network together.
        static_sides: there, longer sides in pixels of the network's other inputs.
        jit_level: how the network's graphs run on an Ascend, see `model_utils.device`.
        models_path: where models made of a checkpoint are kept.
        lite_config: MindSpore Lite configuration file; "" for none.
        lite_precision: Ascend's precision mode; "" for the runtime's default.
        lite_threads: of the C++ program on CPU; 0 for all cores.
        precision: of OpenVINO: "float32", "bfloat16", or "auto" for what suits the processor.
        time_file: where the C++ program writes the mean time a photo took; "" for nowhere.

    Raises:
        UserError: a number is out of its bounds.
    """

    name: str = "auto"
    checkpoint: str = ""
    mindir: str = ""
    device_target: str = "auto"
    max_level_side: int = 2048
    static_batch: int = 7
    static_sides: tuple[int, ...] = (512, 1024, 1448)
    jit_level: str = "O0"
    models_path: Path = Path("models")
    lite_config: str = ""
    lite_precision: str = ""
    lite_threads: int = 0
    precision: str = "auto"
    time_file: str = ""

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_config(cls, config: Any, time_file: str = "") -> EngineSettings:
        """Take what concerns the engine out of the configuration."""
        return cls(
            name=config.engine,
            checkpoint=config.checkpoint_path,
            mindir=config.mindir_path,
            device_target=config.device_target,
            max_level_side=config.max_level_side,
            static_batch=config.static_batch,
            static_sides=tuple(config.static_sides),
            jit_level=config.jit_level,
            models_path=Path(config.work_path, "models"),
            lite_config=config.lite_config,
            lite_precision=config.lite_precision,
            lite_threads=config.lite_threads,
            precision=config.precision,
            time_file=time_file,
        )

    @property
    def source(self) -> str:
        """The file the weights come from."""
        return self.mindir or self.checkpoint

    @property
    def device(self) -> str:
        """ "Ascend" or "CPU"."""
        return find_device_target() if self.device_target == "auto" else self.device_target

    @property
    def plan(self) -> StaticPlan | None:
        """What MindSpore is asked for on the device: None for photos of any size."""
        if self.device != "Ascend":
            return None
        return StaticPlan.of(self.static_sides, self.max_level_side, self.static_batch)


@dataclass(frozen=True)
class KnownWeights:
    """What choosing an engine needs to know of a checkpoint.

    Attributes:
        fingerprint: of the weights.
        has_attention: whether they hold an attention.
    """

    fingerprint: str
    has_attention: bool


def read_known_weights(checkpoint: str | Path) -> KnownWeights:
    """Read a checkpoint and return what is to be known of it."""
    weights = read_feature_weights(checkpoint)
    return KnownWeights(fingerprint(weights), has_attention(weights))


def is_made_for(network: str | None, engine: Engine, source: str) -> bool:
    """Tell whether what was fitted for the weights of a fingerprint fits an engine.

    That is so for other weights too whose backbone is the same: an attention that was trained on
    frozen weights leaves their features as they were.

    Args:
        network: fingerprint of the weights; None where nobody knows.
        engine: describes photos.
        source: the file of its weights.
    """
    if network is None or network == engine.fingerprint or not engine.has_attention:
        return network is not None and network == engine.fingerprint
    try:
        model = Path(source).suffix == ".mindir"
        weights = read_mindir(source).weights if model else read_feature_weights(source)
    except UserError:  # the engine says so where it needs them
        return False
    return backbone_fingerprint(weights) == network


def choose_engine(settings: EngineSettings, known: KnownWeights | None = None) -> Engine:
    """Return the engine of some settings; what it needs is made: a model, the C++ program.

    Args:
        settings: which engine.
        known: what is known of the checkpoint, where it has been read before.

    Raises:
        UserError: neither a model nor a checkpoint is set, or what is cannot be used.
    """
    if settings.mindir:
        model = read_mindir(settings.mindir)
        path, shape = _readable(settings, settings.mindir, model)
        return _lite_program(settings, path, model.fingerprint, shape)
    if not settings.checkpoint:
        raise UserError("checkpoint_path is not set; give --checkpoint_path=PATH")
    known = known or read_known_weights(settings.checkpoint)
    name = _automatic(settings) if settings.name == "auto" else settings.name
    if name != "openvino" and settings.precision == "bfloat16":
        raise UserError(
            f"precision is bfloat16, which the engine {name} does not compute in; "
            "give --engine=openvino"
        )
    return ENGINES[name](settings, known)


def _automatic(settings: EngineSettings) -> str:
    """Return the name of the fastest engine there is for the device."""
    if settings.device == "Ascend":
        return "mindspore"
    if importlib.util.find_spec("openvino") is not None:
        return "openvino"
    LOG.warning(
        "OpenVINO is not installed: MindSpore describes the photos, several times more slowly; "
        "`bash scripts/setup.sh` installs it"
    )
    return "mindspore"


def _openvino(settings: EngineSettings, known: KnownWeights) -> Engine:
    if settings.device != "CPU":
        raise UserError(
            f"engine is openvino, which runs on the CPU; device_target is {settings.device}"
        )
    try:
        return OpenVinoEngine(
            settings.checkpoint, known.fingerprint, known.has_attention, settings.precision
        )
    except ImportError as error:
        raise UserError(
            f"engine is openvino, which cannot be imported ({error}); run `bash scripts/setup.sh`"
        ) from None


def _mindspore(settings: EngineSettings, known: KnownWeights) -> Engine:
    if importlib.util.find_spec("mindspore") is None:
        raise UserError(
            "engine is mindspore, which is not installed for this Python; install it (there are "
            "packages for Linux above all) or give --engine=openvino"
        )
    return MindSporeEngine(
        settings.checkpoint,
        known.fingerprint,
        known.has_attention,
        settings.device_target,
        settings.plan,
        settings.jit_level,
    )


def _lite(settings: EngineSettings, known: KnownWeights) -> Engine:
    """Return the C++ program with a model of the checkpoint, exported when needed.

    On a CPU models take photos of any size and are of the version that any runtime reads; on Ascend
    they take levels together, padded to one size, as `export.py` writes them.
    """

    def read() -> Weights:
        return read_feature_weights(settings.checkpoint)

    if settings.device == "CPU":
        path = _any_size_model(settings, known.fingerprint, read, {})
        shape = ANY_SIZE
    else:
        side = settings.max_level_side
        wanted = (settings.static_batch, 3, side, side)
        path = _kept(settings, known.fingerprint, wanted)
        if not is_whole(path):
            export_weights(read(), settings.checkpoint, path, ExportSettings(wanted, "CPU"))
        path, shape = _readable(settings, path, read_mindir(path))
    return _lite_program(settings, path, known.fingerprint, shape, known.has_attention)


def _kept(settings: EngineSettings, network: str, shape: tuple[int, ...], suffix: str = "") -> Path:
    """Return where the model of a network for some input is kept."""
    return settings.models_path / f"{network}-{'x'.join(map(str, shape))}{suffix}.mindir"


def _any_size_model(
    settings: EngineSettings, network: str, read: Callable[[], Weights], conv5: Weights
) -> Path:
    """Return a model of some weights for photos of any size that any runtime reads.

    With weights of conv5 it gives what a global descriptor is made of, too.
    """
    suffix = f"-{fingerprint(conv5)}" if conv5 else ""
    path = _kept(settings, network, (1, 3, 0, 0), suffix)
    if not is_whole(path):
        export = ExportSettings((1, 3, 0, 0), "CPU", version=OLD_VERSION)
        export_weights(read(), settings.source, path, export, conv5 or None)
    return path


def _readable(
    settings: EngineSettings, path: str | Path, model: MindIr
) -> tuple[str | Path, tuple[int, ...]]:
    """Return a model that the program's runtime reads, with its input: this one or a copy.

    On a CPU the copy takes photos of any size whatever this one takes: levels padded to 2048×2048
    need 7.3 GB there, and 29 s a photo of 1024×768 instead of 7. Elsewhere it takes the same.
    """
    build_program()
    if newest_readable(model.version, PROGRAM) >= model.version:
        return path, model.input_shape
    if settings.device == "CPU":
        copy = _any_size_model(settings, model.fingerprint, lambda: model.weights, model.conv5)
        shape = ANY_SIZE
    else:
        shape = model.input_shape
        lengths = tuple(max(length, 0) for length in shape)
        pooled = f"-{fingerprint(model.conv5)}" if model.conv5 else ""
        copy = _kept(settings, model.fingerprint, lengths, f"{pooled}-version1")
        if not is_whole(copy):
            write_version1(path, copy)
    LOG.info(
        "%s is MindIR of version %d, which this runtime does not read: a copy of version %d for %s "
        "runs instead, %s",
        *(path, model.version, OLD_VERSION, _photos(shape), copy),
    )
    return copy, shape


def _photos(shape: tuple[int, ...]) -> str:
    return "photos of any size" if -1 in shape else "x".join(map(str, shape))


def _lite_program(
    settings: EngineSettings,
    model: str | Path,
    network: str,
    input_shape: tuple[int, ...],
    attention: bool = True,
) -> LiteProgram:
    """Return the C++ program, built when needed, with a model (input_shape: -1 for any length)."""
    if settings.lite_config and not Path(settings.lite_config).is_file():
        raise UserError(f"lite_config {settings.lite_config} does not exist")
    build_program()
    return LiteProgram(
        str(model),
        network,
        input_shape,
        settings.device,
        settings.lite_config,
        settings.lite_precision,
        settings.lite_threads,
        settings.time_file,
        has_attention=attention,
    )


#: The setting `engine` → what makes it; delf_config.yaml lists the names as choices.
ENGINES: dict[str, Callable[[EngineSettings, KnownWeights], Engine]] = {
    "mindspore": _mindspore,
    "lite": _lite,
    "openvino": _openvino,
}


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the engine that a person may want to change."""
    defaults = EngineSettings()
    names = ["auto", *(name for name in ENGINES if name != "lite")]  # which needs more settings
    parser.add_argument("--engine", choices=names, default=defaults.name, help="runs the network")
    parser.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        default=defaults.precision,
        help="of OpenVINO; auto: bfloat16 where the processor computes in it",
    )
