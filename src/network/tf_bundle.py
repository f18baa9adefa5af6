"""TensorFlow's checkpoints of 2016 and later ("tensor bundles"), read without TensorFlow.

A bundle is `<prefix>.index` and `<prefix>.data-00000-of-00001` (or more of those). The index is a
table as LevelDB writes it: blocks of entries sorted by key, each key given by what it shares with
the one before it; a block of the blocks' places; and a footer that says where that is. A key is the
name of a tensor, its value says type, shape and place (`BundleEntryProto` in TensorFlow's
`tensor_bundle.proto`: 1 type, 2 shape, 3 shard, 4 offset, 5 size, 6 sum, 7 slices); under the empty
key stands a header (`BundleHeaderProto`: 1 shards, 2 byte order).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.common.crc32c import crc32c, unmasked
from src.common.errors import UserError, one_line, raise_if_of_system
from src.common.protobuf import bytes_of, fields, varint
from src.common.regular_files import open_regular, read_regular
from src.common.snappy import unpacked

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48
_SNAPPY = 1
_TRAILER = 5  # behind a block: how it is compressed, and its sum
#: TensorFlow's `DataType` → ours; numbers only.
_TYPES = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    17: np.dtype("<u2"),
    19: np.dtype("<f2"),
    22: np.dtype("<u4"),
    23: np.dtype("<u8"),
}


_TEXT = 7


class Entry(NamedTuple):
    """A tensor of a bundle.

    Attributes:
        kind: TensorFlow's number of its type.
        shape: of it.
        shard: which data file.
        offset: of its bytes in there.
        size: of them.
        crc: their sum, CRC-32C, as it is stored; None where none is.
        sliced: whether it is stored in parts under other keys.
    """

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int | None
    sliced: bool


class Bundle:
    """A bundle whose index has been read; tensors are read when they are asked for.

    Attributes:
        entries: by the names of the tensors.
    """

    def __init__(self, path: str | Path):
        """Read the index; for `path` see `bundle_prefix`.

        Raises:
            UserError: there is none, or it is damaged.
        """
        self.prefix = bundle_prefix(path)
        index = Path(f"{self.prefix}.index")
        try:
            self._shards, self.entries = _parse_index(read_regular(index))
        except OSError as error:
            raise_if_of_system(error, index)
            raise UserError(f"cannot read {index}: {error.strerror}") from None
        except ValueError as error:
            raise UserError(
                f"{index} is damaged or no index of a TensorFlow checkpoint ({one_line(error)}); "
                "copy it again"
            ) from None

    def read(self, name: str) -> np.ndarray:
        """Return a tensor.

        Raises:
            UserError: its data file is missing or damaged, or it is of no numbers.
        """
        entry = self.entries[name]
        dtype = _TYPES.get(entry.kind)
        if dtype is None or entry.sliced:
            raise UserError(f"{self.prefix}: {name} is no tensor of numbers in one piece")
        if entry.size != math.prod(entry.shape) * dtype.itemsize:
            raise UserError(f"{self.prefix}.index is damaged: {name} does not fit its shape")
        path, content = self._bytes(entry)
        if entry.crc is not None and crc32c(content) != unmasked(entry.crc):
            raise UserError(
                f"{path} is damaged: {name} is not what was written (by its CRC-32C); copy it again"
            )
        return np.frombuffer(content, dtype).reshape(entry.shape)

    def read_text(self, name: str) -> bytes:
        """Return a tensor that is a single text: its length, a sum of the length, and itself.

        Raises:
            UserError: its data file is missing or damaged.
        """
        path, content = self._bytes(self.entries[name])
        try:
            length, position = varint(memoryview(content))
        except ValueError:
            length, position = -1, 0
        text = content[position + 4 :]
        if self.entries[name].kind != _TEXT or len(text) != length:
            raise UserError(f"{path} is damaged: {name} is no text; copy it again")
        return text

    def _bytes(self, entry: Entry) -> tuple[Path, bytes]:
        """Return the data file of a tensor, and the tensor's bytes."""
        path = Path(f"{self.prefix}.data-{entry.shard:05d}-of-{self._shards:05d}")
        try:
            with open_regular(path) as file:
                file.seek(entry.offset)
                content = file.read(entry.size)
        except FileNotFoundError:
            raise UserError(
                f"there is no {path}, which holds the numbers of {self.prefix}.index; put it beside"
            ) from None
        except OSError as error:
            raise_if_of_system(error, path)
            raise UserError(f"cannot read {path}: {error.strerror}") from None
        if len(content) != entry.size:
            raise UserError(f"{path} is cut short; copy it again")
        return path, content


