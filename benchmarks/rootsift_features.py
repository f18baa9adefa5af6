"""A yardstick: RootSIFT features of a photo folder, in the format of the DELF features.

RootSIFT (Arandjelović and Zisserman, CVPR 2012) is the best known hand-made local descriptor: SIFT,
divided by its sum, square root taken. The same index, search and verification run on it, so that
what DELF adds can be read off two `mAP.txt` files:

    python benchmarks/rootsift_features.py --images_path=PHOTOS --output_path=runs/rootsift \
        --gt_path=GROUND_TRUTH
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
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.yardsticks import Images, make_folder, report_map
from src.common.atomic_files import PathLike
from src.common.errors import run_command
from src.dataset import read_ground_truth
from src.feature_io import Features, Manifest, feature_path, write_features
from src.index.build import build_index
from src.photos.reading import UnreadableImageError, read_image
from src.ranking.all_queries import retrieve


def rootsift(image: np.ndarray, max_features: int) -> Features:
    """Return the RootSIFT features of an image, the strongest first.

    Args:
        image: uint8 [H, W].
        max_features: how many to keep, by the detector's response.
    """
    keypoints, descriptors = cv2.SIFT_create().detectAndCompute(image, None)
    if not keypoints:
        return Features.empty(128)
    response = np.array([keypoint.response for keypoint in keypoints])
    strongest = np.argsort(-response, kind="stable")[:max_features]
    descriptors = descriptors[strongest]
    descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12))
    points = np.array([keypoint.pt for keypoint in keypoints])[strongest]
    sizes = np.array([keypoint.size for keypoint in keypoints])[strongest]
    return Features(points[:, ::-1], sizes, descriptors, response[strongest])


def _extract_one(
    image: tuple[str, str], images_path: Path, output_path: Path, max_features: int
) -> tuple[str, str]:
    """Write the features of one photo; return its name and why that failed ("" if it did not)."""
    name, file = image
    cv2.setNumThreads(1)
    try:
        photo = read_image(images_path / file)
    except UnreadableImageError as error:
        return name, str(error)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    write_features(feature_path(output_path, name), rootsift(grey, max_features))
    return name, ""


def extract_rootsift(
    images_path: PathLike, output_path: PathLike, max_features: int = 1000, workers: int = 1
) -> Manifest:
    """Write a feature folder of all photos of a folder; what is there already is kept.

    Raises:
        UserError: when there are no photos or two of a name, or the folder holds features of other
            settings.
    """
    extract = partial(
        _extract_one,
        images_path=Path(images_path),
        output_path=Path(output_path),
        max_features=max_features,
    )

    def extract_all(images: Images) -> dict[str, str]:
        with get_context("spawn").Pool(workers) as pool:
            done = pool.imap(extract, images)
            results = list(tqdm(done, total=len(images), desc="RootSIFT", disable=None))
        return {name: reason for name, reason in results if reason}

    settings = {"features": "RootSIFT", "max_feature_num": max_features}
    return make_folder(images_path, output_path, settings, "features", extract_all)


def main() -> None:
    """Extract, and evaluate where a ground truth is given."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images_path", type=Path, required=True, help="the photos")
    parser.add_argument(
        "--output_path", type=Path, required=True, help="gets features, index, ranks and mAP.txt"
    )
    parser.add_argument("--gt_path", type=Path, help="ground truth; without it, features only")
    parser.add_argument("--max_features", type=int, default=1000, help="features an image")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    args = parser.parse_args()
    features_path = args.output_path / "features"
    manifest = extract_rootsift(args.images_path, features_path, args.max_features, args.workers)
    if args.gt_path is None:
        return
    ground_truth = read_ground_truth(args.gt_path, manifest.names)
    index_path = args.output_path / "index"
    build_index(features_path, index_path)
    ranks = retrieve(
        index_path,
        features_path,
        {query.label: query.name for query in ground_truth.queries},
        args.output_path / "retrieval_dataset",
        workers=args.workers,
    )
    report_map(args.output_path / "mAP.txt", ranks, ground_truth)


if __name__ == "__main__":
    run_command(main)
