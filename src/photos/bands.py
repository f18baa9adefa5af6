"""Pixels brought to RGB a band of rows at a time, so that a large photo is held once.

A photo of 13,000×13,000 pixels takes half a gigabyte as RGB, and in the hands of Pillow two thirds
of one; converted as a whole it is there three to eight times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

_AT_ONCE = 1 << 19  # pixels of a band, or a row where that has more
_FACTORS = (8, 4, 2)  # those a JPEG can be decoded at


def in_bands(convert: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Return what `convert` makes of arrays [H, W, …], which looks at each pixel alone.

    Args:
        convert: from rows of all arrays to uint8 [rows, W, 3].
        arrays: of one height and width.

    Returns:
        uint8 [H, W, 3].
    """
    height, width = arrays[0].shape[:2]
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in _bands(height, width, 1):
        pixels[rows] = convert(*(array[rows] for array in arrays))
    return pixels


def image_in_bands(
    image: Image.Image, convert: Callable[[Image.Image], np.ndarray], factor: int = 1
) -> np.ndarray:
    """Return what `convert` makes of an image, reduced.

    Args:
        image: of Pillow, loaded.
        convert: from rows of the image to uint8 [rows, W, 3], looking at each pixel alone.
        factor: of the result each pixel is the mean of factor × factor.

    Returns:
        uint8 [⌈H/factor⌉, ⌈W/factor⌉, 3].
    """
    pixels = np.empty((-(-image.height // factor), -(-image.width // factor), 3), np.uint8)
    for rows in _bands(image.height, image.width, factor):
        band = convert(image.crop((0, rows.start, image.width, rows.stop)))
        _put_reduced(band, rows.start, factor, pixels)
    return pixels


def reduced(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Return pixels, uint8 [H, W, 3], reduced; see `image_in_bands`."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[:2]
    smaller = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    for rows in _bands(height, width, factor):
        _put_reduced(pixels[rows], rows.start, factor, smaller)
    return smaller


def factor_for(size: tuple[int, int], least_side: int | None) -> int:
    """Return by how much pixels can be reduced: 1, 2, 4 or 8, as Pillow chooses it for a JPEG.

    Args:
        size: width and height.
        least_side: what the longer side is to keep; None for all of it.
    """
    if least_side is None:
        return 1
    return next((factor for factor in _FACTORS if max(size) // least_side >= factor), 1)


def _bands(height: int, width: int, factor: int) -> Iterator[slice]:
    """Yield rows: whole multiples of the factor, but for the last."""
    rows = max(1, _AT_ONCE // width // factor) * factor
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def _put_reduced(band: np.ndarray, start: int, factor: int, pixels: np.ndarray) -> None:
    if factor > 1:
        band = np.asarray(Image.fromarray(band).reduce(factor))
    pixels[start // factor : start // factor + len(band)] = band
