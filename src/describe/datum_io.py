"""Reading the `.datum` files of the DELF release: a tensor as a protocol buffer.

The message is `DatumProto`: field 1 `shape` (field 1: the dimensions, int64), and one of field 2
`float_list` (field 1: float) or field 3 `uint32_list` (field 1: uint32), row-major. Repeated
numbers stand packed in one length-delimited field, or one by one; both are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src.common.errors import UserError

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
SHAPE, FLOAT_LIST, UINT32_LIST = 1, 2, 3
LARGEST_VARINT = 10  # bytes; 64 bits in groups of seven


def read_datum(path: str | Path) -> np.ndarray:
    """Read a datum file as a float32 or uint32 array of the shape it names.

    Raises:
        UserError: the file is missing or is not a datum.
    """
    try:
        return parse_datum(Path(path).read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except ValueError as error:
        raise UserError(f"{path} is not a datum file of the DELF release: {error}") from error


def parse_datum(data: bytes) -> np.ndarray:
    """Return the tensor of a serialised `DatumProto`.

    Raises:
        ValueError: the bytes are no such message, or shape and values do not fit together.
    """
    shape: list[int] = []
    values: np.ndarray | None = None
    for field, content in _fields(memoryview(data)):
        if field == SHAPE:
            shape += _varints(content)
        elif field == FLOAT_LIST:
            values = _floats(content)
        elif field == UINT32_LIST:
            values = np.array(_varints(content), dtype=np.uint32)
    if values is None:
        raise ValueError("it holds no values")
    if any(side < 0 for side in shape) or int(np.prod(shape, dtype=object)) != values.size:
        raise ValueError(f"{values.size} values do not fill the shape {shape}")
    return values.reshape(shape)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, content): an int for a varint, else the bytes of the field."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            number, position = _varint(data, position)
            yield field, number
            continue
        if wire_type == LENGTH_DELIMITED:
            length, position = _varint(data, position)
        elif wire_type in (FIXED32, FIXED64):
            length = 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire_type} at byte {position}")
        if position + length > len(data):
            raise ValueError("it ends in the middle of a field")
        yield field, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return the number that starts at `position` and the position after it."""
    number = 0
    for count, byte in enumerate(data[position : position + LARGEST_VARINT]):
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, position + count + 1
    raise ValueError("it ends in the middle of a number")


def _varints(message: int | memoryview) -> list[int]:
    """Return field 1 of a message as signed 64-bit numbers."""
    numbers: list[int] = []
    for field, content in _fields(_bytes(message)):
        if field != 1:
            continue
        if isinstance(content, int):
            numbers.append(content)
            continue
        position = 0
        while position < len(content):
            number, position = _varint(content, position)
            numbers.append(number)
    return [number - (1 << 64) if number >> 63 else number for number in numbers]


def _floats(message: int | memoryview) -> np.ndarray:
    """Return field 1 of a message as float32."""
    content = b"".join(_bytes(content) for field, content in _fields(_bytes(message)) if field == 1)
    if len(content) % 4:
        raise ValueError("a list of floats ends in the middle of one")
    return np.frombuffer(content, dtype="<f4").astype(np.float32)


def _bytes(content: int | memoryview) -> memoryview:
    """Return a field's bytes; a number in their place is a wrong file."""
    if isinstance(content, int):
        raise ValueError("a number stands where a message was expected")
    return content
