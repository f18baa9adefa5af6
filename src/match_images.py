"""Match two photos by their features, and draw what agrees."""

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
from collections.abc import Sequence
from pathlib import Path

from src.common.errors import run_command
from src.evaluation.pair import match_images
from src.pages.match_picture import PICTURE_SUFFIXES


def main(arguments: Sequence[str] | None = None) -> None:
    """Match two photos from the command line; print the number of inliers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--list_images_path",
        type=Path,
        default=Path("list_images.txt"),
        help="file with the two names (%(default)s)",
    )
    parser.add_argument("--images_path", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--feature_path", type=Path, required=True, help="folder of their features")
    parser.add_argument(
        "--output_image", type=Path, default=Path("eval_match.png"), help="(%(default)s)"
    )
    args = parser.parse_args(arguments)
    if args.output_image.suffix.lower() not in PICTURE_SUFFIXES:
        parser.error(f"--output_image {args.output_image} has no suffix of an image file")
    match = match_images(
        args.list_images_path, args.images_path, args.feature_path, args.output_image
    )
    print(f"Found {match.inlier_count} inliers")


if __name__ == "__main__":
    run_command(main)
