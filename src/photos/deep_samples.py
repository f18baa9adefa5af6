"""PNGs, JPEG 2000s and JPEGs of more than 8 bits a sample, all of whose bits count.

Pillow keeps the upper 8 bits of these, so that of 12 bits which were left in 16 next to nothing is
kept, and does not open a JPEG of 12 bits at all.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image

from src.photos.jpeg_frame import END, SCAN, read_frame
from src.photos.sample_range import find_range, to_8_bits, whole_range
from src.photos.tiff import on_white

_JPEG = b"\xff\xd8\xff"
_JPEG_SCAN, _JPEG_END = bytes((0xFF, SCAN)), bytes((0xFF, END))
_CODESTREAM = b"\xff\x4f\xff\x51"  # JPEG 2000's two first markers, before the size of the image
_DEPTH_FIELD = len(_CODESTREAM) + 38
_YCC = b"colr\x01\0\0\0\0\0\x12"  # says of a JP2 that its samples are YCbCr


def is_deep(image: Image.Image, file: BinaryIO) -> bool:
    """Tell whether an image that Pillow has opened is a PNG or JPEG 2000 to be read here."""
    if image.format == "PNG":
        return bool(image.tile) and str(image.tile[0][3]).endswith("16B")
    if image.format != "JPEG2000" or image.mode not in ("I;16", "LA", "RGB", "RGBA"):
        return False
    file.seek(0)
    data = file.read()
    return _depth(data) > 8 and _YCC not in data[: data.find(_CODESTREAM)]


def deep_jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG of more than 8 bits; None for any other file."""
    frame = read_frame(data) if data[:3] == _JPEG else None
    return (frame.width, frame.height) if frame is not None and frame.precision > 8 else None


def read_deep(data: bytes) -> tuple[np.ndarray, str]:
    """Decode an image of more than 8 bits.

    Returns:
        uint8 [H, W, 3], RGB, transparent pixels laid on white; and a note where no tag tells its
        black and white, else "".

    Raises:
        ValueError: it has no samples of grey or RGB. Broken files raise anything at all.
    """
    import imagecodecs

    if data[:3] == _JPEG:
        if data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):  # the decoder fills the rest with grey
            raise ValueError("it is cut short")
        samples, bits = imagecodecs.jpeg_decode(data), read_frame(data).precision
    elif data[:4] == b"\x89PNG":
        samples, bits = imagecodecs.png_decode(data), 16
    else:
        samples, bits = imagecodecs.jpeg2k_decode(data), _depth(data)
    samples = samples.reshape(*samples.shape[:2], -1)
    count = samples.shape[2]
    if count > 4:
        raise ValueError(f"it has {count} samples a pixel")
    has_alpha = count in (2, 4)
    colour = samples[..., : count - 1] if has_alpha else samples
    found = find_range(colour, bits)
    pixels = to_8_bits(colour, found.black, found.white)
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    if has_alpha:
        alpha = to_8_bits(samples[..., -1], 0, whole_range(bits, "u").white)
        pixels = on_white(pixels, alpha)
    return pixels, found.note


def _depth(data: bytes) -> int:
    """Return the bits of a JPEG 2000's first component; their highest bit says if it is signed."""
    start = data.find(_CODESTREAM)
    field = data[start + _DEPTH_FIELD : start + _DEPTH_FIELD + 1] if start >= 0 else b""
    return (field[0] & 0x7F) + 1 if field else 8
