"""Whether a global descriptor is made, and by which whitening."""

from __future__ import annotations

import argparse
import logging

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.engines.choice import EngineSettings, is_made_for
from src.describe.engines.global_head import GlobalEngine
from src.describe.engines.interface import Engine
from src.describe.whitening import Whitening, fits_pyramid, read_whitening
from src.network.conv5_source import find_conv5

LOG = logging.getLogger(__name__)

#: What ships: for the ImageNet weights of `scripts/download_pretrained.sh`.
SHIPPED_WHITENING = PROJECT_ROOT / "weights" / "global_whitening.npz"


def with_global_descriptor(
    engine: Engine,
    settings: EngineSettings,
    config: DelfConfig,
    wanted: str = "auto",
    path: str = "auto",
) -> Engine:
    """Return an engine that makes global descriptors as well where a whitening fits its weights.

    With other weights it is the engine itself, and nothing is as it would not be without.

    Args:
        engine: makes the local part.
        settings: of that engine.
        config: the pyramid.
        wanted: "auto"; "True" for an error where none can be made; "off" for none.
        path: file of a whitening; "auto": the shipped one, where it is for these weights.

    Raises:
        UserError: a whitening was named that cannot be read or is for other weights, or none can be
            made that is wanted.
    """
    if wanted == "off":
        return engine
    whitening = _fitting(engine, settings, path)
    if whitening is None:
        if wanted == "True":
            raise UserError(
                f"no whitening of global descriptors is there for the weights {settings.source}; "
                "fit one with src/describe/fit_whitening.py and give --whitening_path"
            )
        return engine
    reason = _obstacle(config, whitening)
    try:
        source = "" if reason else str(find_conv5(settings.source, whitening.conv5))
    except UserError as error:
        reason = str(error)
    if reason and wanted == "True":
        raise UserError(f"no global descriptor can be made: {reason}")
    if reason:
        LOG.info("no global descriptor is made: %s", reason)
        return engine
    return GlobalEngine(
        engine, source, whitening, settings.device, settings.plan, settings.jit_level
    )


def _fitting(engine: Engine, settings: EngineSettings, path: str) -> Whitening | None:
    """Return the whitening for the weights of an engine; None where the shipped one is not."""
    if path == "auto":
        if not SHIPPED_WHITENING.is_file():
            return None
        whitening = read_whitening(SHIPPED_WHITENING)
        return whitening if is_made_for(whitening.network, engine, settings.source) else None
    whitening = read_whitening(path)
    if not is_made_for(whitening.network, engine, settings.source):
        raise UserError(
            f"the whitening {path} was fitted for other weights ({whitening.network}) than those "
            f"of {settings.source} ({engine.fingerprint}); fit one for them with "
            "src/describe/fit_whitening.py, or give --whitening_path=auto"
        )
    return whitening


def _obstacle(config: DelfConfig, whitening: Whitening) -> str:
    """Say why no global descriptor can be made though a whitening fits; "" where it can."""
    if not fits_pyramid(whitening.scales, config):
        scales = ", ".join(f"{scale:g}" for scale in whitening.scales)
        return f"image_scales has none of the scales it is made of ({scales})"
    return ""


def add_global_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the global descriptor."""
    parser.add_argument(
        "--global_descriptor",
        choices=("auto", "off", "True"),
        default="auto",
        help="auto: one of each photo where a whitening fits the weights; True: or else an error",
    )
    parser.add_argument(
        "--whitening_path", default="auto", help="file of a whitening; auto: the shipped one"
    )
