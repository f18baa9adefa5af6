"""The features of a photo in few bytes: how their arrays become a record, and come back.

A record, little-endian: number of features u32, length of a descriptor u16, of the global
descriptor u16, number of scales u8, whether there is a global descriptor u8, two bytes of nothing;
height and width of the photo u32 (0 where they are not known); the frame of the locations, first
(y, x) and step (y, x), f64. Then the scales of the photo's levels f32, locations u16 [N, 2] in
steps of the frame, attention f16 [N], global descriptor f16, index of each scale u8 [N],
descriptors int8 [N, D] in units of the store's factor.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

#: What one of a descriptor's whole numbers stands for: no number of a unit vector passes 127 such.
DESCRIPTOR_FACTOR = 1 / 127
_HEAD = struct.Struct("<IHHBBxxII4d")
_STEPS = 65535
_MOST_SCALES = 256


def pack_arrays(arrays: Mapping[str, np.ndarray], factor: float = DESCRIPTOR_FACTOR) -> bytes:
    """Return the record of features.

    Locations are kept to a 131,070th of the photo's longest way (0.03 pixels of 4,000), attention
    to 1 in 2,048, descriptors to half of `factor` a number.

    Args:
        arrays: as in a feature file: locations [N, 2], scales [N], descriptors [N, D], attention
            [N]; perhaps size [2] and global_descriptor [G].
        factor: of the store.

    Raises:
        ValueError: the features have more scales than a pyramid has levels (256), or descriptors
            longer than a unit vector.
    """
    descriptors = np.asarray(arrays["descriptors"], np.float32)
    count, dimension = descriptors.shape
    scales, levels = np.unique(np.asarray(arrays["scales"], "<f4"), return_inverse=True)
    if len(scales) >= _MOST_SCALES:
        raise ValueError(f"the features have {len(scales)} scales, at most {_MOST_SCALES - 1} fit")
    if count and np.abs(descriptors).max() > 127.5 * factor:
        raise ValueError("the descriptors are longer than unit vectors")
    whole = arrays.get("global_descriptor")
    size = arrays.get("size", (0, 0))
    frame = _frame(np.asarray(arrays["locations"], np.float64), size)
    steps = np.rint((arrays["locations"] - frame[0]) / frame[1]).clip(0, _STEPS)
    highest = np.finfo(np.float16).max
    head = _HEAD.pack(
        *(count, dimension, 0 if whole is None else len(whole), len(scales), whole is not None),
        *(int(side) for side in size),
        *frame.ravel().tolist(),
    )
    parts = (
        scales,
        steps.astype("<u2"),
        np.clip(arrays["attention"], -highest, highest).astype("<f2"),
        np.asarray([] if whole is None else whole, "<f2"),
        levels.astype(np.uint8),
        np.rint(descriptors / np.float32(factor)).clip(-127, 127).astype(np.int8),
    )
    return head + b"".join(part.tobytes() for part in parts)


def unpack_arrays(record: bytes, factor: float) -> dict[str, np.ndarray]:
    """Return the arrays of a record; descriptors are of unit length again.

    Raises:
        ValueError: it is no record.
    """
    try:
        count, dimension, length, scales, has_whole, *rest = _HEAD.unpack_from(record)
    except struct.error as error:
        raise ValueError(str(error)) from None
    size, frame = rest[:2], np.reshape(rest[2:], (2, 2))
    take = _Taker(record, _HEAD.size)
    values = take("<f4", scales)
    locations = frame[0] + take("<u2", count * 2).reshape(count, 2) * frame[1]
    attention, whole = take("<f2", count), take("<f2", length)
    levels = take(np.uint8, count)
    descriptors = take(np.int8, count * dimension).reshape(count, dimension)
    if take.place != len(record) or (count and levels.max() >= scales):
        raise ValueError("it is no record of features")
    descriptors = descriptors * np.float32(factor)
    lengths = np.sqrt(np.einsum("nd,nd->n", descriptors, descriptors))[:, None]
    np.divide(descriptors, lengths, out=descriptors, where=lengths > 0)
    arrays = {
        "locations": locations.astype(np.float32),
        "scales": values[levels].astype(np.float32),
        "descriptors": descriptors,
        "attention": attention.astype(np.float32),
    }
    if size[0]:
        arrays["size"] = np.asarray(size, np.int32)
    if has_whole:
        arrays["global_descriptor"] = whole
    return arrays


class _Taker:
    """Takes one array after the other out of bytes."""

    def __init__(self, data: bytes, place: int):
        self._data, self.place = data, place

    def __call__(self, dtype: object, count: int) -> np.ndarray:
        found = np.frombuffer(self._data, dtype, count, self.place)
        self.place += found.nbytes
        return found


def _frame(locations: np.ndarray, size: object) -> np.ndarray:
    """Return the first (y, x) and the step (y, x) in which locations are counted, float64 [2, 2].

    The photo, and as far beyond it as locations lie.
    """
    height, width = size
    first = np.minimum(locations.min(axis=0, initial=0.0), 0.0)
    last = np.maximum(locations.max(axis=0, initial=0.0), (float(height), float(width)))
    step = (last - first) / _STEPS
    return np.stack([first, np.where(step > 0, step, 1.0)])
