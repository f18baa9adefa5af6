"""Fit an attention to photos of known landmarks, the network below it as it is.

    python3 -m src.describe.fit_attention --checkpoint WEIGHTS --images_path GLDV2_TRAIN

The photos lie as those of Google Landmarks v2: a `train.csv` with `id` and `landmark_id` beside
them. They are described once, into a folder that a second run goes on in; the head is trained on
what is in it. The result is a checkpoint with the weights given and the attention: any command
takes it as --checkpoint_path, and then features are picked by it.
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
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model_utils.bounds import number
from model_utils.environment import kept_root
from src.common.atomic_files import check_writable
from src.common.errors import UserError, run_command
from src.delf_config import DelfConfig
from src.describe.attention_head import Head, own_share, train_head
from src.describe.engines.choice import EngineSettings, add_engine_arguments, choose_engine
from src.describe.fit_whitening import read_landmarks
from src.describe.pca import fit_pca
from src.describe.recipe import Describer
from src.describe.tasks import PhotoTask
from src.feature_io import feature_path, read_features, read_manifest
from src.network.weight_files import read_weights, write_checkpoint
from src.photos.finding import list_images
from src.photos.left_out import add_labelled_photos_arguments, read_left_out

LOG = logging.getLogger(__name__)

DIMENSIONS = 40  # in which neighbours are looked for
LEAST_FEATURES = 20  # of a photo that is learned from


def described_landmarks(
    describer: Describer, images_path: Path, left_out: set[str], work_path: Path
) -> list[tuple[Path, str]]:
    """Return the feature files of photos of known landmarks, and those landmarks.

    Raises:
        UserError: none of the photos stands in the table; and as for `extract_folder`.
    """
    landmarks = read_landmarks(images_path)
    tasks = [
        PhotoTask(name, file)
        for name, file in list_images(images_path)
        if name in landmarks and name not in left_out
    ]
    if not tasks:
        raise UserError(f"none of the photos in {images_path} stands in its train.csv")
    folder = work_path / describer.folder_name(images_path)
    describer.extract(images_path, folder, None, tasks)
    failed = read_manifest(folder).failed
    return [
        (feature_path(folder, task.name), f"{images_path.resolve()} {landmarks[task.name]}")
        for task in tasks
        if task.name not in failed
    ]


def fit_attention(
    photos: Sequence[tuple[Path, str]], samples: int, steps: int, seed: int
) -> tuple[Head, np.ndarray, np.ndarray]:
    """Train a head on features picked by their norm, in full length.

    Args:
        photos: feature files, and the landmark each shows.
        samples: features of a photo to learn from.
        steps: of the training.
        seed: of every choice.

    Returns:
        The head, and of the features it has learned from their worth and its score, float32 [N].

    Raises:
        UserError: there are not two landmarks with two photos each.
    """
    rng = np.random.default_rng(seed)
    _, landmarks = np.unique([landmark for _, landmark in photos], return_inverse=True)
    if (np.bincount(landmarks) > 1).sum() < 2:
        raise UserError(
            f"an attention cannot be fitted to {len(photos)} photos of {len(set(landmarks))} "
            "landmarks: two landmarks with two photos or more are needed"
        )
    files = [file for file, _ in photos]
    pca = fit_pca((read_features(file).descriptors for file in files), DIMENSIONS)
    reduced, chosen, raw, counts, picked = [], [], [], [], []
    for file in files:
        features = read_features(file)
        reduced.append(pca.project(features.descriptors, DIMENSIONS, whiten=False))
        counts.append(len(features))
        enough = samples if len(features) >= LEAST_FEATURES else 0
        rows = np.sort(rng.permutation(len(features))[:enough])
        # The file holds directions and, as the score they were picked by, lengths.
        raw.append((features.descriptors * features.attention[:, None])[rows].astype(np.float16))
        chosen.append(reduced[-1][rows])
        picked.append(len(rows))
    numbers = np.arange(len(files))
    of_photo = np.repeat(numbers, picked)
    base = np.concatenate(reduced)
    queries = np.concatenate(chosen)
    worth = own_share(queries, of_photo, base, np.repeat(numbers, counts), landmarks, seed)
    features = np.concatenate(raw)
    head = train_head(features, worth, landmarks[of_photo], steps, seed)
    return head, worth, head.score(features.astype(np.float32))


def main() -> None:
    """Fit an attention and write a checkpoint with it."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="weights (.ckpt, or ImageNet .h5)")
    add_labelled_photos_arguments(parser)
    parser.add_argument("--output", default="attention.ckpt", help="the checkpoint to write")
    parser.add_argument(
        "--work_path",
        default=str(kept_root() / "runs" / "attention"),
        help="where features are kept, so that a run can be continued: 4 kB each",
    )
    many, least = number(int, "max_feature_num"), number(int, "max_iters")
    parser.add_argument("--features", type=many, default=400, help="kept of a photo, by norm")
    parser.add_argument("--samples", type=many, default=140, help="of them, to learn from")
    parser.add_argument("--steps", type=least, default=700, help="of 1,024 features")
    parser.add_argument("--seed", type=number(int, "seed"), default=0, help="of every choice")
    side = number(int, "max_level_side")
    parser.add_argument("--max_level_side", type=side, default=1024, help="of the pyramid")
    add_engine_arguments(parser)
    arguments = parser.parse_args()
    check_writable(arguments.output)
    side = arguments.max_level_side
    engine = choose_engine(
        EngineSettings(
            name=arguments.engine,
            checkpoint=arguments.checkpoint,
            max_level_side=side,
            precision=arguments.precision,
        )
    )
    config = DelfConfig(
        max_feature_num=arguments.features, max_level_side=side, score="norm", use_pca=False
    )
    describer = Describer(engine, config, arguments.checkpoint)
    left_out, work = read_left_out(arguments.leave_out), Path(arguments.work_path)
    photos = []
    for path in map(Path, arguments.images_path):
        photos += described_landmarks(describer, path, left_out, work)
    head, worth, scores = fit_attention(photos, arguments.samples, arguments.steps, arguments.seed)
    backbone = {
        name: value
        for name, value in read_weights(arguments.checkpoint).items()
        if name.startswith("backbone.")
    }
    write_checkpoint(arguments.output, {**backbone, **head.weights()})
    LOG.info(
        "%s: of %d features of %d photos, score and worth correlate by %.2f; "
        "--checkpoint_path=%s picks features by it",
        *(arguments.output, len(worth), len(photos)),
        *(np.corrcoef(scores, worth)[0, 1], arguments.output),
    )


if __name__ == "__main__":
    run_command(main)