def bundle_prefix(path: str | Path) -> str:
    """Return the prefix of a checkpoint's files.

    Args:
        path: the prefix itself, one of the files, a folder with one checkpoint, or a SavedModel.

    Raises:
        UserError: there is no index there, or there are several.
    """
    path = Path(path)
    name = str(path)
    if path.is_dir():
        found = sorted(path.glob("*.index")) or sorted(path.glob("variables/*.index"))
        if len(found) != 1:
            raise UserError(
                f"folder {path} holds {len(found) or 'no'} TensorFlow checkpoints (*.index); give "
                "the path of one, without its ending"
            )
        return str(found[0])[: -len(".index")]
    if name.endswith(".index"):
        return name[: -len(".index")]
    stem, mark, _ = name.rpartition(".data-")
    return stem if mark else name


def is_bundle(path: str | Path) -> bool:
    """Tell whether there is a TensorFlow checkpoint at a path."""
    try:
        with open(f"{bundle_prefix(path)}.index", "rb") as file:
            file.seek(0, 2)
            if file.tell() < _FOOTER:
                return False
            file.seek(-len(MAGIC), 2)
            return file.read() == MAGIC
    except (OSError, UserError):
        return False


def _parse_index(data: bytes) -> tuple[int, dict[str, Entry]]:
    """Return the number of shards and the tensors; `ValueError` where the bytes are no index."""
    if len(data) < _FOOTER or data[-len(MAGIC) :] != MAGIC:
        raise ValueError("it does not end as one")
    footer = memoryview(data)[-_FOOTER:]
    position = 0
    numbers = []
    for _ in range(4):  # offset and size of the block of metadata, and of the block of blocks
        number, position = varint(footer, position)
        numbers.append(number)
    entries: dict[str, Entry] = {}
    shards = 0
    for _, handle in _block(data, numbers[2], numbers[3]):
        offset, position = varint(memoryview(handle))
        size, _ = varint(memoryview(handle), position)
        for key, value in _block(data, offset, size):
            if key:
                entries[key.decode()] = _entry(memoryview(value))
            else:
                shards = _shards(memoryview(value))
    if not shards:
        raise ValueError("it has no header")
    return shards, entries


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block."""
    trailer = data[offset + size : offset + size + _TRAILER]
    if len(trailer) != _TRAILER:
        raise ValueError("it is cut short")
    content = data[offset : offset + size]
    if crc32c(content + trailer[:1]) != unmasked(int.from_bytes(trailer[1:], "little")):
        raise ValueError("the sum of a block is another one")
    if trailer[0] == _SNAPPY:
        content = unpacked(content)
    elif trailer[0]:
        raise ValueError(f"its blocks are compressed in the unknown way {trailer[0]}")
    restarts = int.from_bytes(content[-4:], "little")
    end = len(content) - 4 * (restarts + 1)
    view, position, key = memoryview(content), 0, b""
    while position < end:
        shared, position = varint(view, position)
        own, position = varint(view, position)
        length, position = varint(view, position)
        key = key[:shared] + content[position : position + own]
        position += own
        yield key, content[position : position + length]
        position += length


def _shards(header: memoryview) -> int:
    shards = order = 0
    for field, content in fields(header):
        if field == 1:
            shards = _number(content)
        elif field == 2:
            order = _number(content)
    if order:
        raise ValueError("it was written by a machine of the other byte order")
    return shards


def _entry(message: memoryview) -> Entry:
    numbers = {1: 0, 3: 0, 4: 0, 5: 0}
    shape: tuple[int, ...] = ()
    crc, sliced = None, False
    for field, content in fields(message):
        if field in numbers:
            numbers[field] = _number(content)
        elif field == 2:
            shape = _shape(bytes_of(content))
        elif field == 6:
            crc = int.from_bytes(bytes_of(content), "little")
        elif field == 7:
            sliced = True
    return Entry(numbers[1], shape, numbers[3], numbers[4], numbers[5], crc, sliced)


def _shape(message: memoryview) -> tuple[int, ...]:
    """Return the sides of a `TensorShapeProto` (2: dimensions, of which 1 is the size)."""
    sides = []
    for field, dimension in fields(message):
        if field == 2:
            sizes = [_number(size) for inner, size in fields(bytes_of(dimension)) if inner == 1]
            sides.append(sizes[-1] if sizes else 0)
    return tuple(sides)


def _number(content: int | memoryview) -> int:
    if not isinstance(content, int):
        raise ValueError("bytes stand where a number was expected")
    return content
