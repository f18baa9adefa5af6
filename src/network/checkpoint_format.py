"""The format of MindSpore's checkpoints, written, and read so that a damaged file is an error.

A checkpoint is a row of records, each with the name, the type, the shape and the bytes of a tensor,
or of the next part of a large one. MindSpore's own reader believes what a record says of its shape:
one that was damaged is read past its end, into other memory or out of the process's. It also holds
the whole file in memory twice, reads none above 2 GB, and takes a second to be imported, which a
search of photos does not have. So the messages are read here; in MindSpore's `checkpoint.proto` a
record is `Value` (field 1 `tag`, field 2 `tensor`), and a tensor `TensorProto` (field 1 `dims`,
field 2 `tensor_type`, field 3 `tensor_content`).
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from src.common.protobuf import (
    LARGEST_VARINT,
    bytes_field,
    bytes_of,
    fields,
    number_field,
    varint,
    whole_numbers,
)
from src.common.regular_files import open_regular

_RECORD = b"\n"  # protobuf: field 1, of a length that is said
_VALUE = 1
_TAG, _TENSOR = 1, 2
_DIMS, _KIND, _CONTENT = 1, 2, 3
_CRC = b"crc_num"  # and ten bytes, where somebody asked MindSpore for it
_CRC_BYTES = len(_CRC) + 10
_PART_BYTES = 512 << 20  # of a large tensor
_BFLOAT16 = "BFloat16"  # NumPy has none: the upper half of a float32
_TYPES = {
    "Bool": np.dtype(np.bool_),
    _BFLOAT16: np.dtype(np.uint16),
    **{
        f"{kind}{bits}": np.dtype(f"{kind.lower()}{bits}")
        for kind, sizes in (("Int", (8, 16, 32, 64)), ("UInt", (8, 16, 32, 64)))
        for bits in sizes
    },
    **{f"Float{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
}
_TEXT = "str"  # what a program may have noted beside the weights


def tensors_in(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and value of every tensor of a checkpoint, one in memory at a time.

    Raises:
        ValueError: the file is damaged, or it is no checkpoint.
    """
    seen: set[str] = set()
    with open_regular(path) as file:
        for name, records in itertools.groupby(_parts(file), lambda part: part.name):
            parts = list(records)
            if parts[0].kind == _TEXT:
                continue
            if name in seen:
                raise ValueError(f"it holds {name!r} twice")
            seen.add(name)
            yield name, _joined(name, parts)
    if not seen:
        raise ValueError("it holds no tensor")


def names_in(path: Path) -> set[str]:
    """Return the names of the tensors of a checkpoint.

    Raises:
        ValueError: it is no row of records.
    """
    with open_regular(path) as file:
        return {part.name for part in _parts(file) if part.kind != _TEXT}


def write_tensors(file: BinaryIO, tensors: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write tensors as MindSpore does, to the byte.

    MindSpore's own writer says of a full disk, beside its error, a line of its own, and has a
    temporary file whose name can be guessed.

    Raises:
        OSError: they could not be written.
        ValueError: a tensor is of a type that checkpoints do not have.
    """
    kinds = {dtype: kind for kind, dtype in _TYPES.items() if kind != _BFLOAT16}
    for name, tensor in tensors:
        if tensor.dtype not in kinds:
            raise ValueError(f"{name!r} is of type {tensor.dtype}")
        content = tensor.tobytes()
        for start in range(0, len(content), _PART_BYTES):
            parts = (
                b"".join(number_field(_DIMS, side) for side in tensor.shape),
                bytes_field(_KIND, kinds[tensor.dtype].encode()),
                bytes_field(_CONTENT, content[start : start + _PART_BYTES]),
            )
            record = bytes_field(_TAG, name.encode()) + bytes_field(_TENSOR, b"".join(parts))
            file.write(bytes_field(_VALUE, record))


class _Part(NamedTuple):
    """A record: name, type, shape and bytes of a tensor, or of the next part of a large one."""

    name: str
    kind: str
    shape: tuple[int, ...]
    content: memoryview


def _parts(file: BinaryIO) -> Iterator[_Part]:
    size = os.fstat(file.fileno()).st_size
    while (left := size - file.tell()) > 0:
        start = file.read(1)
        if left == _CRC_BYTES and start + file.read(len(_CRC) - 1) == _CRC:
            return
        if start != _RECORD:
            raise ValueError("it is no row of records")
        length = _length(file)
        if length > size - file.tell():
            raise ValueError("it is cut short")
        yield _part(memoryview(file.read(length)))


def _length(file: BinaryIO) -> int:
    """Read the length of a record, and stand behind it."""
    start = file.tell()
    try:
        length, used = varint(memoryview(file.read(LARGEST_VARINT)))
    except ValueError:
        raise ValueError("it is cut short") from None
    file.seek(start + used)
    return length


def _part(record: memoryview) -> _Part:
    name = tensor = None
    try:
        for field, content in fields(record):
            if field == _TAG:
                name = bytes(bytes_of(content)).decode()
            elif field == _TENSOR:
                tensor = bytes_of(content)
        if name is None or tensor is None:
            raise ValueError("it holds no tensor with a name")
        kind, content, shape = "", memoryview(b""), []
        for field, value in fields(tensor):
            if field == _DIMS:
                shape += whole_numbers(value)
            elif field == _KIND:
                kind = bytes(bytes_of(value)).decode()
            elif field == _CONTENT:
                content = bytes_of(value)
    except ValueError as error:
        where = f" of {name!r}" if name else ""
        raise ValueError(f"a record{where} is damaged: {error}") from error
    return _Part(name, kind, tuple(shape), content)


def _joined(name: str, parts: list[_Part]) -> np.ndarray:
    _, kind, shape, _ = parts[0]
    if any((part.kind, part.shape) != (kind, shape) for part in parts):
        raise ValueError(f"the parts of {name!r} do not fit each other")
    if kind not in _TYPES or any(side < 0 for side in shape):
        raise ValueError(f"{name!r} is of type {kind!r} and shape {shape}")
    shape = () if shape == (0,) else shape  # as MindSpore writes a single number
    size = sum(len(part.content) for part in parts)
    if size != math.prod(shape) * _TYPES[kind].itemsize:
        raise ValueError(f"{name!r} has {size} bytes, which do not fit its shape {shape}")
    array = np.frombuffer(bytearray().join(part.content for part in parts), _TYPES[kind])
    if kind == _BFLOAT16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(shape)
