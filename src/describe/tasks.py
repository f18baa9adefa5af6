"""Which photos to describe, and decoding them ahead of whoever needs the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.photos.finding import list_images
from src.photos.names import PhotoNames
from src.photos.places import Place, list_places, photo_place
from src.photos.reading import UnreadableImageError, read_enough, read_image

Box = tuple[float, float, float, float]  # x1, y1, x2, y2 as in the ground truth


class PhotoTask(NamedTuple):
    """A photo to describe.

    Attributes:
        name: what its features are called.
        file: path relative to the folder of photos.
        box: the part to describe; None for all of it.
        turn: quarter turns, counter-clockwise, by which it is turned before it is described.
    """

    name: str
    file: str
    box: Box | None = None
    turn: int = 0


def list_tasks(images_path: PathLike) -> list[PhotoTask]:
    """Return all photos of a folder, a list or archives, sorted by name, to be described whole.

    Raises:
        UserError: as `places.list_places`.
    """
    return [PhotoTask(name, file) for name, file in list_places(images_path)]


def chosen_tasks(
    images_path: PathLike, photos: Mapping[str, str], boxes: Mapping[str, Box] | None = None
) -> list[PhotoTask]:
    """Return some photos of a folder, or parts of them, sorted by the names of their features.

    Args:
        images_path: the folder.
        photos: name of the features → name of the photo; a photo may stand there several times.
        boxes: (x1, y1, x2, y2) of the part to describe, by name of the features; others are used
            whole. Locations count in the whole photo all the same.

    Raises:
        UserError: a photo is not in the folder.
    """
    files = dict(list_images(images_path))
    known = PhotoNames(files)
    found = {photo: known.find(photo) for photo in set(photos.values())}
    missing = sorted(photo for photo, name in found.items() if name is None)
    if missing:
        raise UserError(
            f"{len(missing)} of the images asked for are not in {images_path}: "
            f"{', '.join(missing[:5])}{', …' if len(missing) > 5 else ''}"
        )
    boxes = boxes or {}
    return [
        PhotoTask(name, files[found[photo]], boxes.get(name))
        for name, photo in sorted(photos.items())
    ]


class PhotoPart(NamedTuple):
    """A photo, or a part of it, that was read.

    Attributes:
        pixels: uint8 [H, W, 3], RGB; fewer than the photo has where it was read reduced.
        origin: (y, x) of the part's first pixel in the whole photo, as that lies.
        size: (height, width) of the part as it was turned, in pixels of the photo.
        photo_size: (height, width) in pixels of the whole photo.
    """

    pixels: np.ndarray
    origin: tuple[int, int]
    size: tuple[int, int]
    photo_size: tuple[int, int]


def read_cropped(
    path: Place, box: Box | None, least_side: int | None = None, turn: int = 0
) -> PhotoPart:
    """Read a photo, or the part of it inside a box.

    Args:
        path: the photo.
        box: the part; None for all of it.
        least_side: see `photos.reading.read_image`; a photo with a box is read as it is.
        turn: see `PhotoTask`.

    Raises:
        UnreadableImageError: the photo cannot be read, or the box holds nothing of it.
    """
    if box is None:
        image, size, _ = read_enough(path, least_side)
        return _turned(PhotoPart(image, (0, 0), size, size), turn)
    image = read_image(path)
    height, width = image.shape[:2]
    left, right = (min(max(round(x), 0), width) for x in (box[0], box[2]))
    top, bottom = (min(max(round(y), 0), height) for y in (box[1], box[3]))
    if left >= right or top >= bottom:
        raise UnreadableImageError(f"box {tuple(box)} holds nothing of {path} ({width}×{height})")
    part = image[top:bottom, left:right]
    found = PhotoPart(part, (top, left), (bottom - top, right - left), (height, width))
    return _turned(found, turn)


def _turned(part: PhotoPart, turn: int) -> PhotoPart:
    if not turn:
        return part
    size = part.size[::-1] if turn % 2 else part.size
    return part._replace(pixels=np.ascontiguousarray(np.rot90(part.pixels, turn)), size=size)


def decoded_ahead(
    images_path: PathLike, tasks: Sequence[PhotoTask], least_side: int | None = None
) -> Iterator[tuple[PhotoTask, Future]]:
    """Yield each task with the future of its `read_cropped`, the next photo being read meanwhile.

    One photo ahead, never more: a large one takes half a gigabyte.
    """

    def read(task: PhotoTask) -> PhotoPart:
        return read_cropped(photo_place(images_path, task.file), task.box, least_side, task.turn)

    with ThreadPoolExecutor(1, thread_name_prefix="decode") as decoder:
        coming = decoder.submit(read, tasks[0]) if tasks else None
        for number, task in enumerate(tasks):
            current = coming
            if number + 1 < len(tasks):
                coming = decoder.submit(read, tasks[number + 1])
            yield task, current
