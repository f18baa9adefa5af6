"""Fit the PCA of descriptors to the features a network finds on photos.

A projection fits the weights it was made for only: run this for each backbone. Without photos of
one's own, a small rendered world of buildings serves.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import contextlib
import dataclasses
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from model_utils.bounds import number
from src.common.atomic_files import PathLike
from src.common.errors import run_command
from src.common.progress import progress
from src.delf_config import DelfConfig, add_config_arguments, config_from_arguments
from src.describe.engines.choice import EngineSettings, add_engine_arguments, choose_engine
from src.describe.engines.interface import Engine
from src.describe.one_photo import described
from src.describe.pca import Pca, fit_pca, write_pca
from src.describe.tasks import PhotoTask
from src.photos.finding import list_images
from src.postprocess import blamed_weights

LOG = logging.getLogger(__name__)

DIMENSIONS = 128  # components kept in the files; pca_dim may be any number up to it


def fit_pca_on_photos(
    engine: Engine,
    images_path: PathLike,
    files: Sequence[str],
    config: DelfConfig,
    dimension: int = DIMENSIONS,
    device_id: int = 0,
    source: str = "",
) -> Pca:
    """Fit a PCA to the features of photos, chosen just as they are in extraction.

    Args:
        engine: runs the network whose features are to be reduced.
        images_path: folder of the photos.
        files: paths relative to it; unreadable ones are reported and passed over.
        config: pyramid and choice of features; its PCA settings do not matter.
        dimension: components to keep.
        device_id: which device.
        source: where the engine's weights come from, for messages.

    Raises:
        UserError: the photos have too few features, or the network's output is finite for none.
    """
    plain = dataclasses.replace(config, use_pca=False)
    tasks = [PhotoTask(file, file) for file in files]
    about = {"images": 0, "descriptors": 0, "network": engine.fingerprint}
    not_finite = 0

    def descriptors() -> Iterator[np.ndarray]:
        nonlocal not_finite
        photos = described(engine, images_path, tasks, plain, device_id=device_id)
        for photo in progress(photos, "fitting a PCA", "photo", len(tasks)):
            if photo.features is None:
                LOG.warning("skipped: %s", photo.reason)
                not_finite += not photo.finite
                continue
            about["images"] += 1
            about["descriptors"] += len(photo.features)
            yield photo.features.descriptors
        if not_finite and not about["images"]:
            raise blamed_weights(not_finite, source or f"({engine.fingerprint})")

    pca = fit_pca(descriptors(), dimension)
    return dataclasses.replace(pca, about=about)


def choose_files(images_path: PathLike, count: int, seed: int) -> list[str]:
    """Choose photos of a folder at random, the same ones for the same seed."""
    files = [file for _, file in list_images(images_path)]
    chosen = np.random.default_rng(seed).permutation(len(files))[:count]
    return [files[index] for index in sorted(chosen)]


@contextlib.contextmanager
def _photo_folder(images_path: str | None, count: int, seed: int) -> Iterator[Path]:
    """Yield the folder given, or else a temporary one of `count` or more rendered photos."""
    if images_path is not None:
        yield Path(images_path)
        return
    # Imported where photos are rendered: a search of photos passes by here as well.
    from sample_world.build import build_sample_world
    from sample_world.options import WorldOptions
    from sample_world.plan import GLDV2_FOLDER

    options = WorldOptions(
        seed=seed,
        train_photos=math.ceil(count / WorldOptions.train_landmarks),
        retrieval_landmarks=1,
        retrieval_photos=1,
        queries=1,
        distractors=0,
    )
    with tempfile.TemporaryDirectory(prefix="pca_photos_") as folder:
        build_sample_world(folder, options)
        yield Path(folder, GLDV2_FOLDER)


def main() -> None:
    """Fit a PCA and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="weights (.ckpt, or ImageNet .h5)")
    parser.add_argument("--output_directory", default="pca", help="where the three arrays go")
    parser.add_argument("--images_path", help="folder of photos; by default some are rendered")
    images, size = number(int, "num_images", "pca_images"), number(int, "dimensions", "pca_dim")
    parser.add_argument("--num_images", type=images, default=64, help="photos to look at")
    parser.add_argument("--dimensions", type=size, default=DIMENSIONS, help="largest pca_dim")
    parser.add_argument(
        "--seed", type=number(int, "seed"), default=0, help="of the choice of photos"
    )
    parser.add_argument("--device_target", default="auto", choices=("auto", "Ascend", "CPU"))
    parser.add_argument("--device_id", type=number(int, "device_id"), default=0)
    add_engine_arguments(parser)
    add_config_arguments(parser)
    arguments = parser.parse_args()
    config = config_from_arguments(arguments)
    engine = choose_engine(
        EngineSettings(
            name=arguments.engine,
            checkpoint=arguments.checkpoint,
            device_target=arguments.device_target,
            max_level_side=config.max_level_side,
            precision=arguments.precision,
        )
    )
    with _photo_folder(arguments.images_path, arguments.num_images, arguments.seed) as folder:
        files = choose_files(folder, arguments.num_images, arguments.seed)
        LOG.info("fitting a PCA of %d dimensions to %d photos", arguments.dimensions, len(files))
        pca = fit_pca_on_photos(
            engine,
            folder,
            files,
            config,
            arguments.dimensions,
            arguments.device_id,
            arguments.checkpoint,
        )
    pca.about["source"] = arguments.images_path or "rendered sample world"
    write_pca(arguments.output_directory, pca)
    LOG.info("%s: %s", arguments.output_directory, pca.about)


if __name__ == "__main__":
    run_command(main)
