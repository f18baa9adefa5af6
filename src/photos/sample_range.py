"""What is black and what is white in samples of more than 8 bits, and bringing them to 8 bits.

The tags of a file tell how many bits a sample has and how they are to be understood. Of a container
of 16 bits or more that is not the whole truth: cameras and scanners leave 10, 12 or 14 bits in 16,
and floating-point numbers have no white at all. There the values decide, and that is said.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

# Of the bits of a sample those that are containers, and what is put into them.
_CONTAINERS = (16, 32, 64)
_DEPTHS = (8, 10, 12, 14, 16, 20, 24, 32)
# White in a photo of floating-point numbers that were whole ones before.
_WHITES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
# As much of it must be reached, or it is not the white of this photo, which would be nearly black.
_REACHED_BY_FLOATS = 0.75
_REACHED_BY_INTEGERS = 0.25
_DARKEST_UNIT = 1 / 16
_AT_ONCE = 1 << 20  # samples


class SampleRange(NamedTuple):
    """The values that are black and white; and a note where no tag tells them, else ""."""

    black: float
    white: float
    note: str = ""


def find_range(
    samples: np.ndarray, bits: int, told: tuple[float | None, float | None] = (None, None)
) -> SampleRange:
    """Return what is black and white in the colour samples of a photo.

    Args:
        samples: integers or floating-point numbers of any shape.
        bits: of a sample, as the file says.
        told: least and greatest value, where the file says them.
    """
    low, high = _extremes(samples)
    if samples.dtype.kind == "f":
        found, sure = _of_floats(low, high, told)
    else:
        found, sure = _of_integers(low, high, bits, samples.dtype.kind == "i", told[1])
    if sure:
        return found
    kind = "floating-point" if samples.dtype.kind == "f" else "whole"
    return found._replace(
        note=f"no tag tells black and white of its {kind} numbers of {bits} bits; they go from "
        f"{low:.6g} to {high:.6g} and are read as {found.black:.6g} to {found.white:.6g}"
    )


def whole_range(bits: int, kind: str) -> SampleRange:
    """Return the range that a sample has: signed integers "i", unsigned "u", floating-point "f"."""
    if kind == "f":
        return SampleRange(0.0, 1.0)
    if kind == "i":
        return SampleRange(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    return SampleRange(0.0, 2.0**bits - 1)


def to_8_bits(samples: np.ndarray, black: float, white: float) -> np.ndarray:
    """Return samples as uint8 of the same shape: black is 0, white 255, what lies beyond is cut.

    What is no number becomes 0. A part at a time: the photo may fill half of the memory.
    """
    result = np.empty(samples.shape, np.uint8)
    source, target = samples.reshape(-1), result.reshape(-1)
    scale = 255.0 / (white - black)
    for start in range(0, source.size, _AT_ONCE):
        part = (source[start : start + _AT_ONCE].astype(np.float64) - black) * scale
        part = np.nan_to_num(part, nan=0.0, posinf=255.0, neginf=0.0)
        target[start : start + _AT_ONCE] = np.rint(part.clip(0, 255))
    return result


def _extremes(samples: np.ndarray) -> tuple[float, float]:
    """Return the least and the greatest finite value; 0 and 0 where there is none."""
    low, high = math.inf, -math.inf
    flat = samples.reshape(-1)
    for start in range(0, flat.size, _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        part = part[np.isfinite(part)]
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _of_integers(
    low: float, high: float, bits: int, signed: bool, told: float | None
) -> tuple[SampleRange, bool]:
    """Return the range of whole numbers, and whether the file tells it."""
    kind = "i" if signed and low < 0 else "u"
    whole = bits - 1 if signed and low >= 0 else bits  # a sign that is not used is no sample's bit
    if bits not in _CONTAINERS:
        return whole_range(whole, kind), True
    # A greatest value in the tags says how much of the container is meant.
    greatest = high if told is None else max(high, told)
    for depth in (*(depth for depth in _DEPTHS if depth < whole), whole):
        found = whole_range(depth, kind)
        if found.black <= low and greatest <= found.white:
            break
    wide = kind == "i" or depth > 16
    if wide and greatest - low < _REACHED_BY_INTEGERS * (found.white - found.black):
        return _stretched(low, greatest), False
    return found, told is not None or depth == whole


def _of_floats(
    low: float, high: float, told: tuple[float | None, float | None]
) -> tuple[SampleRange, bool]:
    """Return the range of floating-point numbers, and whether the file or custom tells it."""
    black, white = told[0] or 0.0, told[1]
    if white is not None and black < white and black < high <= 2 * white:
        return SampleRange(black, white), True
    if low >= 0 and (_DARKEST_UNIT <= high <= 1 or high == 0):
        return SampleRange(0.0, 1.0), True
    for white in _WHITES:
        if low >= 0 and _REACHED_BY_FLOATS * white <= high <= white:
            return SampleRange(0.0, white), False
    return _stretched(low, high), False


def _stretched(low: float, high: float) -> SampleRange:
    return SampleRange(low, high if high > low else low + 1.0)
