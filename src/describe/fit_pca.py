"""Fit the PCA of descriptors to the features a network finds on photos.

    python3 -m src.describe.fit_pca --checkpoint WEIGHTS --images_path PHOTOS

A projection fits the weights it was made for only: run this for each backbone, on photos that are
not those it will be judged by. Without photos of one's own, a small rendered world of buildings
serves.
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
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from model_utils.bounds import number
from model_utils.environment import PROJECT_ROOT
from src.common.atomic_files import PathLike, check_writable
from src.common.errors import run_command
from src.common.progress import progress
from src.delf_config import DelfConfig, add_config_arguments, config_from_arguments
from src.describe.engines.choice import EngineSettings, add_engine_arguments, choose_engine
from src.describe.engines.interface import Engine
from src.describe.one_photo import described
from src.describe.pca import MEAN_NAME, Pca, fit_pca, write_pca
from src.describe.tasks import PhotoTask
from src.photos.finding import list_images
from src.photos.left_out import read_left_out
from src.postprocess import Described, blamed_weights

LOG = logging.getLogger(__name__)

PROJECT_PCA = PROJECT_ROOT / "pca"
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
    return fit_pca_on_folders(
        engine, {Path(images_path): files}, config, dimension, device_id, source
    )


def fit_pca_on_folders(
    engine: Engine,
    folders: Mapping[Path, Sequence[str]],
    config: DelfConfig,
    dimension: int = DIMENSIONS,
    device_id: int = 0,
    source: str = "",
) -> Pca:
    """Fit a PCA to the features of photos of several folders; see `fit_pca_on_photos`.

    Args:
        engine: runs the network whose features are to be reduced.
        folders: folder → paths relative to it.
        config: pyramid and choice of features; its PCA settings do not matter.
        dimension: components to keep.
        device_id: which device.
        source: where the engine's weights come from, for messages.
    """
    plain = dataclasses.replace(config, use_pca=False)
    about = {"images": 0, "descriptors": 0, "network": engine.fingerprint}
    not_finite = 0

    def photos() -> Iterator[Described]:
        for images_path, files in folders.items():
            tasks = [PhotoTask(file, file) for file in files]
            yield from described(engine, images_path, tasks, plain, device_id=device_id)

    def descriptors() -> Iterator[np.ndarray]:
        nonlocal not_finite
        count = sum(map(len, folders.values()))
        for photo in progress(photos(), "fitting a PCA", "photo", count):
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
    return choose_photos([images_path], count, seed).get(Path(images_path), [])


def choose_photos(
    folders: Sequence[PathLike], count: int, seed: int, left_out: Container[str] = ()
) -> dict[Path, list[str]]:
    """Choose photos of folders at random, the same ones for the same seed.

    Args:
        folders: where they are.
        count: how many, at most.
        seed: of the choice.
        left_out: names of photos that are not to be chosen.

    Returns:
        Folder → paths relative to it.
    """
    photos = [
        (Path(folder), file)
        for folder in folders
        for name, file in list_images(folder)
        if name not in left_out
    ]
    chosen = np.random.default_rng(seed).permutation(len(photos))[:count]
    found: dict[Path, list[str]] = {}
    for index in sorted(chosen):
        folder, file = photos[index]
        found.setdefault(folder, []).append(file)
    return found


@contextlib.contextmanager
def _photo_folders(paths: Sequence[str] | None, count: int, seed: int) -> Iterator[list[Path]]:
    """Yield the folders given, or else a temporary one of `count` or more rendered photos."""
    if paths:
        yield [Path(path) for path in paths]
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
        yield [Path(folder, GLDV2_FOLDER)]


def _command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="weights (.ckpt, or ImageNet .h5)")
    parser.add_argument(
        "--output_directory",
        help="where the three arrays go; by default where the programs look for those of the "
        "weights: a folder of the project's pca/ named after them",
    )
    parser.add_argument(
        "--images_path", nargs="+", help="folders of photos; by default some are rendered"
    )
    parser.add_argument(
        "--leave_out",
        nargs="+",
        default=[],
        help="text files whose lines begin with the id or the file of a photo to leave out",
    )
    images, size = number(int, "num_images", "pca_images"), number(int, "dimensions", "pca_dim")
    parser.add_argument("--num_images", type=images, default=64, help="photos to look at, at most")
    parser.add_argument("--dimensions", type=size, default=DIMENSIONS, help="largest pca_dim")
    parser.add_argument(
        "--seed", type=number(int, "seed"), default=0, help="of the choice of photos"
    )
    parser.add_argument("--device_target", default="auto", choices=("auto", "Ascend", "CPU"))
    parser.add_argument("--device_id", type=number(int, "device_id"), default=0)
    add_engine_arguments(parser)
    add_config_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Fit a PCA and write it."""
    arguments = _command_line()
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
    output = arguments.output_directory or PROJECT_PCA / engine.fingerprint
    check_writable(Path(output, MEAN_NAME))
    left_out = read_left_out(arguments.leave_out)
    with _photo_folders(arguments.images_path, arguments.num_images, arguments.seed) as folders:
        chosen = choose_photos(folders, arguments.num_images, arguments.seed, left_out)
        LOG.info(
            "fitting a PCA of %d dimensions to %d photos",
            *(arguments.dimensions, sum(map(len, chosen.values()))),
        )
        pca = fit_pca_on_folders(
            *(engine, chosen, config, arguments.dimensions),
            *(arguments.device_id, arguments.checkpoint),
        )
    if arguments.images_path:
        counts = {"/".join(path.resolve().parts[-2:]): len(chosen[path]) for path in chosen}
        pca.about["source"] = ", ".join(f"{count} of {name}" for name, count in counts.items())
    else:
        pca.about["source"] = "rendered sample world"
    pca.about.update(
        left_out=["/".join(Path(path).parts[-2:]) for path in arguments.leave_out],
        seed=arguments.seed,
        features={
            name: getattr(config, name) for name in ("score", "max_feature_num", "max_level_side")
        },
        engine=engine.settings(),
    )
    write_pca(output, pca)
    LOG.info("%s: %s", output, pca.about)


if __name__ == "__main__":
    run_command(main)
