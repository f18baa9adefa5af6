"""Batches of few fixed sizes, for a device that compiles the network anew for each input's size.

A level of a photo goes into the smallest size that holds it, together with levels of other photos.
A batch that is full leaves at once; what is left at the end, or has waited for too long, leaves one
by one. So there are two graphs for each size that occurs, and no place of a batch is empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.delf_config import CELL_STRIDE, DelfConfig
from src.describe.levels import photo_levels
from src.describe.tasks import PhotoTask
from src.extract_utils_np import LevelOutput
from src.postprocess import PhotoOutputs

#: A size lies or stands by the shape of most photos, 4:3, which holds 3:2 and 16:9 too.
_SHORT = 3 / 4


@dataclass(frozen=True)
class StaticPlan:
    """What a device with static shapes is asked for.

    Attributes:
        sizes: (height, width) in pixels of the inputs, by area.
        batch: levels of a full batch.
    """

    sizes: tuple[tuple[int, int], ...]
    batch: int

    @classmethod
    def of(cls, sides: Sequence[int], longest: int, batch: int) -> StaticPlan:
        """Return the sizes for levels of up to `longest` pixels: each side lying, standing, square.

        Args:
            sides: longer sides of the sizes; what is beyond `longest` is left out, and it is added.
            longest: the setting `max_level_side`.
            batch: levels of a full batch.
        """
        sizes = set()
        for side in {*(side for side in sides if side < longest), longest}:
            long, short = _whole(side), _whole(side * _SHORT)
            sizes |= {(long, long), (short, long), (long, short)}
        return cls(tuple(sorted(sizes, key=lambda size: (size[0] * size[1], size))), batch)

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """Return the smallest size that holds a level."""
        for size in self.sizes:
            if height <= size[0] and width <= size[1]:
                return size
        raise UserError(
            f"a level of {height}×{width} pixels does not fit the network's largest input, "
            f"{self.sizes[-1][0]}×{self.sizes[-1][1]}; set max_level_side to at least its sides"
        )


def _whole(side: float) -> int:
    """Return the next multiple of the stride, so that each feature map is a whole one."""
    return -int(-side // CELL_STRIDE) * CELL_STRIDE


@dataclass
class StaticPhoto:
    """A photo under way.

    Attributes:
        name: of the photo's features.
        outputs: of its levels, None for those that are still to come; None as a whole for a photo
            that could not be read.
        size, origin, photo_size, reason: see `PhotoOutputs`.
    """

    name: str
    outputs: list[LevelOutput | None] | None
    size: tuple[int, int] = (0, 0)
    origin: tuple[int, int] = (0, 0)
    photo_size: tuple[int, int] | None = None
    reason: str = ""

    def result(self) -> PhotoOutputs | None:
        """Return what the network says of it once it has all been said."""
        if self.outputs is not None and any(output is None for output in self.outputs):
            return None
        return PhotoOutputs(
            self.name, self.outputs, self.size, self.origin, self.reason, self.photo_size
        )


class StaticBatch(NamedTuple):
    """Levels that go through the network together.

    Attributes:
        images: float32 [N, 3, H, W], (x − 128)/128; 0 outside of the levels.
        sides: int32 [N, 2], height and width of each level.
        places: whose level it is, and which one.
    """

    images: np.ndarray
    sides: np.ndarray
    places: list[tuple[StaticPhoto, int]]

    def take(self, features: np.ndarray, scores: np.ndarray) -> None:
        """Give each photo what the network says: features [N, h, w, C] and scores [N, h, w]."""
        for number, (photo, level) in enumerate(self.places):
            rows, columns = -(-self.sides[number] // CELL_STRIDE)
            cells = np.s_[number, :rows, :columns]
            # Copies: a view would keep the whole batch.
            photo.outputs[level] = LevelOutput(features[cells].copy(), scores[cells].copy())


class Waiting(NamedTuple):
    """A level that has no batch yet: uint8 [h, w, 3], whose, and which one."""

    pixels: np.ndarray
    photo: StaticPhoto
    level: int


@dataclass
class Gathering:
    """Levels on their way into batches.

    No photo waits until more than `2 · batch` others have come after it, so that as many are in
    memory at most.
    """

    plan: StaticPlan
    _waiting: dict[tuple[int, int], list[Waiting]] = field(default_factory=dict)
    _photos: deque[StaticPhoto] = field(default_factory=deque)

    def add(self, photo: StaticPhoto, levels: Sequence[np.ndarray]) -> Iterator[StaticBatch]:
        """Yield what can leave now that a photo has come."""
        for number, pixels in enumerate(levels):
            size = self.plan.size_for(*pixels.shape[:2])
            waiting = self._waiting.setdefault(size, [])
            waiting.append(Waiting(pixels, photo, number))
            if len(waiting) == self.plan.batch:
                yield _batch(size, self._waiting.pop(size))
        self._photos.append(photo)
        if len(self._photos) > 2 * self.plan.batch:
            yield from self._without(self._photos.popleft())

    def rest(self) -> Iterator[StaticBatch]:
        """Yield what is left, level by level, the levels of the oldest photo first."""
        while self._photos:
            yield from self._without(self._photos.popleft())

    def _without(self, photo: StaticPhoto) -> Iterator[StaticBatch]:
        for size, waiting in list(self._waiting.items()):
            leaving = [one for one in waiting if one.photo is photo]
            self._waiting[size] = [one for one in waiting if one.photo is not photo]
            for one in leaving:
                yield _batch(size, [one])


def _batch(size: tuple[int, int], levels: Sequence[Waiting]) -> StaticBatch:
    images = np.zeros((len(levels), 3, *size), np.float32)
    for image, (pixels, _, _) in zip(images, levels):
        height, width = pixels.shape[:2]
        inside = image[:, :height, :width]
        np.multiply(pixels.transpose(2, 0, 1), np.float32(1 / 128), out=inside)
        inside -= 1
    sides = np.array([one.pixels.shape[:2] for one in levels], np.int32)
    return StaticBatch(images, sides, [(one.photo, one.level) for one in levels])


def static_batches(
    plan: StaticPlan, images_path: PathLike, tasks: Iterable[PhotoTask], config: DelfConfig
) -> Iterator[tuple[list[StaticPhoto], StaticBatch | None]]:
    """Read photos and yield the batches of their levels, each with the photos since the last one.

    The photos come in order, each before or with the first batch that holds a level of it; those
    behind the last batch come without one.
    """
    gathering, read = Gathering(plan), []
    for name, levels, *rest in photo_levels(images_path, tasks, config):
        photo = StaticPhoto(name, None if levels is None else [None] * len(levels), *rest)
        read.append(photo)
        for batch in gathering.add(photo, levels or []):
            yield read, batch
            read = []
    for batch in gathering.rest():
        yield read, batch
        read = []
    if read:
        yield read, None
