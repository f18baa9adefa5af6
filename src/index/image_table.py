"""What an index knows of its images: where their features lie, how large they are, their files."""

from __future__ import annotations

import bisect
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from src.common.errors import UserError
from src.common.json_files import parse_json, shaped
from src.common.npy_format import read_npz
from src.index.summed_files import SummedFiles, damaged


def extent(locations: np.ndarray) -> float:
    """Return the diagonal of the box around points [N, 2], a measure of the image's size, or 1."""
    return float(np.linalg.norm(np.ptp(locations, axis=0))) or 1.0 if len(locations) else 1.0


def index_of(names: Sequence[str], name: str | None) -> int | None:
    """Return the place of a name in sorted names; None where it is not there."""
    place = 0 if name is None else bisect.bisect_left(names, name)
    is_there = name is not None and place < len(names) and names[place] == name
    return place if is_there else None


@dataclass(frozen=True)
class ImageTable:
    """Where each image's features lie in the files of rows.

    Rows that belong to no image are those of images that were removed or replaced.

    Attributes:
        names: image names, sorted.
        starts: int64 [images], first row.
        counts: int64 [images], number of rows.
        extents: float64 [images], `extent` of the features in pixels.
        checksums: of each feature file; "" where the photo could not be read.
        sizes: int32 [images, 2], (height, width) of the photos; 0 where it is not known.
        globals: float16 [images, G], the global descriptors, 0 for images without; G is 0 where no
            image has one.
    """

    names: tuple[str, ...]
    starts: np.ndarray
    counts: np.ndarray
    extents: np.ndarray
    checksums: tuple[str, ...]
    sizes: np.ndarray
    globals: np.ndarray

    @classmethod
    def without_rows(cls, checksums: Mapping[str, str]) -> ImageTable:
        """Return the table of images, name → checksum, of which no feature is in the index yet."""
        names = sorted(checksums)
        starts, counts = np.zeros((2, len(names)), dtype=np.int64)
        return cls(
            tuple(names),
            starts,
            counts,
            np.ones(len(names)),
            tuple(checksums[name] for name in names),
            np.zeros((len(names), 2), dtype=np.int32),
            np.zeros((len(names), 0), dtype=np.float16),
        )

    def with_globals(self, descriptors: Mapping[int, np.ndarray]) -> ImageTable:
        """Return the table with the global descriptors of images, by their position.

        Raises:
            UserError: they differ in length.
        """
        lengths = sorted({len(descriptor) for descriptor in descriptors.values()})
        if len(lengths) > 1:
            raise _unlike(*lengths[:2])
        globals_ = np.zeros((len(self.names), *(lengths or [0])), dtype=np.float16)
        for image, descriptor in descriptors.items():
            globals_[image] = descriptor
        return replace(self, globals=globals_)

    @property
    def features(self) -> int:
        """Number of rows that belong to an image."""
        return int(self.counts.sum())

    def select(self, names: Iterable[str]) -> ImageTable:
        """Return the table of some of its images."""
        wanted = set(names)
        kept = [i for i, name in enumerate(self.names) if name in wanted]
        return ImageTable(
            tuple(self.names[i] for i in kept),
            self.starts[kept],
            self.counts[kept],
            self.extents[kept],
            tuple(self.checksums[i] for i in kept),
            self.sizes[kept],
            self.globals[kept],
        )

    def joined(self, other: ImageTable) -> ImageTable:
        """Return the table of the images of both, sorted."""
        names = self.names + other.names
        order = sorted(range(len(names)), key=names.__getitem__)
        checksums = self.checksums + other.checksums
        length = max(self.globals.shape[1], other.globals.shape[1])
        return ImageTable(
            tuple(names[i] for i in order),
            np.concatenate([self.starts, other.starts])[order],
            np.concatenate([self.counts, other.counts])[order],
            np.concatenate([self.extents, other.extents])[order],
            tuple(checksums[i] for i in order),
            np.concatenate([self.sizes, other.sizes])[order],
            np.concatenate([self._globals_of(length), other._globals_of(length)])[order],
        )

    def _globals_of(self, length: int) -> np.ndarray:
        """Return the global descriptors; zeros of a length where there are none at all."""
        if self.globals.shape[1] == length:
            return self.globals
        if self.globals.shape[1]:
            raise _unlike(self.globals.shape[1], length)
        return np.zeros((len(self.names), length), dtype=np.float16)

    def packed(self) -> ImageTable:
        """Return the table of the same images with their rows one after the other, none unused."""
        starts = np.cumsum(self.counts) - self.counts
        return replace(self, starts=starts)

    def in_order(self, count: int) -> bool:
        """Whether `count` rows are stored in the order of the images, and none is unused."""
        starts = np.cumsum(self.counts) - self.counts
        return count == self.features and bool(((self.starts == starts) | (self.counts == 0)).all())

    def live_runs(self) -> list[tuple[int, int]]:
        """Return the ranges (start, end) of rows that belong to images, as few as possible."""
        runs: list[tuple[int, int]] = []
        for i in np.argsort(self.starts, kind="stable"):
            start, end = int(self.starts[i]), int(self.starts[i] + self.counts[i])
            if start == end:
                continue
            if runs and runs[-1][1] == start:
                runs[-1] = (runs[-1][0], end)
            else:
                runs.append((start, end))
        return runs

    def write(self, files: SummedFiles, name: str) -> None:
        """Write the table; equal tables give equal bytes."""
        content = io.BytesIO()
        np.savez(
            content,
            names=np.frombuffer(json.dumps(self.names).encode(), dtype=np.uint8),
            starts=self.starts,
            counts=self.counts,
            extents=self.extents,
            checksums=np.array(self.checksums, dtype="S64"),
            **({"sizes": self.sizes} if self.sizes.any() else {}),
            **({"globals": self.globals} if self.globals.size else {}),
        )
        files.write(name, content.getbuffer())

    @classmethod
    def read(cls, files: SummedFiles, name: str) -> ImageTable:
        """Read a table back.

        Raises:
            DamagedError: the file is not whole.
        """
        try:
            arrays = read_npz(io.BytesIO(files.open(name).read()))
            count = len(arrays["starts"])
            table = cls(
                shaped(parse_json(arrays["names"].tobytes()), tuple[str, ...]),
                arrays["starts"],
                arrays["counts"],
                arrays["extents"],
                tuple(text.decode() for text in arrays["checksums"].tolist()),
                arrays.get("sizes", np.zeros((count, 2), dtype=np.int32)),
                arrays.get("globals", np.zeros((count, 0), dtype=np.float16)),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(files.folder, f"{name}: {error}") from None
        lengths = {len(part) for part in vars(table).values()}
        if len(lengths) != 1:
            raise damaged(files.folder, f"{name}: its parts differ in length")
        return table


def _unlike(*lengths: int) -> UserError:
    numbers = " and ".join(map(str, lengths))
    return UserError(f"the images' global descriptors have {numbers} dimensions; extract again")
