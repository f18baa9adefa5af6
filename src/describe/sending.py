"""Preprocessing for the inference program: photos in, a stream of their pyramids out.

The first of the three parts of the chain (see `src/describe/engines/lite_program.py`): it writes
to standard output what ascend310_infer reads. Pixels cross as uint8, one photo is decoded ahead,
and the pipe holds it back when the network is slower.

    python3 src/preprocess.py --images_path=PHOTOS | delf_infer --model=MINDIR | …
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from src.common.atomic_files import PathLike
from src.common.errors import one_line
from src.delf_config import DelfConfig
from src.describe.level_stream import LevelWriter
from src.describe.tasks import PhotoTask, decoded_ahead
from src.extract_utils_np import enough_side, resize_levels
from src.photos.reading import UnreadableImageError


def send_photos(
    images_path: PathLike, tasks: Sequence[PhotoTask], config: DelfConfig, stream: BinaryIO
) -> None:
    """Write the pyramids of photos to a stream, in order; of an unreadable one the reason.

    The context of a photo holds the `height` and `width` in pixels of what is described, the
    `origin` (y, x) of its first pixel in the whole photo and the size of that (`photo`); that of a
    note the `reason`.
    """
    writer = LevelWriter(stream)
    for task, decoded in decoded_ahead(images_path, tasks, enough_side(config)):
        try:
            image, origin, size, whole = decoded.result()
        except UnreadableImageError as error:
            writer.note(task.name, {"reason": one_line(error)})
            continue
        height, width = size
        context = {"height": height, "width": width, "origin": origin, "photo": whole}
        levels = resize_levels(image, config, size)
        writer.photo(task.name, context, (level for _, level in levels))
    writer.end()
