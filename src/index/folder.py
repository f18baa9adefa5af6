"""An index folder, opened for searching: everything stays on the disk until it is looked at.

Rows are numbered in the order of the image names, whatever the order in which photos came and went:
an index that was brought up to date numbers its rows as one that was built anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import raise_if_of_system
from src.index.files import check_files, is_two_stage, read_description
from src.index.image_table import ImageTable
from src.index.lists import SearchedLists
from src.index.neighbours import checked_queries, in_order
from src.index.part import IndexPart, LocalFeatures, Similar
from src.index.rows import RowFiles, Rows
from src.index.structure import SearchStructure
from src.index.summed_files import DamagedError, SummedFiles, damaged
from src.index.two_stage import TwoStageIndex

#: Openings that meet a program which is just replacing the files.
_OPENINGS = 5
#: The distance that FAISS gives where it has found nothing.
_FARTHEST = np.finfo(np.float32).max


@dataclass(frozen=True)
class Index:
    """An index folder, opened. What is read of it is compared with the sums it was written with.

    Attributes:
        folder: where it is.
        names: image names, sorted.
        offsets: int64 [images + 1]; the features of image i are rows offsets[i]:offsets[i + 1].
        descriptors: float32 [features, D] of unit length, on the disk whatever the kind of index.
        locations: float32 [features, 2] (y, x) in pixels of the original image, on the disk.
        extents: float64 [images], `extent` of each image's features in pixels.
        sizes: int32 [images, 2], (height, width) of the photos; 0 where it is not known.
        globals: float32 [images, G], the global descriptors, 0 for images without; G is 0 where no
            image has one.
        settings: what it was built with: features, kind of index, checksum of the features.
        description: all of `index.json`.
    """

    folder: Path
    names: tuple[str, ...]
    offsets: np.ndarray
    descriptors: Rows
    locations: Rows
    extents: np.ndarray
    sizes: np.ndarray
    globals: np.ndarray
    settings: dict[str, Any]
    description: dict[str, Any]
    _images: ImageTable
    _stored: Rows
    _lists: tuple[SearchedLists, ...]

    @property
    def has_globals(self) -> bool:
        """Whether images have global descriptors."""
        return bool(self.globals.size)

    @property
    def is_two_stage(self) -> bool:
        """Whether it can be searched in two stages only: all features of this one can vote."""
        return False

    @property
    def image_count(self) -> int:
        """Number of images, those without features included."""
        return len(self.names)

    @property
    def dimension(self) -> int:
        """Length D of a descriptor."""
        return self._stored.shape[1]

    def images_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the image of each of some features, int32 [N], by their rows, int64 [N]."""
        return (np.searchsorted(self.offsets, rows, side="right") - 1).astype(np.int32)

    def nearest(self, descriptors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest features of the index.

        Uses as many threads as FAISS is set to.

        Args:
            descriptors: float32 [N, D].
            k: number of neighbours, at least 1.

        Returns:
            Squared distances float32 [N, k] and rows int64 [N, k], nearest first, of equal
            distances the lower row first. Where fewer are found, the row is -1 and the distance
            infinite. With compressed kinds the distances are to what the codes say.

        Raises:
            UserError: the descriptors are not as long as those of the index.
            DamagedError: what had to be read of the index is not what was written.
        """
        queries = checked_queries(descriptors, self.dimension, self.folder, k)
        if not len(queries):
            return np.zeros((0, k), dtype=np.float32), np.zeros((0, k), dtype=np.int64)
        found = self._in_lists(queries, k) if self._lists else self._in_all(queries, k)
        squares = np.concatenate([part[0] for part in found], axis=1)
        stored = np.concatenate([part[1] for part in found], axis=1)
        if ((stored < 0) & (squares < _FARTHEST)).any():
            raise self._mixed_up()
        return in_order(squares, self._numbered(stored), k)

    def similar(self, whole: np.ndarray, k: int) -> Similar:
        """Find the images whose global descriptors are most like those of a query.

        Args:
            whole: float32 [R, G], one, or one of each of its rotations: the best counts.
            k: how many at most.
        """
        cosines = (self.globals @ whole.T).max(axis=1)
        images = np.sort(np.argsort(-cosines, kind="stable")[:k])
        return Similar(images, self.globals[images])

    def feature_count(self, image: int) -> int:
        """Return the number of an image's local features."""
        return int(self.offsets[image + 1] - self.offsets[image])

    def part(self, similar: Similar, featured: np.ndarray) -> IndexPart:
        """Return images by themselves.

        Args:
            similar: the images.
            featured: bool [K], those whose local features are to be compared.

        Raises:
            DamagedError: what had to be read of the index is not what was written.
        """
        return IndexPart.of(self.folder, self.dimension, similar, featured, self._features_of)

    def _features_of(self, image: int) -> LocalFeatures:
        rows = slice(*self.offsets[image : image + 2].tolist())
        return LocalFeatures(
            self.descriptors[rows],
            self.locations[rows],
            self.extents[image],
            self.sizes[image].tolist(),
        )

    def _in_lists(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        centres = self._lists[0].centres(queries, self.description["search"]["probes"])
        return [part.search(queries, k, centres, self._live) for part in self._lists]

    def _in_all(self, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        found = []
        for start, end in self._runs:
            squares, rows = faiss.knn(queries, self._stored[start:end], min(k, end - start))
            found.append((squares, rows + start))
        return found

    @cached_property
    def _runs(self) -> list[tuple[int, int]]:
        return self._images.live_runs()

    @cached_property
    def _live(self) -> faiss.IDSelector | None:
        """Which rows belong to images; None where all do, which is faster."""
        if self.offsets[-1] == len(self._stored):
            return None
        bits = np.zeros(len(self._stored), dtype=bool)
        for start, end in self._runs:
            bits[start:end] = True
        packed = np.packbits(bits, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(packed), faiss.swig_ptr(packed))
        selector.bits = packed  # FAISS does not keep a copy
        return selector

    @cached_property
    def _by_start(self) -> np.ndarray:
        full = np.flatnonzero(self._images.counts)
        return full[np.argsort(self._images.starts[full])]

    def _numbered(self, stored: np.ndarray) -> np.ndarray:
        """Return the rows in the order of the names of rows as they are stored; -1 stays."""
        starts = self._images.starts[self._by_start]
        images = self._by_start[np.searchsorted(starts, np.maximum(stored, 0), side="right") - 1]
        own = stored - self._images.starts[images]
        if ((stored >= 0) & ((own < 0) | (own >= self._images.counts[images]))).any():
            raise self._mixed_up()
        return np.where(stored < 0, -1, self.offsets[images] + own)

    def _mixed_up(self) -> DamagedError:
        return damaged(self.folder, "its lists hold rows that no image has")


AnyIndex = Index | TwoStageIndex


def load_index(index_folder: PathLike) -> AnyIndex:
    """Open an index folder.

    An index that is brought up to date meanwhile stays as it was for those who have it open.

    Raises:
        UserError: when there is no index, or its files are damaged or do not belong together.
    """
    folder = Path(index_folder)
    for attempt in range(_OPENINGS):
        description = read_description(folder)
        try:
            return _open(folder, description)
        except (DamagedError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            replaced = read_description(folder)["generation"] != description["generation"]
            if replaced and attempt + 1 < _OPENINGS:
                continue
            raise_if_of_system(error, folder)
            raise error if isinstance(error, DamagedError) else damaged(folder, error) from None
    raise AssertionError("unreachable")


def _open(folder: Path, description: Mapping[str, Any]) -> AnyIndex:
    check_files(folder, description)
    if is_two_stage(description):
        return TwoStageIndex.open(folder, description)
    known = SummedFiles(folder, description["files"])
    files = RowFiles.of(known, description)
    images = ImageTable.read(known, description["search"]["images_file"])
    offsets = np.concatenate([[0], np.cumsum(images.counts)]).astype(np.int64)
    described = (description["images"], description["features"])
    if (len(images.names), images.features) != described:
        raise damaged(folder, "its files do not belong together")
    stored, locations = files.descriptors, files.locations
    structure = SearchStructure.of(description)
    lists = structure.opened(known, files.count)
    if structure.trained_file is not None and (
        any(part.dimension != files.dimension for part in lists)
        or sum(map(len, lists)) != files.count
    ):
        raise damaged(folder, "its files do not belong together")
    rows = [stored, locations]
    if not images.in_order(files.count):
        rows = [part.ordered(offsets, images.starts) for part in rows]
    return Index(
        folder=folder,
        names=images.names,
        offsets=offsets,
        descriptors=rows[0],
        locations=rows[1],
        extents=images.extents,
        sizes=images.sizes,
        globals=images.globals.astype(np.float32),
        settings=description["settings"],
        description=dict(description),
        _images=images,
        _stored=stored,
        _lists=tuple(lists),
    )
