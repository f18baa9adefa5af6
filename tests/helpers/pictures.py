"""Pictures of 8 bits, the same in other numbers, and how far from it a file is read."""

from __future__ import annotations

import numpy as np

from src.photos.reading import read_image

HEIGHT, WIDTH = 24, 32


def grey():
    """Grey from 0 to 255, without symmetry: uint8 [H, W]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = (3 * x + 7 * y + (x * y) % 5).astype(np.float64)
    return np.rint((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)


def colour():
    """Three different planes, each from 0 to 255: uint8 [H, W, 3]."""
    return np.stack([grey(), grey()[::-1], 255 - grey()[:, ::-1]], axis=-1)


def scaled(picture, low, high, kind):
    """The same picture in numbers from `low` (black) to `high` (white)."""
    values = float(low) + picture.astype(np.float64) / 255 * (float(high) - float(low))
    return (np.rint(values) if np.dtype(kind).kind in "ui" else values).astype(kind)


def as_read(picture):
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture


def error(path, truth):
    found = read_image(path)
    assert found.dtype == np.uint8
    assert found.shape == as_read(truth).shape
    return np.abs(found.astype(int) - as_read(truth)).max()
