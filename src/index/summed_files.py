"""Files that keep a sum of each of their blocks: made when they are written, compared when read.

A disk gives back other bytes than it was given, seldom and unsaid, and a search that meets them
ranks otherwise and says nothing. So no byte of an index gets into a result before the sum of its
block (CRC-32) has been compared, once in the life of a process: opening a large index stays fast.
Every flipped bit is found that way, and of larger damage all but one in 4 thousand million.

A sum is made of what is handed over for writing, never of what lies on the disk, and goes on where
it stopped when a file is appended to: damage that is there already is not signed for.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import itertools
import os
import threading
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.common.errors import UserError, naming_file, raise_if_of_system

#: Bytes with one sum: 16 KB of sums for a GB, and little is read for a row that is wanted.
BLOCK_BYTES = 256 * 1024
_LARGEST_BLOCK = 2**26
_SUM = np.dtype("<u4")
#: Where the n-th reader of a file begins, n times this share of it: two that want all of it
#: at once then do half of the work each.
_GOLDEN = 0.618


class DamagedError(UserError):
    """A file of an index is missing, shortened or another one."""


def damaged(folder: Path, what: object) -> DamagedError:
    """Return what to tell a person whose index is damaged."""
    return DamagedError(f"the index {folder} is damaged ({what}); delete it and build it again")


class BlockSums:
    """The sums of the blocks of a file, which may grow.

    Args:
        size: bytes of the file so far.
        sums: of its blocks, uint32; the last block may not be full.
        block: bytes of a block; 0: `BLOCK_BYTES`.
    """

    def __init__(self, size: int = 0, sums: Iterable[int] = (), block: int = 0):
        self.size = size
        self.block = block or BLOCK_BYTES
        self._sums = list(map(int, sums))

    def extend(self, data: Any) -> None:
        """Go on with bytes that are written behind those there are."""
        rest = memoryview(data).cast("B")
        while len(rest):
            room = self.block - self.size % self.block
            if room == self.block:
                self._sums.append(0)
            self._sums[-1] = zlib.crc32(rest[:room], self._sums[-1])
            self.size += len(rest[:room])
            rest = rest[room:]

    @property
    def sums(self) -> np.ndarray:
        """Of each block, uint32."""
        return np.array(self._sums, dtype=_SUM)

    def as_json(self) -> dict[str, Any]:
        """Return size and sums as they are written down."""
        sums = {"bytes": self.size, "sums": base64.b64encode(self.sums.tobytes()).decode()}
        return sums if self.block == BLOCK_BYTES else {**sums, "block": self.block}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> BlockSums | None:
        """Return what is written down of a file; None where it has no sums: it is an old index.

        Raises:
            ValueError: it is nothing that `as_json` wrote.
        """
        if "sums" not in written:
            return None
        try:
            sums = np.frombuffer(base64.b64decode(written["sums"], validate=True), dtype=_SUM)
        except (binascii.Error, TypeError) as error:
            raise ValueError(str(error)) from None
        block = written.get("block", BLOCK_BYTES)
        if type(block) is not int or not 0 < block <= _LARGEST_BLOCK:
            raise ValueError(f"blocks of {block!r} bytes")
        if len(sums) != -(-written["bytes"] // block):
            raise ValueError("there is not one sum for each block")
        return cls(written["bytes"], sums, block)

    def copy(self) -> BlockSums:
        """Return the same, to be gone on with."""
        return BlockSums(self.size, self._sums, self.block)


class SummedFile:
    """A file, opened for reading: it stays on the disk, and may be removed or appended to.

    Args:
        path: the file, in the folder of an index.
        size: bytes from its start that belong to the index.
        sums: of its blocks, uint32; None: it has none.
        is_sane: says of a block of a file without sums whether it can be what was written.
        block: bytes of a block; 0: `BLOCK_BYTES`.

    Raises:
        DamagedError: it is missing or too short.
    """

    def __init__(
        self,
        path: Path,
        size: int,
        sums: np.ndarray | None,
        is_sane: Callable[[bytes], bool] | None = None,
        block: int = 0,
    ):
        self.path = path
        self.size = size
        try:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise_if_of_system(error, path)
            raise self.damaged("is missing") from None
        weakref.finalize(self, os.close, self._file)
        there = os.fstat(self._file).st_size
        if there < size:
            raise self.damaged(f"has {there} bytes, not {size}")
        self._sums = sums
        self._is_sane = is_sane or (lambda block: True)
        self._block = block or BLOCK_BYTES
        self._compared = np.zeros(-(-size // self._block), dtype=bool)
        self._all_compared = not size or (sums is None and is_sane is None)
        self._readers = itertools.count()
        self._one_reader = threading.Lock()

    @property
    def summed(self) -> bool:
        """Whether it has sums."""
        return self._sums is not None

    def damaged(self, what: str) -> DamagedError:
        """Return what to tell about this file."""
        return damaged(self.path.parent, f"{self.path.name} {what}")

    def check(self, starts: Any, ends: Any) -> None:
        """Compare the blocks in which some bytes lie, if they have not been compared before.

        Any number of threads may do so.

        Args:
            starts, ends: of ranges of bytes, int64 [N] or one of each.

        Raises:
            DamagedError: a block is not what was written.
        """
        if self._all_compared:
            return
        starts, ends = np.atleast_1d(starts).ravel(), np.atleast_1d(ends).ravel()
        some = ends > starts
        first, last = starts[some] // self._block, (ends[some] - 1) // self._block
        counts = last - first + 1
        before = np.cumsum(counts) - counts
        blocks = np.repeat(first - before, counts) + np.arange(counts.sum())
        blocks = np.unique(blocks[~self._compared[blocks]])
        turn = int(next(self._readers) * _GOLDEN * len(blocks))
        for block in np.roll(blocks, -turn).tolist():
            if not self._compared[block]:  # another thread was faster
                self._compare(block)
        self._all_compared = bool(self._compared.all())

    def check_all(self) -> None:
        """Compare the whole file.

        Raises:
            DamagedError: as `check`.
        """
        self.check(0, self.size)

    def mapped(self, dtype: type) -> np.ndarray:
        """Return a memory map of the bytes that belong to the index; `check` what is read of it."""
        count = self.size // np.dtype(dtype).itemsize
        if not count:
            return np.zeros(0, dtype=dtype)
        with os.fdopen(os.dup(self._file), "rb") as file:
            return np.asarray(np.memmap(file, dtype=dtype, mode="r", shape=(count,)))

    def read(self) -> bytes:
        """Return all bytes, compared.

        Raises:
            DamagedError: as `check`.
        """
        self.check_all()
        return self.mapped(np.uint8).tobytes()

    def _read_at(self, start: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file, count, start)
        with self._one_reader:  # Windows: the place in the file is shared by all threads
            os.lseek(self._file, start, os.SEEK_SET)
            return os.read(self._file, count)

    def _compare(self, block: int) -> None:
        start = block * self._block
        end = min(start + self._block, self.size)
        with naming_file(self.path):
            # Not through the map: a process that maps what a disk cannot read is killed.
            content = self._read_at(start, end - start)
        if len(content) < end - start:
            raise self.damaged(f"has been cut to {start + len(content)} bytes or less")
        whole = zlib.crc32(content) == self._sums[block] if self.summed else self._is_sane(content)
        if not whole:
            raise self.damaged(f"holds something else from byte {start} to {end}")
        self._compared[block] = True


class SummedFiles:
    """The files of an index folder: every one is read against the sums it was written with.

    Args:
        folder: the index folder.
        known: file name → what `described` returned of it; of an old index there are no sums.

    Raises:
        DamagedError: `known` is no such thing.
    """

    def __init__(self, folder: Path, known: Mapping[str, Mapping[str, Any]] | None = None):
        self.folder = folder
        known = known or {}
        try:
            self._sums = {name: BlockSums.from_json(written) for name, written in known.items()}
            self._sizes = {name: int(written["bytes"]) for name, written in known.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(folder, f"the sums of its files: {error}") from None

    @property
    def summed(self) -> bool:
        """Whether every file has sums."""
        return None not in self._sums.values()

    def open(self, name: str, is_sane: Callable[[bytes], bool] | None = None) -> SummedFile:
        """Open one of the files for reading.

        Args:
            name: of the file.
            is_sane: as for `SummedFile`.

        Raises:
            DamagedError: it is missing or too short.
        """
        if name not in self._sizes:
            raise damaged(self.folder, f"{name} does not belong to it")
        sums = self._sums[name]
        size = self._sizes[name] if sums is None else sums.size
        if sums is None:
            return SummedFile(self.folder / name, size, None, is_sane)
        return SummedFile(self.folder / name, size, sums.sums, is_sane, sums.block)

    @contextlib.contextmanager
    def writing(
        self, name: str, append: bool = False, block: int = 0
    ) -> Iterator[Callable[[Any], None]]:
        """Yield a function that writes bytes to a file; in the end they are on the disk.

        Args:
            name: of the file.
            append: behind what is there, of which a new file has nothing.
            block: bytes of a block of a new file, all of which are read for what is wanted of one;
                0: `BLOCK_BYTES`.
        """
        path = self.folder / name
        sums = BlockSums(block=block)
        if append and name in self._sizes:
            sums = self._sums_so_far(name)
        with path.open("ab" if append else "wb") as file:

            def write(data: Any) -> None:
                with naming_file(path):
                    file.write(data)
                sums.extend(data)

            yield write
            with naming_file(path):
                file.flush()
                os.fsync(file.fileno())
        self._sums[name], self._sizes[name] = sums, sums.size

    def write(self, name: str, content: Any) -> None:
        """Write a whole file."""
        with self.writing(name) as write:
            write(content)

    def described(self, names: Sequence[str]) -> dict[str, Any]:
        """Return what is to be written down of files, by name."""
        return {name: self._sums_so_far(name).as_json() for name in names}

    def _sums_so_far(self, name: str) -> BlockSums:
        """Return a copy of a file's sums; an old index gets them here, of what lies on the disk."""
        if name not in self._sizes:
            return BlockSums()
        sums = self._sums[name]
        if sums is not None:
            return sums.copy()
        sums = BlockSums()
        content = self.open(name).mapped(np.uint8)
        for start in range(0, len(content), BLOCK_BYTES):
            sums.extend(content[start : start + BLOCK_BYTES])
        return sums
