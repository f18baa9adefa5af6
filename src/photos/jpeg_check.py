"""Telling photos that training can read from broken ones, at a fraction of the cost of decoding.

A decoder either refuses a JPEG because its headers or tables are wrong or the file is cut short, or
it reads it to the end: damage inside the compressed data only costs a few grey blocks. So it is
enough to walk over the markers, to see that the file is whole, and to let libjpeg decode one corner
of it with all headers and tables in place.
"""

from __future__ import annotations

import io
import re

from src.photos.jpeg_frame import END, FRAMES, SCAN, Frame, read_frame
from src.photos.reading import MAX_PIXELS, decode, open_image, reason

_CORNER = 16  # pixels; decoding this much makes libjpeg check every header and table
_SCAN_START_BYTES = 512  # of each scan, kept for decoding the corner
_MAX_SIDE = 65_500  # libjpeg's own limit
# Inside compressed data 0xff is followed by 0x00 (a data byte 0xff) or a restart marker; anything
# else is the next marker, which fill bytes 0xff may precede.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_START = 0xD8
_BASELINE_OR_PROGRESSIVE = frozenset((0xC0, 0xC1, 0xC2))


class BrokenPhotoError(ValueError):
    """A photo that cannot be read; the message is the reason."""


def is_plain_jpeg(data: bytes) -> bool:
    """Tell whether a file can go to training as it is, reading it to the end where need be.

    Returns:
        True for a baseline or progressive JPEG of 8 bits in grey, RGB or YCbCr; False for any other
        readable image, which has to be converted.

    Raises:
        BrokenPhotoError: the file is empty, cut short, too large or no image a decoder accepts.
    """
    if not data:
        raise BrokenPhotoError("the file is empty")
    frame = read_frame(data) if data[:2] == b"\xff\xd8" else None
    if frame is not None and frame.marker in _BASELINE_OR_PROGRESSIVE and frame.precision == 8:
        if max(frame.height, frame.width) > _MAX_SIDE or frame.height * frame.width > MAX_PIXELS:
            raise BrokenPhotoError(f"{frame.width}×{frame.height} pixels are too many")
        mode = _mode_of_corner(data, frame) or _mode_after_decoding(data)
        return mode in ("RGB", "L")
    try:
        decode(io.BytesIO(data))
    except Exception as error:  # decoders raise anything at all on broken files
        raise BrokenPhotoError(reason(error)) from error
    return False


def _mode_of_corner(data: bytes, frame: Frame) -> str | None:
    """Return the Pillow mode of a whole JPEG; None where only decoding all of it can tell."""
    corner = _corner(data, frame)
    if corner is None:
        return None
    try:
        with open_image(io.BytesIO(corner), formats=("JPEG",)) as image:
            image.load()
            return image.mode
    except Exception:  # decoders raise anything at all on broken headers
        return None


def _corner(data: bytes, frame: Frame) -> bytes | None:
    """Cut a JPEG down to one corner, keeping all headers and the start of each scan.

    Returns None where the file does not end with an end marker, or its segments do not join.
    """
    kept = bytearray(data[: frame.position])
    kept += min(frame.height, _CORNER).to_bytes(2, "big")
    kept += min(frame.width, _CORNER).to_bytes(2, "big")
    position, copied = 2, frame.position + 4
    while True:
        if data[position : position + 1] != b"\xff":
            return None
        while data[position : position + 1] == b"\xff":
            position += 1
        if position + 3 > len(data) and data[position : position + 1] != bytes((END,)):
            return None
        marker = data[position]
        if marker == END:
            kept += data[copied : position + 1]
            return bytes(kept)
        if marker in (0x00, 0x01, _START) or 0xD0 <= marker <= 0xD7:
            return None
        if marker in FRAMES and position + 4 != frame.position:
            return None
        position += 1 + int.from_bytes(data[position + 1 : position + 3], "big")
        if marker == SCAN:
            kept += data[copied : position + _SCAN_START_BYTES]
            found = _NEXT_MARKER.search(data, position)
            if found is None:
                return None
            end = found.start()
            if end < position + _SCAN_START_BYTES:
                del kept[len(kept) - (position + _SCAN_START_BYTES - end) :]
            position = copied = end


def _mode_after_decoding(data: bytes) -> str:
    """Return the Pillow mode of a JPEG after decoding it to the last row."""
    try:
        with open_image(io.BytesIO(data), formats=("JPEG",)) as image:
            # All of the data is read, but an eighth of the side is computed.
            image.draft(image.mode, (1, 1))
            image.load()
            return image.mode
    except Exception as error:  # decoders raise anything at all on broken files
        raise BrokenPhotoError(reason(error)) from error
