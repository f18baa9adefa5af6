"""The input pipeline of the training: MindRecord shards → batches of cropped, normalised photos.

All that is random about a photo (crop, flip) follows from the seed, the epoch and the photo's id,
and the order of an epoch from the seed and the epoch. So the batches are the same with any number
of workers, and a training that goes on at a later step sees what it would have seen.

A batch is made in one call that fills one array: OpenCV decodes (at a half, a quarter or an eighth
of the size where that is enough), crops and scales 8-bit pixels, and only the finished crop is
turned into floating point. OpenCV works without Python's lock, so the workers are threads.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import random
import threading
from typing import NamedTuple

import cv2
import mindspore.dataset as ds
import numpy as np

from src.errors import UserError
from src.photo_check import read_frame
from src.shard_index import Shards, count_classes, count_labels, find_shards

__all__ = ["count_classes", "create_dataset", "find_shards", "random_crop"]

LOG = logging.getLogger(__name__)

# The augmentation of DELF's training code in TensorFlow (google_landmarks_dataset).
CROP_AREA = (0.08, 1.0)  # share of the photo
CROP_ASPECT = (3.0 / 4.0, 4.0 / 3.0)  # width / height
CROP_ATTEMPTS = 100
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


def create_dataset(
    shards: Shards,
    *,
    image_size: int = 321,
    batch_size: int = 32,
    training: bool = True,
    seed: int = 0,
    num_parallel_workers: int | None = None,
    rank_id: int = 0,
    rank_size: int = 1,
    first_step: int = 0,
) -> ds.Dataset:
    """Make the pipeline of the training or the validation photos.

    Training: each epoch in a new order over all shards; a random crop of 8 to 100 % of the area and
    an aspect of 3/4 to 4/3, scaled to a square, flipped half of the time; the last, incomplete
    batch is left out. Validation: in a fixed order, the whole photo scaled to a square, all photos.

    Args:
        shards: one shard, whose siblings are found (`training` says of which split), a folder, or
            a list of shards to be read as they are.
        image_size: side of the square, pixels.
        batch_size: photos a batch.
        training: with or without augmentation, see above.
        seed: of order, crops and flips.
        num_parallel_workers: threads; None, or more than there are cores: one a core.
        rank_id: which device of `rank_size` this is; each photo goes to one device an epoch.
        rank_size: number of devices.
        first_step: batches already done when a training goes on; they are left out, whole epochs
            included, at no cost. An iterator's `num_epochs` counts from the very start all the
            same, and must be given (MindSpore does not skip in an endless iterator).

    Returns:
        Columns `image` float32 [B, 3, S, S], RGB, (x − 128) / 128, and `label` int32 [B].

    Raises:
        UserError: a shard is missing or cut short, or a setting is impossible.
    """
    if image_size < 1 or batch_size < 1 or seed < 0 or first_step < 0:
        raise UserError(
            f"image_size {image_size} and batch_size {batch_size} should be at least 1, "
            f"seed {seed} and first_step {first_step} at least 0"
        )
    if not 0 <= rank_id < rank_size:
        raise UserError(f"rank_id {rank_id} is not one of {rank_size} devices")
    files = find_shards(shards, "train" if training else "validation")
    photos = sum(sum(count_labels(file).values()) for file in files)
    if photos == 0:
        raise UserError(
            f"no photo in the {'training' if training else 'validation'} shards of {shards}"
        )
    workers = _allowed_workers(num_parallel_workers)
    # A prefetched batch of 32 is 40 MB, and MindSpore's default is sixteen of them for each step.
    ds.config.set_prefetch_size(_PREFETCHED_BATCHES)
    ds.config.set_seed(seed)
    rows = ds.MindDataset(
        files,
        columns_list=["data", "label", "file_id"],
        shuffle=ds.Shuffle.GLOBAL if training else False,
        num_parallel_workers=workers,
        num_shards=rank_size,
        shard_id=rank_id,
    )
    # Where the photos do not divide evenly MindDataset gives some of them to two devices.
    own = photos // rank_size
    if not training:
        own += rank_id < photos % rank_size
    if own < rows.get_dataset_size():
        rows = rows.take(own)
    batches = rows.batch(
        batch_size,
        drop_remainder=training,
        num_parallel_workers=workers,
        per_batch_map=_BatchMaker(image_size, training, seed),
        input_columns=["data", "label", "file_id"],
        output_columns=["image", "label"],
    ).project(["image", "label"])
    if first_step:
        batches.set_init_step(first_step)
    return batches


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
    cores = len(os.sched_getaffinity(0))
    if wanted is not None and wanted > cores:
        LOG.info("num_parallel_workers lowered from %d to %d, the number of cores", wanted, cores)
    return max(1, min(wanted or cores, cores))


class _BatchMaker:
    """Turns the rows of a batch into arrays; called by several threads at once."""

    def __init__(self, image_size: int, training: bool, seed: int):
        self.image_size = image_size
        self.training = training
        self.seed = seed
        # MindSpore copies what it is given, so each thread can fill the same array again.
        self.buffers = threading.local()

    def __call__(
        self,
        data: list[np.ndarray],
        labels: list[np.ndarray],
        ids: list[np.ndarray],
        info: ds.engine.datasets.BatchInfo,
    ) -> tuple[np.ndarray, np.ndarray]:
        images = self._buffer(len(data))
        epoch = info.get_epoch_num()
        for photo, photo_id, image in zip(data, ids, images):
            generator = None
            if self.training:
                key = f"{self.seed}/{epoch}/{photo_id}".encode()
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

    def _square(self, data: bytes, photo_id: str, generator: random.Random | None) -> np.ndarray:
        """Decode a photo and cut out its square, uint8 [S, S, 3], BGR."""
        frame = read_frame(data)
        if frame is None:
            raise UserError(f"photo {photo_id} in the shards is no JPEG; build the data set again")
        height, width = frame.height, frame.width
        box = (
            Box(0, 0, height, width) if generator is None else random_crop(height, width, generator)
        )
        reduction = 1
        while reduction < 8 and min(box.height, box.width) >= 2 * reduction * self.image_size:
            reduction *= 2
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[reduction])
        if pixels is None:
            raise UserError(f"photo {photo_id} in the shards is broken; build the data set again")
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
