"""TIFFs written tag by tag, by nothing but `struct`: what a reader is told is what stands here."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

_FORMATS = {"H": 3, "I": 4, "f": 11, "d": 12}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK = 0, 1, 2, 5
UNSIGNED, SIGNED, FLOAT = 1, 2, 3


def packed(samples: np.ndarray, bits: int) -> bytes:
    """Samples of any number of bits, one after the other, each row beginning with a byte."""
    rows = samples.reshape(len(samples), -1).astype(np.uint64)
    places = np.arange(bits - 1, -1, -1, dtype=np.uint64)
    digits = ((rows[..., None] >> places) & np.uint64(1)).astype(np.uint8)
    return np.packbits(digits.reshape(len(rows), -1), axis=1).tobytes()


def write_tiff(
    path: Path,
    samples: np.ndarray,
    photometric: int,
    *,
    order: str = "<",
    bits: int | None = None,
    planar: bool = False,
    tags: dict[int, tuple[str, tuple]] | None = None,
) -> Path:
    """Write one uncompressed strip, or with `planar` one for each sample.

    Args:
        path: the file.
        samples: [H, W] or [H, W, S]; their type says format and bits.
        photometric: WHITE_IS_ZERO, …
        order: "<" little endian, ">" big endian.
        bits: pack them into so many instead.
        planar: each sample in a plane of its own.
        tags: further ones: code → (format of `struct`, values).
    """
    height, width = samples.shape[:2]
    count = samples.shape[2] if samples.ndim == 3 else 1
    planes = np.moveaxis(samples.reshape(height, width, count), 2, 0) if planar else [samples]
    if bits is None:
        strips = [np.ascontiguousarray(p, p.dtype.newbyteorder(order)).tobytes() for p in planes]
    else:
        strips = [packed(plane, bits) for plane in planes]
    starts = [8 + sum(map(len, strips[:number])) for number in range(len(strips))]
    kind = {"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[samples.dtype.kind]
    told = {
        256: ("I", (width,)),
        257: ("I", (height,)),
        258: ("H", (bits or 8 * samples.dtype.itemsize,) * count),
        259: ("H", (1,)),
        262: ("H", (photometric,)),
        273: ("I", tuple(starts)),
        277: ("H", (count,)),
        278: ("I", (height,)),
        279: ("I", tuple(map(len, strips))),
        284: ("H", (2 if planar else 1,)),
        339: ("H", (kind,) * count),
        **(tags or {}),
    }
    data = b"".join(strips)
    data += b"\0" * (len(data) % 2)
    entries, beside = b"", b""
    place = 8 + len(data) + 2 + 12 * len(told) + 4
    for code, (form, values) in sorted(told.items()):
        value = struct.pack(f"{order}{len(values)}{form}", *values)
        if len(value) > 4:
            beside += value + b"\0" * (len(value) % 2)
            value = struct.pack(f"{order}I", place + len(beside) - len(value) - len(value) % 2)
        entries += struct.pack(f"{order}HHI", code, _FORMATS[form], len(values))
        entries += value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    count_of_tags = struct.pack(f"{order}H", len(told))
    path.write_bytes(head + data + count_of_tags + entries + b"\0" * 4 + beside)
    return path
