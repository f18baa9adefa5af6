"""The images of an index in two stages: names, checksums and folders, on the disk and mapped.

Sorted by name, so that an image's number is its place and a name is found by bisection. Nothing of
it is in the memory of a process but what is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from src.index.stores.photo_table import kept_checksum
from src.index.summed_files import SummedFile, SummedFiles

#: Of an image: where its name ends among the names, a digest of its feature file's checksum (zeros
#: where it has no features), and which of the folders its features are in.
_ROW = np.dtype([("end", "<u8"), ("checksum", "S16"), ("folder", "<u2")])
_BLOCK = 65_536


class NameTable(Sequence[str]):
    """The names of the images, sorted, and what is known of each.

    Args:
        names: file of the names, one behind the other.
        rows: file of what is known of each.

    Raises:
        DamagedError: the files do not belong together.
    """

    def __init__(self, names: SummedFile, rows: SummedFile):
        self._names, self._rows = names, rows
        self._text = names.mapped(np.uint8)
        if rows.size % _ROW.itemsize:
            raise rows.damaged("has another length than rows")
        self._records = rows.mapped(np.uint8).view(_ROW)
        self._count = len(self._records)

    @classmethod
    def open(cls, files: SummedFiles, generation: int) -> NameTable:
        """Open the files of a generation of an index.

        Raises:
            DamagedError: they are missing, or not what was written.
        """
        return cls(*(files.open(name) for name in cls.files(generation)))

    @staticmethod
    def files(generation: int) -> tuple[str, str]:
        """Return the names of the files of a generation."""
        return f"names-{generation}.bin", f"photos-{generation}.bin"

    @classmethod
    def write(
        cls,
        files: SummedFiles,
        generation: int,
        checksums: Mapping[str, str],
        folders: Sequence[int],
    ) -> None:
        """Write the files of a generation.

        Args:
            files: of the index folder.
            generation: its number.
            checksums: name → checksum of its feature file, "" where it has none; sorted by name.
            folders: number of the folder of the features of each.
        """
        names_file, rows_file = cls.files(generation)
        encoded = [name.encode("utf-8", "surrogatepass") for name in checksums]
        records = np.zeros(len(encoded), dtype=_ROW)
        records["end"] = np.cumsum([len(name) for name in encoded])
        records["checksum"] = [sum_ and kept_checksum(sum_) for sum_ in checksums.values()]
        records["folder"] = folders
        files.write(names_file, b"".join(encoded))
        files.write(rows_file, records.tobytes())

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> str:  # type: ignore[override]
        if not -self._count <= position < self._count:
            raise IndexError(f"image {position} of {self._count}")
        position %= self._count
        ends = self._ends
        start = ends[position - 1] if position else 0
        return self._text[start : ends[position]].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        start = 0
        for first in range(0, self._count, _BLOCK):
            ends = self._ends[first : first + _BLOCK].tolist()
            text = self._text[start : ends[-1]].tobytes()
            for begin, end in zip([start, *ends], ends):
                yield text[begin - start : end - start].decode("utf-8", "surrogatepass")
            start = ends[-1]

    def folder(self, position: int) -> int:
        """Return the number of the folder that an image's features are in."""
        _ = self._ends
        return int(self._records["folder"][position])

    def digests(self) -> dict[str, bytes]:
        """Return `kept_checksum` of each image, by name; empty where it has no features."""
        return dict(zip(self, self._records["checksum"].tolist()))

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where names end, uint64 [images].

        All is compared with its sums when the first name is looked at, 40 MB of a million: looking
        at a thousand of them one by one would take longer.

        Raises:
            DamagedError: it is not what was written.
        """
        self._rows.check_all()
        self._names.check_all()
        ends = self._records["end"]
        if self._count and (ends[-1] != self._names.size or (ends[1:] < ends[:-1]).any()):
            raise self._rows.damaged("names what is not there")
        return ends
