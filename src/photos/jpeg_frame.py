"""The frame header of a JPEG: its size, its samples, how it is compressed."""

from __future__ import annotations

from typing import NamedTuple

END, SCAN = 0xD9, 0xDA
FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))


class Frame(NamedTuple):
    """What the frame header of a JPEG says; `position` is the offset of its height field."""

    marker: int
    precision: int
    height: int
    width: int
    components: int
    position: int


def read_frame(data: bytes) -> Frame | None:
    """Return the frame header of a JPEG, or None where the headers before it make no sense."""
    position = 2
    while data[position : position + 1] == b"\xff":
        while data[position : position + 1] == b"\xff":
            position += 1
        if position + 9 > len(data):
            return None
        marker = data[position]
        length = int.from_bytes(data[position + 1 : position + 3], "big")
        if marker in FRAMES:
            field = position + 4
            return Frame(
                marker,
                data[position + 3],
                int.from_bytes(data[field : field + 2], "big"),
                int.from_bytes(data[field + 2 : field + 4], "big"),
                data[field + 4],
                field,
            )
        if marker in (SCAN, END) or length < 2:
            return None
        position += 1 + length
    return None
