"""Preprocessing for the inference program: photos in, a stream of their pyramids out.

The first of the three parts of the chain (see `src/infer_program.py`): it writes to standard output
what ascend310_infer reads. Pixels cross as uint8, one photo is decoded ahead, and the pipe holds it
back when the network is slower.

    python3 src/preprocess.py --images_path=PHOTOS | delf_infer --model=MINDIR | …
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import cv2

from src.atomic_files import PathLike
from src.delf_config import DelfConfig
from src.errors import UserError, one_line, run_command
from src.extract_feature import add_config_arguments, config_from_arguments
from src.extract_utils_np import resize_levels
from src.images import UnreadableImageError, list_images
from src.level_stream import LevelWriter
from src.photo_task import PhotoTask, decoded_ahead


def send_photos(
    images_path: PathLike, tasks: Sequence[PhotoTask], config: DelfConfig, stream: BinaryIO
) -> None:
    """Write the pyramids of photos to a stream, in order; of an unreadable one the reason.

    The context of a photo holds its `height` and `width` in pixels and the `origin` (y, x) of its
    first pixel in the whole photo; that of a note the `reason`.
    """
    writer = LevelWriter(stream)
    for task, decoded in decoded_ahead(images_path, tasks):
        try:
            image, origin = decoded.result()
        except UnreadableImageError as error:
            writer.note(task.name, {"reason": one_line(error)})
            continue
        height, width = image.shape[:2]
        context = {"height": height, "width": width, "origin": origin}
        writer.photo(task.name, context, (level for _, level in resize_levels(image, config)))
    writer.end()


def _read_tasks(text: str) -> list[PhotoTask]:
    try:
        return [PhotoTask(name, file, box and tuple(box)) for name, file, box in json.loads(text)]
    except (ValueError, TypeError):
        raise UserError(
            "the list of photos is not JSON of [[name, file, box or null], …]"
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
        help="read the photos as JSON [[name, file, box or null], …]; else all of the folder",
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
