"""The input pipeline of the training: MindRecord shards → batches of cropped, normalised photos.

All that is random about a photo (crop, flip) follows from the seed, the epoch and the photo's id,
and the order of an epoch from the seed and the epoch. So the batches are the same with any number
of workers, a training that goes on at a later step sees what it would have seen, and R devices with
batches of b photos together do the same steps as one device with batches of R·b.

A batch is made in one call that fills one array: OpenCV decodes (at a half, a quarter or an eighth
of the size where that is enough), crops and scales 8-bit pixels, and only the finished crop is
turned into floating point. OpenCV works without Python's lock, so the workers are threads.
"""

from __future__ import annotations

import hashlib
import logging
import math
import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import mindspore.dataset as ds
import numpy as np
from mindspore import Tensor

from src.common.cpus import cpu_count
from src.common.errors import UserError, first_line
from src.photos.jpeg_frame import read_frame
from src.shards.inventory import Shards, count_classes, count_labels, find_shards

__all__ = ["PhotoBatches", "count_classes", "create_dataset", "find_shards", "random_crop"]

LOG = logging.getLogger(__name__)

# Area, aspect and attempts are those of DELF's training code in TensorFlow (datasets/
# googlelandmarks.py; there a crop must also cover a tenth of the photo, which cuts 0.08 to 0.1).
CROP_AREA = (0.08, 1.0)  # share of the photo
CROP_ASPECT = (3.0 / 4.0, 4.0 / 3.0)  # width / height
CROP_ATTEMPTS = 100
# Of our own: TensorFlow's code can flip too, but has it switched off (random_reflection = False).
FLIP_PROBABILITY = 0.5

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_NORMALISED = ((np.arange(256) - 128) / 128).astype(np.float32)  # by 8-bit value
_PREFETCHED_BATCHES = 3


class Box(NamedTuple):
    """A part of a photo, in pixels."""

    top: int
    left: int
    height: int
    width: int


