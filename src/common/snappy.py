"""Unpacking what was packed by Snappy (format_description.txt of google/snappy).

The length of the text, as a varint, and then elements: bytes as they are, or a piece of what was
unpacked so far, which may reach into itself. The two lower bits of an element's first byte tell
which.
"""

from __future__ import annotations

from src.common.protobuf import varint

_LITERAL, _COPY_1, _COPY_2 = 0, 1, 2  # the number: bytes that say how far back; 3 stands for four


def unpacked(data: bytes) -> bytes:
    """Return the text.

    Raises:
        ValueError: the bytes are not packed so, or are cut short.
    """
    length, position = varint(memoryview(data))
    text = bytearray()
    while position < len(data):
        tag, position = data[position], position + 1
        kind = tag & 3
        if kind == _LITERAL:
            count = tag >> 2
            if count >= 60:  # so many bytes more say it
                more = count - 59
                count = int.from_bytes(data[position : position + more], "little")
                position += more
            text += data[position : position + count + 1]
            position += count + 1
            continue
        if kind == _COPY_1:
            count, width = (tag >> 2 & 7) + 4, 1
            back = tag >> 5 << 8
        else:
            count, width = (tag >> 2) + 1, 2 if kind == _COPY_2 else 4
            back = 0
        back += int.from_bytes(data[position : position + width], "little")
        position += width
        if not 0 < back <= len(text):
            raise ValueError("packed bytes refer to what is before them")
        if len(text) + count > length:
            raise ValueError("packed bytes are more than they say")
        start = len(text) - back
        piece = bytes(text[start : start + count])
        while len(piece) < count:  # it reaches into what it writes
            piece += piece[: count - len(piece)]
        text += piece
    if len(text) != length or position != len(data):
        raise ValueError("packed bytes are cut short")
    return bytes(text)
