"""Preprocessing for the inference program: photos in, a stream of their pyramids out.

python3 src/preprocess.py --images_path=PHOTOS | delf_infer --model=MINDIR | …
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
import json
import sys
from pathlib import Path

import cv2

from src.common.errors import UserError, run_command
from src.delf_config import add_config_arguments, config_from_arguments
from src.describe.sending import send_photos
from src.describe.tasks import PhotoTask
from src.photos.finding import list_images


def _read_tasks(text: str) -> list[PhotoTask]:
    try:
        return [
            PhotoTask(name, file, box and tuple(box), *map(int, turn))
            for name, file, box, *turn in json.loads(text)
        ]
    except (ValueError, TypeError):
        raise UserError(
            "the list of photos is not JSON of [[name, file, box or null, quarter turns?], …]"
        ) from None


def main() -> None:
    """Stream the photos of a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--images_path", required=True, help="folder of photos")
    parser.add_argument(
        "--tasks_from_stdin",
        action="store_true",
        help="read the photos as JSON [[name, file, box or null, quarter turns?], …]; else all of "
        "the folder",
    )
    add_config_arguments(parser)
    arguments = parser.parse_args()
    if arguments.tasks_from_stdin:
        tasks = _read_tasks(sys.stdin.read())
    else:
        tasks = [PhotoTask(name, file) for name, file in list_images(arguments.images_path)]
    cv2.setNumThreads(1)  # the cores are the network's
    output = sys.stdout.buffer
    send_photos(Path(arguments.images_path), tasks, config_from_arguments(arguments), output)


if __name__ == "__main__":
    run_command(main)
