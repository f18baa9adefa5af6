"""Pictures with the statistics of photos, for benchmarks that are given none."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np


def photo_like(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Return a picture, uint8 [H, W, 3]: shapes with sharp edges under noise of all scales.

    The amplitude of the noise falls with frequency as in photos, so that a JPEG of it has their
    usual size (about 2 bits a pixel at quality 90).
    """
    picture = np.zeros((height, width, 3), np.float32)
    for octave in range(8):
        small = rng.normal(0, 26 * 0.72**octave, (3 * 2**octave, 4 * 2**octave, 3))
        picture += cv2.resize(
            small.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
    for _ in range(40):
        corner = rng.integers(0, (width, height))
        size = rng.integers(8, (max(9, width // 4), max(9, height // 4)))
        shade = rng.normal(0, 40, 3) + picture[corner[1], corner[0]]
        shape = picture[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]]
        shape[...] = 0.4 * shape + 0.6 * shade
    picture += rng.normal(0, 3, picture.shape)
    return np.clip(picture + 128, 0, 255).astype(np.uint8)


def write_photo_like(folder: Path, count: int, width: int, height: int) -> None:
    """Write `count` JPEG files of quality 90, half of them upright."""
    rng = np.random.default_rng(0)
    for number in range(count):
        size = (width, height) if number % 2 else (height, width)
        path = str(folder / f"{number:016x}.jpg")
        cv2.imwrite(path, photo_like(*size, rng), [cv2.IMWRITE_JPEG_QUALITY, 90])


def add_photo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add options for a folder of photos, or for how many photo-like ones are written instead."""
    parser.add_argument("--images", type=Path, help="folder of photos (default: photo-like ones)")
    parser.add_argument("--photos", type=int, default=300, help="photo-like ones (default: 300)")
    parser.add_argument("--width", type=int, default=1024, help="of the photo-like ones")
    parser.add_argument("--height", type=int, default=768, help="of the photo-like ones")


def given_photos(arguments: argparse.Namespace, work: Path) -> Path:
    """Return the folder that those options name, or one in `work` with photo-like pictures."""
    if arguments.images is not None:
        return arguments.images
    folder = work / "photos"
    folder.mkdir()
    write_photo_like(folder, arguments.photos, arguments.width, arguments.height)
    return folder
