"""Photos and the levels of their pyramids, made one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import one_line
from src.delf_config import DelfConfig
from src.describe.tasks import PhotoTask, read_cropped
from src.extract_utils_np import enough_side, resize_levels
from src.photos.places import Place, photo_place
from src.photos.reading import UnreadableImageError


class PhotoLevels(NamedTuple):
    """A photo's levels, uint8 [h, w, 3], or the reason why there are none; see `PhotoOutputs`."""

    name: str
    levels: list[np.ndarray] | None
    size: tuple[int, int] = (0, 0)
    origin: tuple[int, int] = (0, 0)
    photo_size: tuple[int, int] | None = None
    reason: str = ""


def photo_levels(
    images_path: PathLike, tasks: Iterable[PhotoTask], config: DelfConfig
) -> Iterator[PhotoLevels]:
    """Read photos and make their levels; no photo is kept while the next one is read."""
    for task in tasks:
        yield _levels_of(photo_place(images_path, task.file), task, config)


def _levels_of(path: Place, task: PhotoTask, config: DelfConfig) -> PhotoLevels:
    try:
        photo = read_cropped(path, task.box, enough_side(config), task.turn)
    except UnreadableImageError as error:
        return PhotoLevels(task.name, None, reason=one_line(error))
    levels = [level for _, level in resize_levels(photo.pixels, config, photo.size)]
    return PhotoLevels(task.name, levels, photo.size, photo.origin, photo.photo_size)
