"""Extract the local features of the photos of a folder, with one worker or several."""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse

from model_utils.bounds import number
from src.common.errors import run_command
from src.delf_config import add_config_arguments, config_from_arguments
from src.describe.engines.choice import EngineSettings, add_engine_arguments, choose_engine
from src.describe.folder import extract_folder
from src.describe.keepers import STORES
from src.describe.parts import Part
from src.describe.pca_choice import pca_for
from src.describe.whitening_choice import add_global_arguments, with_global_descriptor
from src.describe.workers import parse_devices


def options() -> argparse.ArgumentParser:
    """Return what reads the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--images_path",
        required=True,
        help="folder of photos, list of photos (a text file), tar archive or folder of such",
    )
    parser.add_argument("--feature_path", required=True, help="where the features go")
    parser.add_argument("--checkpoint", required=True, help="weights (.ckpt, or ImageNet .h5)")
    parser.add_argument("--devices", default="0", help="03: devices 0 and 3; 0,12: 0 and 12")
    parser.add_argument("--device_target", default="auto", choices=("auto", "Ascend", "CPU"))
    parser.add_argument(
        "--pca_path",
        default="auto",
        help="folder of the PCA; auto: the project's for these weights, else ./pca",
    )
    parser.add_argument(
        "--max_bad_fraction",
        type=number(float, "max_bad_fraction"),
        default=0.1,
        help="of unreadable photos",
    )
    parser.add_argument(
        "--feature_store",
        choices=STORES,
        default="files",
        help="a file a photo (npz), or all of them packed into one store",
    )
    parser.add_argument(
        "--unpacked", action="store_const", const="files", dest="feature_store", help="files"
    )
    parser.add_argument("--part", type=Part.parse, help="i/N: of every N photos the i-th alone")
    add_engine_arguments(parser)
    add_global_arguments(parser)
    add_config_arguments(parser)
    return parser


def main() -> None:
    """Describe the photos of a folder."""
    arguments = options().parse_args()
    config = config_from_arguments(arguments)
    engine = EngineSettings(
        name=arguments.engine,
        checkpoint=arguments.checkpoint,
        device_target=arguments.device_target,
        max_level_side=config.max_level_side,
        precision=arguments.precision,
    )
    extractor = with_global_descriptor(
        choose_engine(engine),
        engine,
        config,
        arguments.global_descriptor,
        arguments.whitening_path,
    )
    extract_folder(
        arguments.images_path,
        arguments.feature_path,
        extractor,
        config,
        pca_for(extractor, arguments.checkpoint, config, arguments.pca_path),
        devices=parse_devices(arguments.devices),
        max_bad_fraction=arguments.max_bad_fraction,
        source=arguments.checkpoint,
        store=arguments.feature_store,
        part=arguments.part,
    )


if __name__ == "__main__":
    run_command(main)
