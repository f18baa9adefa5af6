"""Render a small world of landmarks: python3 -m sample_world --output_directory=DIR."""

from __future__ import annotations

if __name__ == "__main__":  # as a module, or by its path from any folder; by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import logging
from pathlib import Path

from sample_world.build import build_sample_world
from sample_world.contact_sheet import CONTACT_SHEET
from sample_world.options import WorldOptions
from src.common.errors import run_command

LOG = logging.getLogger(__name__)

_HELP = {
    "seed": "decides everything that is drawn",
    "train_landmarks": "landmarks (classes) to train on",
    "train_photos": "photos of each of them",
    "retrieval_landmarks": "landmarks to search for; none of them is trained on",
    "retrieval_photos": "photos of each of them",
    "queries": "how many of these are queries",
    "distractors": "further photos among which to search: other buildings, streets, parks",
    "width": "width of a landscape photo in pixels; portraits are turned",
    "height": "its height",
}


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(
        prog="python3 -m sample_world",
        description="Render a small world of landmarks: training photos in the layout of Google "
        "Landmarks v2, photos to search in that of Oxford5k.",
    )
    defaults = WorldOptions()
    parser.add_argument("--output_directory", required=True, help="folder to write")
    for name, text in _HELP.items():
        value = getattr(defaults, name)
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{text} ({value})")
    parser.add_argument(
        "--num_workers", type=int, default=None, help="processes to use (one a processor)"
    )
    arguments = parser.parse_args()
    options = WorldOptions(**{name: getattr(arguments, name) for name in _HELP})
    summary = build_sample_world(arguments.output_directory, options, arguments.num_workers)
    classes = summary["visibility"]
    LOG.info(
        "%d training photos of %d landmarks; %d photos to search (%d good, %d ok, %d junk, "
        "%d without a landmark), %d queries; see %s",
        summary["train_photos"],
        options.train_landmarks,
        summary["retrieval_photos"] + summary["distractors"],
        classes["good"],
        classes["ok"],
        classes["junk"],
        summary["distractors"],
        summary["queries"],
        Path(arguments.output_directory) / CONTACT_SHEET,
    )


if __name__ == "__main__":
    run_command(main)
