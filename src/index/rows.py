"""The rows of an index, one a feature: two files of them, and what they are read through."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.feature_io import Features
from src.index.image_table import ImageTable
from src.index.summed_files import SummedFile, SummedFiles, damaged


@dataclass
class RowFiles:
    """The files of rows, float32: descriptors and locations. They are only ever appended to.

    Attributes:
        files: of the index folder.
        descriptors_file, locations_file: names of the files.
        count: number of rows; what lies behind them in the files is left over.
        dimension: length of a descriptor; 0 where no row has been written.
    """

    files: SummedFiles
    descriptors_file: str
    locations_file: str
    count: int = 0
    dimension: int = 0

    @classmethod
    def new(cls, files: SummedFiles, generation: int) -> RowFiles:
        """Return the files that a generation of the index begins, without rows."""
        return cls(files, f"descriptors-{generation}.bin", f"locations-{generation}.bin")

    @classmethod
    def of(cls, files: SummedFiles, description: Mapping[str, Any]) -> RowFiles:
        """Return the files that `index.json` describes."""
        search = description["search"]
        names = search["descriptors_file"], search["locations_file"]
        return cls(files, *names, description["rows"], description["dimension"])

    @property
    def names(self) -> tuple[str, str]:
        """Names of the files."""
        return self.descriptors_file, self.locations_file

    @property
    def descriptors(self) -> Rows:
        """Float32 [count, dimension], in the order in which they are stored."""
        return self._rows(self.descriptors_file, self.dimension)

    @property
    def locations(self) -> Rows:
        """Float32 [count, 2], (y, x), in the order in which they are stored."""
        return self._rows(self.locations_file, 2)

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[Features], None]]:
        """Yield a function that puts the features of an image behind the rows there are."""
        with (
            self.files.writing(self.descriptors_file, append=True) as descriptors,
            self.files.writing(self.locations_file, append=True) as locations,
        ):

            def append(features: Features) -> None:
                descriptors(features.descriptors.tobytes())
                locations(features.locations.tobytes())
                self.count += len(features)
                self.dimension = features.dimension

            yield append

    def compacted(self, images: ImageTable, generation: int) -> RowFiles:
        """Write the rows that belong to images into new files, in the order of the names."""
        made = RowFiles.new(self.files, generation)
        made.count, made.dimension = images.features, self.dimension
        for rows, name in (
            (self.descriptors, made.descriptors_file),
            (self.locations, made.locations_file),
        ):
            with self.files.writing(name) as write:
                for start, count in zip(images.starts, images.counts):
                    write(rows[start : start + count].tobytes())
        return made

    def _rows(self, name: str, width: int) -> Rows:
        file = self.files.open(name, _is_finite)
        if file.size != self.count * width * 4:
            raise damaged(self.files.folder, "its files do not belong together")
        return Rows(file, width)


def _is_finite(block: bytes) -> bool:
    return bool(np.isfinite(np.frombuffer(block, dtype=np.float32)).all())


class Rows:
    """Rows of a file [rows, width]: what is taken out has been compared with its sums.

    Takes slices and arrays of row numbers, as an array does; rows that lie side by side are not
    copied. They are numbered as they are stored, or in the order of the image names.

    Args:
        file: float32, row after row.
        width: numbers of a row.
        offsets, starts: int64; the rows of image i are numbered from offsets[i] on, and stored from
            starts[i] on. None: as they are stored.
    """

    def __init__(
        self,
        file: SummedFile,
        width: int,
        offsets: np.ndarray | None = None,
        starts: np.ndarray | None = None,
    ):
        self._file = file
        self._stored = file.mapped(np.float32).reshape(-1, width)
        self._bytes = 4 * width
        self._offsets = offsets
        self._shifts = None if offsets is None else starts - offsets[:-1]
        self.shape = (len(self._stored) if offsets is None else int(offsets[-1]), width)
        self.dtype = self._stored.dtype
        self.ndim = 2

    def ordered(self, offsets: np.ndarray, starts: np.ndarray) -> Rows:
        """Return the same rows in the order of the image names."""
        return Rows(self._file, self.shape[1], offsets, starts)

    def check_all(self) -> None:
        """Compare the whole file with its sums.

        Raises:
            DamagedError: it is not what was written.
        """
        self._file.check_all()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        rest: tuple = ()
        if isinstance(key, tuple):
            key, rest = key[0], key[1:]
        if isinstance(key, slice):
            start, end, step = key.indices(len(self))
            shift = self._shift_of_all(start, end)
            if step == 1 and shift is not None:
                start, end = start + shift, max(start, end) + shift
                self._file.check(start * self._bytes, end * self._bytes)
                return self._stored[(slice(start, end), *rest)]
            key = np.arange(start, end, step)
        rows = np.asarray(key)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        rows = np.where(rows < 0, rows + len(self), rows).astype(np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"row out of range for {len(self)} rows")
        if self._offsets is not None:
            rows = rows + self._shifts[np.searchsorted(self._offsets, rows, side="right") - 1]
        self._file.check(rows * self._bytes, (rows + 1) * self._bytes)
        return self._stored[(rows, *rest)]

    def _shift_of_all(self, start: int, end: int) -> int | None:
        """Return how far behind their numbers rows are stored, None where that differs."""
        if self._offsets is None:
            return 0
        if start >= end:
            return None
        image = np.searchsorted(self._offsets, start, side="right") - 1
        return int(self._shifts[image]) if end <= self._offsets[image + 1] else None

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)
