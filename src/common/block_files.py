"""Files of records that are only ever appended to, in blocks with a sum each.

A block says by itself where it ends and what is in it, so that a file is read without anything
beside it: what a killed program left half-written at the end is dropped by the next one that
writes, and damage in the middle costs the records of one block, which are known by name as long as
its directory is whole. All numbers are little-endian:

    file   magic "RECORDS\\n", version u32, parameter f64, CRC-32 of these 20 bytes
    block  magic "BLK1", records u32, bytes of the directory u32, bytes of the records u32, CRC-32
           of the directory, CRC-32 of the records, CRC-32 of these 24 bytes; then the directory, a
           JSON list with an object a record, whose "length" is its bytes; then the records
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import struct
import weakref
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from src.common.errors import UserError, naming_file
from src.common.json_files import parse_json, shaped
from src.common.locks import Lock

_FILE = struct.Struct("<8sId")
_BLOCK = struct.Struct("<4sIIIII")
_SUM = struct.Struct("<I")
_FILE_MAGIC, _BLOCK_MAGIC = b"RECORDS\n", b"BLK1"
_VERSION = 1
FILE_HEAD = _FILE.size + _SUM.size
BLOCK_HEAD = _BLOCK.size + _SUM.size
#: A block is closed when it holds this much: little is read beside a record that is wanted.
BLOCK_BYTES = 64 * 1024


class DamagedBlockError(UserError):
    """A block is not what was written."""


class Block(NamedTuple):
    """A block of a file.

    Attributes:
        offset, end: bytes of the file that it takes.
        directory: what its records are; empty where that is damaged.
        records: offset of the first record in the file.
        damage: what is wrong with its head or directory, else "".
    """

    offset: int
    end: int
    directory: tuple[dict[str, Any], ...]
    records: int
    damage: str = ""

    def span(self, place: int) -> tuple[int, int]:
        """Return where the record at a place of the directory begins and ends in the file."""
        start = self.records + sum(about["length"] for about in self.directory[:place])
        return start, start + self.directory[place]["length"]


class BlockFile:
    """A file of blocks, opened for reading and mapped; it may grow meanwhile.

    Args:
        path: the file.

    Raises:
        UserError: it is missing, cut short in its first bytes, or something else.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with open(path, "rb") as file:
                self.size = os.fstat(file.fileno()).st_size
                if self.size < FILE_HEAD:
                    raise UserError(f"{path} is cut short ({self.size} bytes)")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise UserError(f"cannot read {path} ({error.strerror})") from None
        weakref.finalize(self, self._map.close)
        self._advise("MADV_RANDOM")  # else megabytes are read around each record
        head = self._map[:FILE_HEAD]
        magic, version, self.parameter = _FILE.unpack(head[: _FILE.size])
        if magic != _FILE_MAGIC or _SUM.pack(zlib.crc32(head[: _FILE.size])) != head[_FILE.size :]:
            raise UserError(f"the first bytes of {path} are damaged, or it is something else")
        if version != _VERSION:
            raise UserError(f"{path} is of version {version}, not {_VERSION}; update this program")
        self._whole: dict[int, Block] = {}

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks; a stretch whose head is damaged is one without a directory.

        What is left behind the last whole block is none: it has not been written to its end.
        """
        offset = FILE_HEAD
        self._advise("MADV_SEQUENTIAL")
        try:
            while offset < self.size:
                block = self.block(offset)
                if block is None:
                    following = self._next(offset)
                    if following is None:
                        return
                    block = Block(offset, following, (), following, "its head is damaged")
                yield block
                offset = block.end
        finally:
            self._advise("MADV_RANDOM")

    def block(self, offset: int) -> Block | None:
        """Return the block that begins at an offset; None where none does that is all there."""
        found = self._whole.get(offset)
        if found is not None:
            return found
        head = self._head(offset)
        if head is None:
            return None
        _, count, directory, records, crc, _ = head
        start = offset + BLOCK_HEAD
        text = self._map[start : start + directory]
        end = start + directory + records
        if zlib.crc32(text) != crc:
            return Block(offset, end, (), start + directory, "its directory is damaged")
        listed = _directory(text)
        if len(listed) != count or sum(about["length"] for about in listed) != records:
            return Block(offset, end, (), start + directory, "its directory does not fit it")
        return Block(offset, end, listed, start + directory)

    def damage(self, block: Block) -> str:
        """Return what is wrong with a block, "" where all of it is as it was written."""
        if block.damage or block.offset in self._whole:
            return block.damage
        *_, crc = self._head(block.offset)
        with memoryview(self._map) as view, view[block.records : block.end] as records:
            if zlib.crc32(records) != crc:
                return "its records are damaged"
        self._whole[block.offset] = block
        if len(self._whole) > 4096:  # directories of as many blocks are some megabytes
            self._whole.pop(next(iter(self._whole)))
        return ""

    def record(self, offset: int, place: int) -> tuple[dict[str, Any], bytes]:
        """Return a record of the block at an offset, and what the directory says of it.

        Raises:
            DamagedBlockError: the block is not what was written.
        """
        self._advise("MADV_WILLNEED", offset, 2 * BLOCK_BYTES)
        block = self.block(offset)
        damage = "it is not there" if block is None else self.damage(block)
        if damage:
            raise DamagedBlockError(f"the block at byte {offset} of {self.path}: {damage}")
        start, end = block.span(place)
        return block.directory[place], self._map[start:end]

    def whole_bytes(self) -> int:
        """Return where the last whole block ends."""
        end = FILE_HEAD
        for block in self.blocks():
            end = block.end
        return end

    def _advise(self, advice: str, offset: int = 0, size: int = 0) -> None:
        """Say how the file is read, from an offset on or all of it, where the system listens."""
        if hasattr(mmap, advice):
            start = min(offset, self.size - 1) // mmap.PAGESIZE * mmap.PAGESIZE
            length = min(offset + size, self.size) - start if size else self.size
            self._map.madvise(getattr(mmap, advice), start, length)

    def _head(self, offset: int) -> tuple | None:
        head = self._map[offset : offset + BLOCK_HEAD]
        if len(head) < BLOCK_HEAD or head[:4] != _BLOCK_MAGIC:
            return None
        if _SUM.pack(zlib.crc32(head[: _BLOCK.size])) != head[_BLOCK.size :]:
            return None
        found = _BLOCK.unpack(head[: _BLOCK.size])
        return found if offset + BLOCK_HEAD + found[2] + found[3] <= self.size else None

    def _next(self, offset: int) -> int | None:
        """Return where the next whole block behind a damaged head begins."""
        found = self._map.find(_BLOCK_MAGIC, offset + 1)
        while found >= 0:
            if self._head(found) is not None:
                return found
            found = self._map.find(_BLOCK_MAGIC, found + 1)
        return None


class BlockWriter:
    """Appends records to a file, one process at a time; what a killed one left half-way goes.

    Args:
        path: the file; it is made where there is none.
        parameter: a number for the head of a new file.

    Raises:
        UserError: another process writes it, it is something else, or has another parameter.
    """

    def __init__(self, path: Path, parameter: float):
        self.path = path
        self._lock = Lock(path.with_name(f".{path.name}.lock"))
        if not self._lock.take(0.05):
            raise UserError(f"another process is writing {path}; run this again when it is done")
        try:
            self._size = self._begin(parameter)
            self._file = open(path, "r+b", buffering=0)  # noqa: SIM115 (closed by close)
            if os.fstat(self._file.fileno()).st_size != self._size:
                self._file.truncate(self._size)
        except BaseException:
            self._lock.release(remove=True)
            raise
        self._directory: list[dict[str, Any]] = []
        self._records: list[bytes] = []
        self._held = 0

    def append(self, about: Mapping[str, Any], record: bytes) -> None:
        """Put a record behind the others; it is on the disk when its block is full."""
        self._directory.append({**about, "length": len(record)})
        self._records.append(record)
        self._held += len(record)
        if self._held >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held as a block; a full disk leaves the file as it was."""
        if not self._directory:
            return
        text = json.dumps(self._directory, ensure_ascii=False, separators=(",", ":")).encode()
        records = b"".join(self._records)
        sizes = len(self._directory), len(text), len(records)
        head = _BLOCK.pack(_BLOCK_MAGIC, *sizes, zlib.crc32(text), zlib.crc32(records))
        try:
            with naming_file(self.path):
                self._file.seek(self._size)
                _write_all(self._file, b"".join([head, _sum_of(head), text, records]))
                os.fsync(self._file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            raise
        self._size += BLOCK_HEAD + len(text) + len(records)
        self._directory, self._records, self._held = [], [], 0

    def close(self) -> None:
        """Let go of the file; what is held and not flushed is dropped."""
        self._file.close()
        self._lock.release(remove=True)

    def _begin(self, parameter: float) -> int:
        """Make a file where none is; return how many bytes of it are whole."""
        if self.path.exists() and self.path.stat().st_size >= FILE_HEAD:
            there = BlockFile(self.path)
            if there.parameter != parameter:
                raise UserError(
                    f"{self.path} was written with the number {there.parameter!r}, not "
                    f"{parameter!r}; use another folder"
                )
            return there.whole_bytes()
        head = _FILE.pack(_FILE_MAGIC, _VERSION, parameter)
        with naming_file(self.path), open(self.path, "wb") as file:
            file.write(head + _sum_of(head))
        return FILE_HEAD


def _directory(text: bytes) -> tuple[dict[str, Any], ...]:
    """Return what a directory says; nothing where it is none, though its sum is right."""
    try:
        listed = shaped(parse_json(text), tuple[dict[str, Any], ...])
    except ValueError:
        return ()
    is_one = all(
        isinstance(about.get("name"), str)
        and type(about.get("length")) is int
        and about["length"] >= 0
        for about in listed
    )
    return listed if is_one else ()


def _sum_of(data: bytes) -> bytes:
    return _SUM.pack(zlib.crc32(data))


def _write_all(file: Any, data: bytes) -> None:
    """Write to a file without a buffer, which may take less than it is given."""
    rest = memoryview(data)
    while len(rest):
        rest = rest[file.write(rest) :]
