"""Protocol buffers as they lie in a file, read without knowing the message: fields and numbers."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
LARGEST_VARINT = 10  # bytes; 64 bits in groups of seven


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, content): an int for a varint, else the bytes of the field.

    Raises:
        ValueError: the bytes are no message.
    """
    position = 0
    while position < len(data):
        tag, position = varint(data, position)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            number, position = varint(data, position)
            yield field, number
            continue
        if wire_type == LENGTH_DELIMITED:
            length, position = varint(data, position)
        elif wire_type in (FIXED32, FIXED64):
            length = 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire_type} at byte {position}")
        if position + length > len(data):
            raise ValueError("it ends in the middle of a field")
        yield field, data[position : position + length]
        position += length


def varint(data: memoryview, position: int = 0) -> tuple[int, int]:
    """Return the number that starts at `position` and the position after it.

    Raises:
        ValueError: no number ends there.
    """
    number = 0
    for count, byte in enumerate(data[position : position + LARGEST_VARINT]):
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, position + count + 1
    raise ValueError("it ends in the middle of a number")


def to_varint(number: int) -> bytes:
    """Return a number of 0 or more as it stands in a message."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def whole_numbers(content: int | memoryview) -> list[int]:
    """Return what a field of repeated numbers holds, one by one or packed, as signed 64 bits.

    Raises:
        ValueError: the bytes are no numbers.
    """
    numbers: list[int] = []
    if isinstance(content, int):
        numbers.append(content)
    else:
        position = 0
        while position < len(content):
            number, position = varint(content, position)
            numbers.append(number)
    return [number - (1 << 64) if number >> 63 else number for number in numbers]


def bytes_of(content: int | memoryview) -> memoryview:
    """Return a field's bytes.

    Raises:
        ValueError: it is a number.
    """
    if isinstance(content, int):
        raise ValueError("a number stands where bytes were expected")
    return content


def number_field(number: int, value: int) -> bytes:
    """Return field `number` of a message that is to be written: a number of 0 or more."""
    return to_varint(number << 3 | VARINT) + to_varint(value)


def bytes_field(number: int, content: bytes) -> bytes:
    """Return field `number` of a message that is to be written: bytes, text or another message."""
    return to_varint(number << 3 | LENGTH_DELIMITED) + to_varint(len(content)) + content
