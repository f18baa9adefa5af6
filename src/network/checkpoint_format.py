"""The format of MindSpore's checkpoints, read so that a damaged file is an error.

A checkpoint is a row of records, each with the name, the type, the shape and the bytes of a tensor,
or of the next part of a large one. MindSpore's own reader believes what a record says of its shape:
one that was damaged is read past its end, into other memory or out of the process's. It also holds
the whole file in memory twice, and reads none above 2 GB.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from mindspore.train.checkpoint_pb2 import Checkpoint

_RECORD = b"\n"  # protobuf: field 1, of a length that is said
_CRC = b"crc_num"  # and ten bytes, where somebody asked MindSpore for it
_CRC_BYTES = len(_CRC) + 10
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
    with open(path, "rb") as file:
        for name, records in itertools.groupby(_records(file), lambda record: record.tag):
            parts = [record.tensor for record in records]
            if parts[0].tensor_type == _TEXT:
                continue
            if name in seen:
                raise ValueError(f"it holds {name!r} twice")
            seen.add(name)
            yield name, _joined(name, parts)
    if not seen:
        raise ValueError("it holds no tensor")


def _records(file: BinaryIO) -> Iterator[Checkpoint.Value]:
    from google.protobuf.message import DecodeError
    from mindspore.train.checkpoint_pb2 import Checkpoint

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
        try:
            record = Checkpoint.Value.FromString(file.read(length))
        except DecodeError as error:
            raise ValueError(f"a record is damaged: {error}") from error
        if not record.HasField("tensor"):
            raise ValueError("a record holds no tensor")
        yield record


def _length(file: BinaryIO) -> int:
    """Read a whole number as protobuf writes it: seven bits a byte, the lowest first."""
    number = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            break
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number
    raise ValueError("it is cut short")


def _joined(name: str, parts: list[Checkpoint.TensorProto]) -> np.ndarray:
    kind, shape = parts[0].tensor_type, tuple(parts[0].dims)
    if any((part.tensor_type, tuple(part.dims)) != (kind, shape) for part in parts):
        raise ValueError(f"the parts of {name!r} do not fit each other")
    if kind not in _TYPES or any(side < 0 for side in shape):
        raise ValueError(f"{name!r} is of type {kind!r} and shape {shape}")
    shape = () if shape == (0,) else shape  # as MindSpore writes a single number
    content = b"".join(part.tensor_content for part in parts)
    if len(content) != math.prod(shape) * _TYPES[kind].itemsize:
        raise ValueError(f"{name!r} has {len(content)} bytes, which do not fit its shape {shape}")
    array = np.frombuffer(content, _TYPES[kind])
    if kind == _BFLOAT16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(shape).copy()
