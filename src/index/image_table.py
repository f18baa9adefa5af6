"""What an index knows of its images: where their features lie, how large they are, their files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from src.common.atomic_files import read_npz
from src.index.summed_files import SummedFiles, damaged


def extent(locations: np.ndarray) -> float:
    """Return the diagonal of the box around points [N, 2], a measure of the image's size, or 1."""
    return float(np.linalg.norm(np.ptp(locations, axis=0))) or 1.0 if len(locations) else 1.0


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
    """

    names: tuple[str, ...]
    starts: np.ndarray
    counts: np.ndarray
    extents: np.ndarray
    checksums: tuple[str, ...]

    @classmethod
    def without_rows(cls, checksums: Mapping[str, str]) -> ImageTable:
        """Return the table of images, name → checksum, of which no feature is in the index yet."""
        names = sorted(checksums)
        starts, counts = np.zeros((2, len(names)), dtype=np.int64)
        ones = np.ones(len(names))
        return cls(tuple(names), starts, counts, ones, tuple(checksums[name] for name in names))

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
        )

    def joined(self, other: ImageTable) -> ImageTable:
        """Return the table of the images of both, sorted."""
        names = self.names + other.names
        order = sorted(range(len(names)), key=names.__getitem__)
        checksums = self.checksums + other.checksums
        return ImageTable(
            tuple(names[i] for i in order),
            np.concatenate([self.starts, other.starts])[order],
            np.concatenate([self.counts, other.counts])[order],
            np.concatenate([self.extents, other.extents])[order],
            tuple(checksums[i] for i in order),
        )

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
            table = cls(
                tuple(json.loads(arrays["names"].tobytes())),
                arrays["starts"],
                arrays["counts"],
                arrays["extents"],
                tuple(text.decode() for text in arrays["checksums"].tolist()),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(files.folder, f"{name}: {error}") from None
        lengths = {len(part) for part in vars(table).values()}
        if len(lengths) != 1:
            raise damaged(files.folder, f"{name}: its parts differ in length")
        return table
