"""A yardstick: one global descriptor a photo, GeM of conv5 with the ImageNet weights.

Generalised-mean pooling (Radenović et al., PAMI 2019), p = 3, of the last convolution at three
scales, each of unit length, summed, and made unit length again; no whitening. What local features
with a search and RANSAC cost more must show beside it:

    python benchmarks/gem_descriptors.py --images_path=PHOTOS --output_path=runs/gem \
        --checkpoint=resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 --gt_path=GROUND_TRUTH

The folder has the layout of local features, one "feature" a photo.
"""

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
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.yardsticks import Images, make_folder, report_map
from src.common.atomic_files import PathLike
from src.common.errors import run_command
from src.dataset import read_ground_truth
from src.delf_config import DelfConfig
from src.extract_utils_np import build_pyramid
from src.feature_io import (
    Features,
    Manifest,
    feature_path,
    read_features,
    read_manifest,
    write_features,
)
from src.network.weight_files import read_weights
from src.network.weights import fingerprint, fold_batch_norm, load_weights
from src.photos.reading import UnreadableImageError, read_image

SCALES = (0.7071, 1.0, 1.4142)
POWER = 3.0
DIMENSION = 2048


def gem(features: np.ndarray, power: float = POWER) -> np.ndarray:
    """Return the generalised mean over the map, of unit length: [C] from [C, h, w] (not negative).

    Args:
        features: a map behind a ReLU.
        power: 1 is the mean; the larger, the nearer to the maximum.
    """
    means = np.mean(np.maximum(features, 1e-6).astype(np.float64) ** power, axis=(1, 2))
    pooled = means ** (1 / power)
    return pooled / np.linalg.norm(pooled)


def load_conv5(checkpoint: PathLike) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """Return conv5 of a checkpoint, [1, 3, H, W] → [2048, h, w], and the weights' fingerprint."""
    from model_utils.device import set_up_device

    set_up_device("CPU", 0)
    import mindspore as ms

    from src.delf_model import BN_EPSILON, ResNet50

    weights = {
        name[len("backbone.") :]: value
        for name, value in read_weights(checkpoint).items()
        if name.startswith("backbone.")
    }
    weights = fold_batch_norm(weights, BN_EPSILON)
    network = ResNet50(conv5=True, folded=True)
    load_weights(network, weights, str(checkpoint))
    network.set_train(False)
    network.set_inputs(ms.Tensor(shape=[1, 3, None, None], dtype=ms.float32))
    return lambda image: network(ms.Tensor(image)).asnumpy()[0], fingerprint(weights)


def describe(
    image: np.ndarray, network: Callable[[np.ndarray], np.ndarray], config: DelfConfig
) -> Features:
    """Return the descriptor of a photo, uint8 [H, W, 3], as its only feature."""
    levels = [gem(network(level)) for _, level in build_pyramid(image, config)]
    if not levels:
        return Features.empty(DIMENSION)
    total = np.sum(levels, axis=0)
    one = np.ones(1)
    return Features(np.zeros((1, 2)), one, (total / np.linalg.norm(total))[None], one)


def extract_gem(
    images_path: PathLike, output_path: PathLike, checkpoint: PathLike, max_level_side: int
) -> Manifest:
    """Describe all photos of a folder; what is there already is kept.

    Raises:
        UserError: when there are no photos or no weights, or the folder holds others' descriptors.
    """
    images_path, output_path = Path(images_path), Path(output_path)
    network, weights = load_conv5(checkpoint)
    config = DelfConfig(image_scales=SCALES, max_level_side=max_level_side)
    settings = {
        "features": "GeM conv5",
        "power": POWER,
        "image_scales": SCALES,
        "max_level_side": max_level_side,
        "network": weights,
    }

    def describe_all(images: Images) -> dict[str, str]:
        failed = {}
        for name, file in tqdm(images, desc="GeM", disable=None):
            try:
                features = describe(read_image(images_path / file), network, config)
            except UnreadableImageError as error:
                failed[name] = str(error)
                continue
            write_features(feature_path(output_path, name), features)
        return failed

    return make_folder(images_path, output_path, settings, "descriptors", describe_all)


def read_descriptors(folder: PathLike) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of a folder of global descriptors, and float32 [images, D].

    A photo without a descriptor has zeros, and is like none.
    """
    manifest = read_manifest(folder)
    rows = []
    for name in manifest.names:
        found = [] if name in manifest.failed else read_features(feature_path(folder, name))
        rows.append(found.descriptors[0] if len(found) else np.zeros(DIMENSION, np.float32))
    return manifest.names, np.stack(rows)


def rank_by_similarity(queries: np.ndarray, descriptors: np.ndarray) -> np.ndarray:
    """Return int32 [queries, images], the most similar (by dot product) first."""
    return np.argsort(-(queries @ descriptors.T), axis=1, kind="stable").astype(np.int32)


def main() -> None:
    """Describe, and evaluate where a ground truth is given."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images_path", type=Path, required=True, help="the photos")
    parser.add_argument(
        "--output_path", type=Path, required=True, help="gets descriptors and mAP.txt"
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="ImageNet weights, .h5")
    parser.add_argument("--gt_path", type=Path, help="ground truth; without it, descriptors only")
    parser.add_argument(
        "--max_level_side", type=int, default=1024, help="longest side, pixels (%(default)s)"
    )
    args = parser.parse_args()
    folder = args.output_path / "features"
    extract_gem(args.images_path, folder, args.checkpoint, args.max_level_side)
    if args.gt_path is None:
        return
    names, descriptors = read_descriptors(folder)
    ground_truth = read_ground_truth(args.gt_path, names)
    queries = descriptors[[query.image for query in ground_truth.queries]]
    ranks = rank_by_similarity(queries, descriptors)
    report_map(args.output_path / "mAP.txt", ranks, ground_truth)


if __name__ == "__main__":
    run_command(main)
