"""Fit the whitening of global descriptors to photos of known landmarks.

    python3 -m src.describe.fit_whitening --checkpoint WEIGHTS --images_path GLDV2_TRAIN

A whitening fits the weights it was made for only. The photos lie as those of Google Landmarks v2: a
`train.csv` with `id` and `landmark_id` beside them. What two photos of one landmark differ in is
made small (Mikolajczyk and Matas, 2007), and of the rest the directions that differ most are kept.
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
import logging
from pathlib import Path
from typing import Any

import numpy as np

from model_utils.bounds import number
from model_utils.environment import kept_root
from src.common.atomic_files import check_writable
from src.common.csv_tables import read_columns
from src.common.errors import UserError, run_command
from src.delf_config import CONV5_CHANNELS, DelfConfig
from src.describe.engines.choice import EngineSettings, add_engine_arguments, choose_engine
from src.describe.engines.global_head import GlobalEngine
from src.describe.recipe import Describer
from src.describe.tasks import PhotoTask
from src.describe.whitening import GLOBAL_SCALES, Whitening, write_whitening
from src.feature_io import feature_path, read_features, read_manifest
from src.network.conv5_source import find_conv5, read_conv5
from src.network.weights import fingerprint
from src.photos.finding import list_images
from src.photos.left_out import add_labelled_photos_arguments, read_left_out

LOG = logging.getLogger(__name__)

TABLE_NAME = "train.csv"
SHRINKAGE = 0.2


def fit_whitening(
    descriptors: np.ndarray, landmarks: np.ndarray, dimension: int, shrinkage: float = SHRINKAGE
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a whitening by the scatter within landmarks.

    The scatter of descriptors around the means of their landmarks, drawn towards a multiple of the
    identity, becomes the identity; then the principal components of all are kept. The sign of a
    component is chosen so that its largest entry is positive.

    Args:
        descriptors: [N, C], unit length.
        landmarks: [N], which landmark each shows.
        dimension: components to keep.
        shrinkage: share of the identity's multiple, 0 to 1.

    Returns:
        The mean, float64 [C], and the projection, float64 [C, dimension].

    Raises:
        UserError: there are too few photos, or no two of one landmark.
    """
    x = np.asarray(descriptors, np.float64)
    _, label, counts = np.unique(landmarks, return_inverse=True, return_counts=True)
    freedom = int((counts - 1).sum())
    if len(x) <= dimension or not freedom:
        raise UserError(
            f"a whitening of {dimension} dimensions cannot be fitted to {len(x)} photos of "
            f"{len(counts)} landmarks: more photos than dimensions are needed, and some landmarks "
            "with two or more"
        )
    sums = np.zeros((len(counts), x.shape[1]))
    np.add.at(sums, label, x)
    centred = x - (sums / counts[:, None])[label]
    within = centred.T @ centred / freedom
    size = len(within)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / size * np.eye(size)
    values, vectors = np.linalg.eigh(within)
    whitener = vectors / np.sqrt(np.maximum(values, np.finfo(np.float64).tiny))
    mean = x.mean(axis=0)
    white = (x - mean) @ whitener
    _, components = np.linalg.eigh(white.T @ white / len(white))
    projection = whitener @ components[:, ::-1][:, :dimension]
    largest = np.abs(projection).argmax(axis=0)
    return mean, projection * np.sign(projection[largest, np.arange(dimension)])


def read_landmarks(folder: Path) -> dict[str, str]:
    """Return the landmark of each photo of a folder in GLDv2's layout, by its id.

    Raises:
        UserError: there is no table, or it is something else.
    """
    path = folder / TABLE_NAME
    missing = (
        f"there is no {path}; give --images_path of a folder in the layout of Google Landmarks v2: "
        "photos, and a train.csv with id and landmark_id"
    )
    parts = read_columns(path, ("id", "landmark_id"), missing)
    return {name: landmark for part in parts for name, landmark in zip(part.id, part.landmark_id)}


