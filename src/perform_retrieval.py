"""Rank the images of an index for the queries of a ground truth."""

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
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from model_utils.bounds import number
from src.common.cpus import cpu_count
from src.common.errors import run_command
from src.dataset import read_ground_truth, refuse_missing
from src.index.folder import load_index
from src.ranking.all_queries import OUTPUT_FOLDER, retrieve
from src.ranking.settings import RetrievalSettings


def main(arguments: Sequence[str] | None = None) -> None:
    """Rank the queries of a ground truth from the command line."""
    defaults = RetrievalSettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index_path", type=Path, required=True, help="index folder")
    parser.add_argument(
        "--features_path", type=Path, required=True, help="features of the query images"
    )
    parser.add_argument("--gt_path", type=Path, required=True, help="ground truth folder")
    parser.add_argument(
        "--output_path", type=Path, default=OUTPUT_FOLDER, help="results (%(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=number(int, "workers", "retrieval_workers", min=1),
        default=cpu_count(),
        help="(%(default)s)",
    )
    parser.add_argument(
        "--num_neighbors",
        "--neighbours",
        type=number(int, "num_neighbors"),
        default=defaults.neighbours,
        help="votes of a query descriptor (%(default)s)",
    )
    parser.add_argument(
        "--missing_images",
        choices=("refuse", "ignore"),
        default="refuse",
        help="images of the ground truth that do not exist, more than a tenth (%(default)s)",
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="rank as published: by inliers alone, of any map and of all matches",
    )
    args = parser.parse_args(arguments)
    settings = RetrievalSettings.plain() if args.plain else defaults
    settings = replace(settings, neighbours=args.num_neighbors)
    ground_truth = read_ground_truth(args.gt_path, load_index(args.index_path).names)
    refuse_missing(ground_truth, args.gt_path, args.missing_images)
    retrieve(
        args.index_path,
        args.features_path,
        {query.label: query.name for query in ground_truth.queries},
        args.output_path,
        settings,
        args.workers,
    )


if __name__ == "__main__":
    run_command(main)
