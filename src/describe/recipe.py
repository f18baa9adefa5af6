"""How the photos of a configuration are described: weights, engine, settings, PCA."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from pathlib import Path

from model_utils.config import Config
from model_utils.device import find_device_target
from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.engines.lite_program import TIME_FILE, InferProgram, build_program
from src.describe.engines.mindspore_graph import STATIC_BATCH
from src.describe.fit_pca import DIMENSIONS, choose_files, fit_pca_on_photos
from src.describe.folder import Engine, network_factory, parse_devices
from src.describe.pca import Pca, read_pca, write_pca
from src.network.export import NATIVE_VERSION, ExportSettings, export_weights
from src.network.feature_weights import has_attention, read_feature_weights
from src.network.mindir import read_mindir
from src.network.mindir_version1 import OLD_VERSION
from src.network.weights import fingerprint

LOG = logging.getLogger(__name__)
PROJECT_PCA = PROJECT_ROOT / "pca"


@dataclasses.dataclass(frozen=True)
class Describer:
    """How the photos of one evaluation are described.

    Attributes:
        settings: pyramid, selection and reduction.
        network: fingerprint of the weights.
        engine: what runs them.
        source: the file they come from.
    """

    settings: DelfConfig
    network: str
    engine: Engine
    source: str


def read_describer(config: Config) -> Describer:
    """Return how photos are described: by the configured model, or else checkpoint.

    Raises:
        UserError: neither is set, or what is cannot be used.
    """
    if config.mindir_path:
        model = read_mindir(config.mindir_path)
        settings = feature_settings(config, has_attention=True, source=config.mindir_path)
        program = open_program(config, config.mindir_path, model.fingerprint, model.input_shape)
        return Describer(settings, model.fingerprint, program, config.mindir_path)
    require(config, "checkpoint_path")
    weights = read_feature_weights(config.checkpoint_path)
    return describer_of(config, fingerprint(weights), has_attention(weights))


def describer_of(config: Config, network: str, attention: bool) -> Describer:
    """Return how photos are described by the configured checkpoint, of which the rest is known.

    Args:
        config: the settings.
        network: fingerprint of the weights.
        attention: whether they hold an attention.
    """
    settings = feature_settings(config, attention, config.checkpoint_path)
    if config.engine == "lite":
        engine = program_for_checkpoint(config, network)
    else:
        engine = network_factory(config.checkpoint_path, settings, config.device_target)
    return Describer(settings, network, engine, config.checkpoint_path)


def feature_settings(config: Config, has_attention: bool, source: str) -> DelfConfig:
    """Return the configured pyramid and choice of features for weights from a file `source`."""
    score = config.score
    if score == "auto":
        score = "attention" if has_attention else "norm"
    elif score == "attention" and not has_attention:
        raise UserError(
            f"{source} holds no attention; set score to norm or auto, "
            "or give a checkpoint of the attn stage"
        )
    fields = {field.name for field in dataclasses.fields(DelfConfig)} & vars(config).keys()
    return DelfConfig(**{**{name: getattr(config, name) for name in fields}, "score": score})


def program_for_checkpoint(config: Config, network: str) -> InferProgram:
    """Return the C++ program with a model of the configured checkpoint, exported when needed.

    Models made here are kept in `work_path`. On a CPU they take photos of any size and are of the
    version that any runtime reads; on Ascend they take the whole pyramid at once, as `export.py`
    writes them.
    """
    on_cpu = _program_device(config) == "CPU"
    side = 0 if on_cpu else config.max_level_side
    shape = (1, 3, 0, 0) if on_cpu else (STATIC_BATCH, 3, side, side)
    path = Path(config.work_path, "models", f"{network}-{'x'.join(map(str, shape))}.mindir")
    if not path.exists():
        weights = read_feature_weights(config.checkpoint_path)
        version = OLD_VERSION if on_cpu else NATIVE_VERSION
        settings = ExportSettings(shape, "CPU", version=version)
        export_weights(weights, config.checkpoint_path, path, settings)
    return open_program(config, path, network, tuple(length or -1 for length in shape))


def open_program(
    config: Config, model: str | Path, network: str, input_shape: tuple[int, ...]
) -> InferProgram:
    """Return the C++ program, built when needed, with a model.

    Args:
        config: the settings.
        model: the MindIR.
        network: fingerprint of its weights.
        input_shape: of its input; -1 for any.

    Raises:
        UserError: its configuration is missing, or it cannot be built.
    """
    if config.lite_config and not Path(config.lite_config).is_file():
        raise UserError(f"lite_config {config.lite_config} does not exist")
    build_program()
    return InferProgram(
        str(model),
        network,
        input_shape,
        _program_device(config),
        config.lite_config,
        config.lite_precision,
        config.lite_threads,
        TIME_FILE,
    )


def _program_device(config: Config) -> str:
    return find_device_target() if config.device_target == "auto" else config.device_target


def folder_name(images_path: str | Path, describer: Describer) -> str:
    """Return a name for the results of these photos with this network and these settings."""
    images = Path(images_path).resolve()
    parts = [str(images), describer.network, describer.settings.settings()]
    if isinstance(describer.engine, InferProgram):
        parts.append(describer.engine.settings())
    key = json.dumps(parts)
    return f"{images.name}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def find_pca(config: Config, describer: Describer) -> Pca | None:
    """Return the PCA that the configuration names, or with "auto" the project's if it fits."""
    if not describer.settings.use_pca:
        return None
    if config.pca_path != "auto":
        return read_pca(config.pca_path)
    if PROJECT_PCA.is_dir():
        pca = read_pca(PROJECT_PCA)
        if pca.about.get("network") == describer.network:
            return pca
    return None


def choose_pca(config: Config, describer: Describer, folder: Path) -> Pca | None:
    """Return the PCA to use: one that fits, the one in `folder`, or one fitted now and kept there.

    A projection made for other weights does not fit; it is fitted on `pca_images` of the photos.
    """
    pca = find_pca(config, describer)
    if pca is not None or not describer.settings.use_pca:
        return pca
    if folder.is_dir():
        return read_pca(folder)
    files = choose_files(config.images_path, config.pca_images, config.seed)
    LOG.info("fitting a PCA for these weights on %d photos", len(files))
    pca = fit_pca_on_photos(
        describer.engine,
        config.images_path,
        files,
        describer.settings,
        max(describer.settings.pca_dim, DIMENSIONS),
        parse_devices(config.devices)[0],
    )
    pca.about["source"] = str(config.images_path)
    write_pca(folder, pca)
    return pca


def require(config: Config, *names: str) -> None:
    """Raise `UserError` for the first of some settings that is empty."""
    for name in names:
        if not getattr(config, name):
            raise UserError(f"{name} is not set; give --{name}=PATH")
