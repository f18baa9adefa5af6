"""The rows of an index, one a feature: two files of them, and a view in the order of the images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.common.errors import naming_file
from src.feature_io import Features
from src.index.image_table import ImageTable


@dataclass
class RowFiles:
    """The files of rows, float32: descriptors and locations. They are only ever appended to.

    Attributes:
        folder: the index folder.
        descriptors_file, locations_file: names of the files.
        count: number of rows; what lies behind them in the files is left over.
        dimension: length of a descriptor; 0 where no row has been written.
    """

    folder: Path
    descriptors_file: str
    locations_file: str
    count: int = 0
    dimension: int = 0

    @classmethod
    def new(cls, folder: Path, generation: int) -> RowFiles:
        """Return the files that a generation of the index begins, without rows."""
        return cls(folder, f"descriptors-{generation}.bin", f"locations-{generation}.bin")

    @classmethod
    def of(cls, folder: Path, description: Mapping[str, Any]) -> RowFiles:
        """Return the files that `index.json` describes."""
        search = description["search"]
        names = search["descriptors_file"], search["locations_file"]
        return cls(folder, *names, description["rows"], description["dimension"])

    @property
    def descriptors(self) -> np.ndarray:
        """Memory map, float32 [count, dimension]."""
        return self._mapped(self.descriptors_file, self.dimension)

    @property
    def locations(self) -> np.ndarray:
        """Memory map, float32 [count, 2], (y, x)."""
        return self._mapped(self.locations_file, 2)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file that belong to the rows."""
        widths = {self.descriptors_file: self.dimension, self.locations_file: 2}
        return {name: self.count * width * 4 for name, width in widths.items()}

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[Features], None]]:
        """Yield a function that puts the features of an image behind the rows there are."""
        paths = self.folder / self.descriptors_file, self.folder / self.locations_file
        with paths[0].open("ab") as descriptors, paths[1].open("ab") as locations:

            def append(features: Features) -> None:
                for file, path, array in (
                    (descriptors, paths[0], features.descriptors),
                    (locations, paths[1], features.locations),
                ):
                    with naming_file(path):
                        file.write(array.tobytes())
                self.count += len(features)
                self.dimension = features.dimension

            yield append

    def compacted(self, images: ImageTable, generation: int) -> RowFiles:
        """Write the rows that belong to images into new files, in the order of the names."""
        made = RowFiles.new(self.folder, generation)
        made.count, made.dimension = images.features, self.dimension
        for stored, name in (
            (self.descriptors, made.descriptors_file),
            (self.locations, made.locations_file),
        ):
            path = self.folder / name
            with path.open("wb") as file, naming_file(path):
                for start, count in zip(images.starts, images.counts):
                    file.write(stored[start : start + count].tobytes())
        return made

    def _mapped(self, name: str, width: int) -> np.ndarray:
        shape = (self.count, width)
        return np.memmap(self.folder / name, dtype=np.float32, mode="r", shape=shape)


class Rows:
    """Rows of a file [rows, width] in the order of the image names.

    Takes slices and arrays of row numbers, as an array does; one image's slice is not copied.
    """

    def __init__(self, stored: np.ndarray, offsets: np.ndarray, starts: np.ndarray):
        self._stored = stored
        self._offsets = offsets
        self._shifts = starts - offsets[:-1]
        self.shape = (int(offsets[-1]), stored.shape[1])
        self.dtype = stored.dtype
        self.ndim = 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        rest: tuple = ()
        if isinstance(key, tuple):
            key, rest = key[0], key[1:]
        if isinstance(key, slice):
            start, end, step = key.indices(len(self))
            image = np.searchsorted(self._offsets, start, side="right") - 1
            if step == 1 and start < end <= self._offsets[image + 1]:
                shift = self._shifts[image]
                return self._stored[(slice(start + shift, end + shift), *rest)]
            key = np.arange(start, end, step)
        rows = np.asarray(key)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        rows = np.where(rows < 0, rows + len(self), rows).astype(np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"row out of range for {len(self)} rows")
        images = np.searchsorted(self._offsets, rows, side="right") - 1
        return self._stored[(rows + self._shifts[images], *rest)]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


#: What rows are read from: a memory map, or `Rows` after an update.
RowArray = np.ndarray | Rows
