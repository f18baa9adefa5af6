"""Build MindRecord shards from the photos and tables of Google Landmarks v2."""

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
from src.shards.build import MAX_WORKERS, BuildSettings, build_image_dataset
from src.shards.plan import DEFAULT_MAX_SHARDS, IMAGES_A_SHARD, MAX_SHARDS


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Build MindRecord shards from the photos and tables of Google Landmarks v2."
    )
    parser.add_argument("--train_csv_path", help="train.csv; photos it does not list are left out")
    parser.add_argument("--train_clean_csv_path", required=True, help="train_clean.csv")
    parser.add_argument(
        "--train_directory",
        required=True,
        nargs="+",
        help="folder of the photos, searched with its sub-folders, or a pattern like train/*/*/*/",
    )
    parser.add_argument("--output_directory", required=True, help="where the shards go")
    parser.add_argument(
        "--num_shards",
        type=number(int, "num_shards", min=1, max=MAX_SHARDS),
        help=f"shards of each set (default: one for {IMAGES_A_SHARD:,} photos, at most "
        f"{DEFAULT_MAX_SHARDS})",
    )
    parser.add_argument(
        "--validation_split_size",
        type=number(float, "validation_split_size", min=0.0, below=1.0),
        default=0.2,
        help="share of each landmark's photos kept for validation (default: 0.2)",
    )
    seed, workers = number(int, "seed"), number(int, "num_workers", min=1, max=MAX_WORKERS)
    parser.add_argument("--seed", type=seed, default=0, help="of split and order (default: 0)")
    parser.add_argument("--num_workers", type=workers, help="processes (default: one a core)")
    parser.add_argument(
        "--max_bad_fraction",
        type=number(float, "max_bad_fraction"),
        default=0.5,
        help="share of the listed photos that may be missing or unreadable (default: 0.5)",
    )
    build_image_dataset(BuildSettings(**vars(parser.parse_args())))


if __name__ == "__main__":
    run_command(main)
