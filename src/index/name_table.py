"""The images of an index in two stages: names, checksums and folders, on the disk and mapped.

Sorted by name, so that an image's number is its place and a name is found by bisection. Nothing of
it is in the memory of a process but what is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from src.common.sorted_names import SortedNames
from src.index.stores.photo_table import kept_checksum
from src.index.summed_files import SummedFile, SummedFiles

#: Of an image: where its name ends among the names, a digest of its feature file's checksum (zeros
#: where it has no features), and which of the folders its features are in.
_ROW = np.dtype([("end", "<u8"), ("checksum", "S16"), ("folder", "<u2")])


class NameTable(SortedNames):
    """The names of the images, sorted, and what is known of each.

    All is compared with its sums when it is opened, 40 MB of a million: looking at a thousand of
    them one by one would take longer.

    Args:
        names: file of the names, one behind the other.
        rows: file of what is known of each.

    Raises:
        DamagedError: the files are not what was written, or do not belong together.
    """

    def __init__(self, names: SummedFile, rows: SummedFile):
        rows.check_all()
        names.check_all()
        if rows.size % _ROW.itemsize:
            raise rows.damaged("has another length than rows")
        self._records = rows.mapped(np.uint8).view(_ROW)
        ends = self._records["end"]
        if (ends[-1] if len(ends) else 0) != names.size or (ends[1:] < ends[:-1]).any():
            raise rows.damaged("names what is not there")
        super().__init__(names.mapped(np.uint8), ends)

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
        text, ends = SortedNames.of(list(checksums)).arrays
        records = np.zeros(len(ends), dtype=_ROW)
        records["end"] = ends
        records["checksum"] = [sum_ and kept_checksum(sum_) for sum_ in checksums.values()]
        records["folder"] = folders
        files.write(names_file, text.tobytes())
        files.write(rows_file, records.tobytes())

    def folder(self, position: int) -> int:
        """Return the number of the folder that an image's features are in."""
        return int(self._records["folder"][position])

    def digests(self) -> dict[str, bytes]:
        """Return `kept_checksum` of each image, by name; empty where it has no features."""
        return dict(zip(self, self._records["checksum"].tolist()))