class PhotoBatches:
    """The batches that one of several devices gets from the photos of a split.

    Training: each epoch in a new order over all shards; a random crop of 8 to 100 % of the area and
    an aspect of 3/4 to 4/3, scaled to a square, flipped half of the time. Step k of an epoch is the
    k-th run of rank_size · batch_size photos of that order, of which each device takes its part;
    what is left over at the end is left out. Validation: in a fixed order, the whole photo scaled
    to a square, all photos, divided among the devices.

    Args:
        shards: one shard, whose siblings are found (`training` says of which split), a folder, or
            a list of shards to be read as they are.
        image_size: side of the square, pixels.
        batch_size: photos a batch and device.
        training: with or without augmentation, see above.
        seed: of order, crops and flips.
        num_parallel_workers: threads; None, or more than there are cores: one a core.
        rank_id: which device of `rank_size` this is; each photo goes to one device an epoch.
        rank_size: number of devices.
        batches_a_step: batches of each device whose gradients make one step; an epoch holds whole
            steps.
        most_photos: of a validation; the same ones each time, spread evenly over the shards. 0:
            all.

    Raises:
        UserError: a shard is missing or cut short, or a setting is impossible.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        image_size: int = 321,
        batch_size: int = 32,
        training: bool = True,
        seed: int = 0,
        num_parallel_workers: int | None = None,
        rank_id: int = 0,
        rank_size: int = 1,
        batches_a_step: int = 1,
        most_photos: int = 0,
    ):
        if image_size < 1 or batch_size < 1 or seed < 0:
            raise UserError(
                f"image_size {image_size} and batch_size {batch_size} should be at least 1, "
                f"seed {seed} at least 0"
            )
        if not 0 <= rank_id < rank_size:
            raise UserError(f"rank_id {rank_id} is not one of {rank_size} devices")
        self.files = find_shards(shards, "train" if training else "validation")
        self.photos = sum(sum(count_labels(file).values()) for file in self.files)
        if self.photos == 0:
            raise UserError(
                f"no photo in the {'training' if training else 'validation'} shards of {shards}"
            )
        self._there = self.photos
        if most_photos and not training:
            self.photos = min(self.photos, most_photos)
        self.image_size = image_size
        self.batch_size = batch_size
        self.training = training
        self.seed = seed
        self.workers = _allowed_workers(num_parallel_workers)
        self.rank_id = rank_id
        self.rank_size = rank_size
        self.batches_a_step = batches_a_step
        self.steps_per_epoch = self.photos // (batch_size * rank_size * batches_a_step)

    def epoch(self, epoch: int = 0, first_step: int = 0) -> ds.Dataset:
        """Make the pipeline of an epoch (counted from 0) from a step of it on (counted from 0).

        Columns `image` float32 [B, 3, S, S], RGB, (x − 128) / 128, and `label` int32 [B].
        """
        return self._pipeline(epoch, first_step, [])

    def batches(
        self, epoch: int = 0, first_step: int = 0, output_numpy: bool = False
    ) -> Iterator[Sequence[Any]]:
        """Yield what the pipeline of an epoch gives, from a step of it on.

        Raises:
            UserError: a photo is broken, or a shard cannot be read; MindSpore says that by a
                `RuntimeError` of many lines.
        """
        faults: list[UserError] = []
        pipeline = self._pipeline(epoch, first_step, faults)
        try:
            yield from pipeline.create_tuple_iterator(num_epochs=1, output_numpy=output_numpy)
        except RuntimeError as error:
            if faults:
                raise faults[0] from None
            raise UserError(
                f"the shards in {Path(self.files[0]).parent} cannot be read ({first_line(error)}); "
                "copy them again, or build the data set again"
            ) from error

    def _pipeline(self, epoch: int, first_step: int, faults: list[UserError]) -> ds.Dataset:
        """Make the pipeline of an epoch; what is wrong with a photo goes into `faults`."""
        skipped = first_step * self.batches_a_step * self.batch_size
        maker = _BatchMaker(self.image_size, self.training, self.seed, epoch, self.files, faults)
        # A prefetched batch of 32 is 40 MB, and MindSpore's default is sixteen of them for each
        # operation.
        ds.config.set_prefetch_size(_PREFETCHED_BATCHES)
        rows = ds.MindDataset(
            self.files,
            columns_list=["data", "label", "file_id"],
            num_parallel_workers=self.workers,
            sampler=ds.SubsetSampler(self._rows(epoch)[skipped:].tolist()),
        )
        return rows.batch(
            self.batch_size,
            num_parallel_workers=self.workers,
            per_batch_map=maker,
            input_columns=["data", "label", "file_id"],
            output_columns=["image", "label"],
        ).project(["image", "label"])

    def from_step(self, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of all epochs without end, after those of the first `first_step` steps.

        What comes before costs nothing.
        """
        epoch, skipped = divmod(first_step, self.steps_per_epoch)
        while True:
            yield from self.batches(epoch, skipped)
            epoch, skipped = epoch + 1, 0

    def _rows(self, epoch: int) -> np.ndarray:
        """Return the numbers of the photos this device reads in an epoch, in order."""
        if not self.training:
            chosen = np.arange(self.photos) * self._there // self.photos
            return chosen[self.rank_id :: self.rank_size]
        order = np.random.default_rng([self.seed, epoch]).permutation(self.photos)
        batches = order[: len(order) // self.batch_size * self.batch_size]
        batches = batches.reshape(-1, self.batch_size)
        used = self.steps_per_epoch * self.batches_a_step * self.rank_size
        return batches[:used][self.rank_id :: self.rank_size].reshape(-1)


def create_dataset(
    shards: Shards, *, epoch: int = 0, first_step: int = 0, **options: int | bool | None
) -> ds.Dataset:
    """Make the pipeline of one epoch; `options` are those of `PhotoBatches`, which see."""
    return PhotoBatches(shards, **options).epoch(epoch, first_step)


def random_crop(height: int, width: int, generator: random.Random) -> Box:
    """Draw a part of a photo: area and aspect uniform in their ranges, anywhere it fits.

    Where no draw fits (a panorama), the largest part of a fitting aspect is taken.
    """
    for _ in range(CROP_ATTEMPTS):
        area = generator.uniform(*CROP_AREA) * height * width
        aspect = generator.uniform(*CROP_ASPECT)
        crop_height, crop_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < crop_height <= height and 0 < crop_width <= width:
            break
    else:
        crop_height = min(height, max(1, math.floor(width / CROP_ASPECT[0])))
        crop_width = min(width, max(1, math.floor(height * CROP_ASPECT[1])))
    top = generator.randint(0, height - crop_height)
    left = generator.randint(0, width - crop_width)
    return Box(top, left, crop_height, crop_width)


def _allowed_workers(wanted: int | None) -> int:
    cores = cpu_count()
    if wanted is not None and wanted > cores:
        LOG.info("num_parallel_workers lowered from %d to %d, the number of cores", wanted, cores)
    return max(1, min(wanted or cores, cores))


class _BatchMaker:
    """Turns the rows of a batch into arrays; called by several threads at once."""

    def __init__(
        self,
        image_size: int,
        training: bool,
        seed: int,
        epoch: int,
        files: Sequence[str],
        faults: list[UserError],
    ):
        self.files = files
        self.faults = faults
        self.image_size = image_size
        self.training = training
        self.seed = seed
        self.epoch = epoch
        # MindSpore copies what it is given, so each thread can fill the same array again.
        self.buffers = threading.local()

    def __call__(
        self,
        data: list[np.ndarray],
        labels: list[np.ndarray],
        ids: list[np.ndarray],
        _: ds.engine.datasets.BatchInfo,
    ) -> tuple[np.ndarray, np.ndarray]:
        images = self._buffer(len(data))
        for photo, photo_id, image in zip(data, ids, images):
            generator = None
            if self.training:
                key = f"{self.seed}/{self.epoch}/{photo_id}".encode()
                generator = random.Random(hashlib.blake2b(key, digest_size=16).digest())
            square = self._square(photo.tobytes(), str(photo_id), generator)
            for plane, target in zip(cv2.split(square), image[::-1]):  # BGR → RGB
                cv2.LUT(plane, _NORMALISED, dst=target)
        return images, np.array(labels, np.int32).reshape(-1)

    def _buffer(self, count: int) -> np.ndarray:
        buffer = getattr(self.buffers, "images", None)
        if buffer is None or len(buffer) < count:
            buffer = np.empty((count, 3, self.image_size, self.image_size), np.float32)
            self.buffers.images = buffer
        return buffer[:count]

    def _broken(self, photo_id: str, what: str) -> UserError:
        """Say that a photo is not what it should be, and in which shard: its name stands there."""
        places = [file for file in self.files if photo_id.encode() in Path(file).read_bytes()]
        where = " or ".join(places) or "the shards"
        fault = UserError(
            f"photo {photo_id} in {where} is {what}; copy the shard again, or build the data set "
            "again"
        )
        self.faults.append(fault)
        return fault

    def _square(self, data: bytes, photo_id: str, generator: random.Random | None) -> np.ndarray:
        """Decode a photo and cut out its square, uint8 [S, S, 3], BGR."""
        frame = read_frame(data)
        if frame is None:
            raise self._broken(photo_id, "no JPEG")
        height, width = frame.height, frame.width
        box = (
            Box(0, 0, height, width) if generator is None else random_crop(height, width, generator)
        )
        reduction = 1
        while reduction < 8 and min(box.height, box.width) >= 2 * reduction * self.image_size:
            reduction *= 2
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[reduction])
        if pixels is None:
            raise self._broken(photo_id, "broken")
        if (pixels.shape[0] > pixels.shape[1]) != (height > width) and height != width:
            # OpenCV has turned the photo upright by its EXIF orientation.
            height, width = width, height
            box = Box(box.left, box.top, box.width, box.height)
        rows, columns = pixels.shape[0] / height, pixels.shape[1] / width
        top, left = int(box.top * rows), int(box.left * columns)
        bottom = max(top + 1, math.ceil((box.top + box.height) * rows))
        right = max(left + 1, math.ceil((box.left + box.width) * columns))
        part = pixels[top:bottom, left:right]
        shrinks = min(part.shape[:2]) > 2 * self.image_size
        square = cv2.resize(
            part,
            (self.image_size, self.image_size),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )
        if generator is not None and generator.random() < FLIP_PROBABILITY:
            square = cv2.flip(square, 1)
        return square
