"""The photos of a store in a folder: names, parts and checksums of its rows, in files of their own.

A row is a photo that was added; the rows of photos that were removed or replaced are dead, and stay
until the files are written anew. Files are only ever appended to, but that of the rows that live.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from src.index.stores.interface import Only
from src.index.summed_files import SummedFile, SummedFiles, damaged

#: Of a row: where its name ends in the file of names, what the name and the checksum were hashed
#: to, and which of the parts it belongs to.
ROW = np.dtype([("end", "<u8"), ("name", "<u8"), ("checksum", "S16"), ("part", "<u4")])
_BLOCK = 65_536


def hashed(text: str) -> bytes:
    """Return 16 bytes that differ where texts do."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _name_hashes(names: Sequence[str]) -> np.ndarray:
    return np.frombuffer(b"".join(hashed(name)[:8] for name in names), dtype="<u8")


@dataclass
class PhotoTable:
    """The rows of a store, opened.

    Attributes:
        files: of the store's folder.
        names_file, rows_file: what is appended to.
        parts: names of the parts, by number.
        live: bool [rows], whether a row is a photo of the store.
    """

    files: SummedFiles
    names_file: str
    rows_file: str
    parts: tuple[str, ...]
    live: np.ndarray

    def __len__(self) -> int:
        return len(self.live)

    def open(self) -> None:
        """Open the files: they may be removed from now on.

        Raises:
            DamagedError: they are not what they should be.
        """
        _ = self._names, self._rows_of_file

    @cached_property
    def _names(self) -> SummedFile:
        return self.files.open(self.names_file)

    @cached_property
    def _rows_of_file(self) -> SummedFile:
        file = self.files.open(self.rows_file)
        if file.size != len(self.live) * ROW.itemsize:
            raise damaged(self.files.folder, "its files do not belong together")
        return file

    @cached_property
    def _records(self) -> np.ndarray:
        return self._rows_of_file.mapped(np.uint8).view(ROW)

    @cached_property
    def _by_hash(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of the names of live rows, sorted, and those rows."""
        self._rows_of_file.check_all()
        rows = np.flatnonzero(self.live)
        hashes = self._records["name"][rows]
        order = np.argsort(hashes, kind="stable")
        return hashes[order], rows[order]

    def rows_of(self, names: Sequence[str]) -> np.ndarray:
        """Return the live row of each name, int64, -1 where there is none."""
        known, rows = self._by_hash
        wanted = _name_hashes(names)
        found = np.full(len(names), -1, dtype=np.int64)
        starts = np.searchsorted(known, wanted, side="left")
        ends = np.searchsorted(known, wanted, side="right")
        for position in np.flatnonzero(ends > starts):
            same = rows[starts[position] : ends[position]]
            for row, name in zip(same.tolist(), self.names_of(same)):
                if name == names[position]:
                    found[position] = row
        return found

    def same_checksum(self, rows: np.ndarray, checksums: Sequence[str]) -> np.ndarray:
        """Return whether rows, -1 for none, were made of what has these checksums."""
        kept = self._records["checksum"]
        return np.array(
            [
                row >= 0 and kept[row] == kept_checksum(text)
                for row, text in zip(rows.tolist(), checksums)
            ],
            dtype=bool,
        )

    def names_of(self, rows: np.ndarray) -> list[str]:
        """Return the names of rows."""
        rows = np.asarray(rows, dtype=np.int64)
        if not len(rows):
            return []
        self._rows_of_file.check(np.maximum(rows - 1, 0) * ROW.itemsize, (rows + 1) * ROW.itemsize)
        ends = self._records["end"]
        last = ends[rows].astype(np.int64)
        first = np.where(rows > 0, ends[np.maximum(rows - 1, 0)], 0).astype(np.int64)
        if (first > last).any() or last.max() > self._names.size:
            raise damaged(self.files.folder, f"{self.rows_file} names what is not there")
        self._names.check(first, last)
        text = self._names.mapped(np.uint8)
        return [text[start:end].tobytes().decode() for start, end in zip(first, last)]

    def all_names(self) -> Iterator[str]:
        """Yield the names of the live rows."""
        rows = np.flatnonzero(self.live)
        for start in range(0, len(rows), _BLOCK):
            yield from self.names_of(rows[start : start + _BLOCK])

    def chosen(self, only: Only) -> np.ndarray:
        """Return which rows count, bool [rows]."""
        rows = self.live.copy()
        if only.parts:
            self._rows_of_file.check_all()
            wanted = [number for number, part in enumerate(self.parts) if part in only.parts]
            rows &= np.isin(self._records["part"], wanted)
        if only.names is not None:
            named = np.zeros(len(rows), dtype=bool)
            found = self.rows_of(only.names)
            named[found[found >= 0]] = True
            rows &= named
        if only.without:
            found = self.rows_of(only.without)
            rows[found[found >= 0]] = False
        return rows

    def append(
        self, names: Sequence[str], checksums: Sequence[str], parts: Sequence[str]
    ) -> PhotoTable:
        """Return the table with photos behind its rows; the old rows of their names die."""
        live = self.live.copy()
        if len(live):
            old = self.rows_of(names)
            live[old[old >= 0]] = False
        numbers = {part: number for number, part in enumerate(self.parts)}
        for part in parts:
            numbers.setdefault(part, len(numbers))
        encoded = [name.encode() for name in names]
        records = np.zeros(len(names), dtype=ROW)
        before = self._names.size if len(live) else 0
        records["end"] = before + np.cumsum([len(name) for name in encoded])
        records["name"] = _name_hashes(names)
        records["checksum"] = [kept_checksum(text) for text in checksums]
        records["part"] = [numbers[part] for part in parts]
        for file, content in ((self.names_file, b"".join(encoded)), (self.rows_file, records)):
            with self.files.writing(file, append=True) as write:
                write(content if isinstance(content, bytes) else content.tobytes())
        live = np.concatenate([live, np.ones(len(names), dtype=bool)])
        return PhotoTable(self.files, self.names_file, self.rows_file, tuple(numbers), live)

    def compacted(self, generation: int) -> PhotoTable:
        """Write the live rows into new files, in their order."""
        rows = np.flatnonzero(self.live)
        self._rows_of_file.check_all()
        names_file, rows_file = f"names-{generation}.bin", f"rows-{generation}.bin"
        end = 0
        with (
            self.files.writing(names_file) as write_names,
            self.files.writing(rows_file) as write_rows,
        ):
            for start in range(0, len(rows), _BLOCK):
                block = rows[start : start + _BLOCK]
                encoded = [name.encode() for name in self.names_of(block)]
                records = self._records[block].copy()
                records["end"] = end + np.cumsum([len(name) for name in encoded])
                end = int(records["end"][-1])
                write_names(b"".join(encoded))
                write_rows(records.tobytes())
        live = np.ones(len(rows), dtype=bool)
        return PhotoTable(self.files, names_file, rows_file, self.parts, live)


def kept_checksum(checksum: str) -> bytes:
    """Return what is kept of a checksum, as NumPy gives it back."""
    # NumPy cuts zeros off the end of bytes: what is compared has none.
    return hashed(checksum).rstrip(b"\0")