def describe_landmarks(
    describer: Describer, images_path: Path, left_out: set[str], work_path: Path
) -> tuple[np.ndarray, list[str]]:
    """Return the descriptors, not whitened, of photos of known landmarks, and those landmarks.

    They are kept in a folder of `work_path`, and made once.

    Raises:
        UserError: as for `extract_folder`.
    """
    landmarks = read_landmarks(images_path)
    tasks = [
        PhotoTask(name, file)
        for name, file in list_images(images_path)
        if name in landmarks and name not in left_out
    ]
    if not tasks:
        raise UserError(f"none of the photos in {images_path} stands in its {TABLE_NAME}")
    folder = work_path / describer.folder_name(images_path)
    describer.extract(images_path, folder, None, tasks)
    failed = read_manifest(folder).failed
    found, labels = [], []
    for task in tasks:
        if task.name not in failed:
            whole = read_features(feature_path(folder, task.name)).global_descriptor
            if whole is not None:
                found.append(whole)
                labels.append(f"{images_path.resolve()} {landmarks[task.name]}")
    return np.reshape(found, (-1, CONV5_CHANNELS)), labels


def plain_describer(checkpoint: str, engine: EngineSettings) -> Describer:
    """Return what describes photos as a whole, in full length and not whitened."""
    inner = choose_engine(engine)
    source = str(find_conv5(checkpoint))
    conv5 = fingerprint(read_conv5(source))
    # The identity takes nothing away, and adds nothing.
    identity = np.eye(CONV5_CHANNELS, dtype=np.float16)
    none = Whitening(np.zeros(CONV5_CHANNELS, np.float32), identity, inner.fingerprint, conv5)
    config = DelfConfig(
        image_scales=GLOBAL_SCALES,
        max_feature_num=1,
        max_level_side=engine.max_level_side,
        score="norm",
        use_pca=False,
    )
    return Describer(GlobalEngine(inner, source, none), config, checkpoint)


def fit(arguments: argparse.Namespace) -> Whitening:
    """Return the whitening that the command line asks for."""
    side = arguments.max_level_side
    settings = EngineSettings(
        name=arguments.engine,
        checkpoint=arguments.checkpoint,
        max_level_side=side,
        precision=arguments.precision,
    )
    describer = plain_describer(arguments.checkpoint, settings)
    left_out = read_left_out(arguments.leave_out)
    blocks, labels, sources = [], [], []
    for path in map(Path, arguments.images_path):
        block, shown = describe_landmarks(describer, path, left_out, Path(arguments.work_path))
        blocks.append(block)
        labels += shown
        name = "/".join(path.resolve().parts[-2:])
        sources.append(f"{name}: {len(block)} photos of {len(set(shown))} landmarks")
    mean, projection = fit_whitening(
        np.concatenate(blocks), np.array(labels), arguments.dimension, arguments.shrinkage
    )
    about: dict[str, Any] = {
        "method": f"scatter within landmarks shrunk by {arguments.shrinkage:g}, then principal "
        "components (Mikolajczyk and Matas, 2007)",
        "command": f"python3 -m src.describe.fit_whitening --dimension {arguments.dimension} "
        f"--shrinkage {arguments.shrinkage:g} --max_level_side {side}",
        "sources": sources,
        "left_out": [Path(path).name for path in arguments.leave_out],
        "images": len(labels),
        "landmarks": len(set(labels)),
        "max_level_side": side,
        "engine": {k: v for k, v in describer.engine.settings().items() if k != "global"},
        "seed": None,  # nothing is chosen at random
    }
    made_for = describer.engine.whitening
    return Whitening(
        mean.astype(np.float32),
        projection.astype(np.float16),
        made_for.network,
        made_for.conv5,
        about=about,
    )


def main() -> None:
    """Fit a whitening and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="weights (.ckpt, or ImageNet .h5)")
    add_labelled_photos_arguments(parser)
    parser.add_argument("--output", default="whitening.npz", help="the file to write")
    parser.add_argument(
        "--work_path",
        default=str(kept_root() / "runs" / "whitening"),
        help="where descriptors are kept, so that a run can be continued",
    )
    length = number(int, "dimension", min=1, max=CONV5_CHANNELS)
    parser.add_argument("--dimension", type=length, default=1024, help="of the descriptors")
    share = number(float, "shrinkage", above=0.0, max=1.0)
    parser.add_argument("--shrinkage", type=share, default=SHRINKAGE, help="see fit_whitening")
    side = number(int, "max_level_side")
    parser.add_argument("--max_level_side", type=side, default=1024, help="of the pyramid")
    add_engine_arguments(parser)
    arguments = parser.parse_args()
    check_writable(arguments.output)
    whitening = fit(arguments)
    write_whitening(arguments.output, whitening)
    LOG.info(
        "%s: %d dimensions, %d photos of %d landmarks; --whitening_path=%s uses it",
        arguments.output,
        whitening.dimension,
        whitening.about["images"],
        whitening.about["landmarks"],
        arguments.output,
    )


if __name__ == "__main__":
    run_command(main)
