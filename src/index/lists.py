"""Inverted lists: training them, and files of them that are searched where they lie.

A file of lists holds, after its header, the codes and the row numbers (int64) of list after list,
so that FAISS searches it through a memory map: an index may be larger than the memory. One file is
written at the build and one by each update; all share the trained part (centres, quantisers).
Before FAISS looks into a list, it has been compared with the sums of its file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence

import faiss
import numpy as np

from src.common.progress import progress
from src.index.choice import IndexPlan, IndexSettings
from src.index.rows import Rows
from src.index.summed_files import SummedFile, SummedFiles, damaged

LOG = logging.getLogger(__name__)

#: Rows that are encoded at a time, and rows that are sorted into lists in memory.
_BLOCK = 65_536
_SHARD = 16 * _BLOCK
_MAGIC = b"DELF lists 1\n\0\0\0"


def train(
    files: SummedFiles, name: str, rows: Rows, plan: IndexPlan, settings: IndexSettings
) -> faiss.IndexIVF:
    """Learn the centres of the lists and the quantisers from an even sample; write and return them.

    Args:
        files: of the index folder.
        name: of the file to write.
        rows: float32 [rows, D]; only the sample is read.
        plan: kind and number of lists.
        settings: size of the sample, iterations, seed.
    """
    sample = np.ascontiguousarray(rows[even_sample(len(rows), _training_size(plan, settings),
                                                   settings.seed)])  # fmt: skip
    LOG.info(
        "learning %d lists from %d features in %d passes",
        plan.lists,
        len(sample),
        settings.iterations,
    )
    index = faiss.index_factory(rows.shape[1], f"IVF{plan.lists},{plan.code}", faiss.METRIC_L2)
    clusterings = [index.cp] + ([index.pq.cp] if plan.kind == "ivf_pq" else [])
    for clustering in clusterings:
        clustering.niter = settings.iterations
        clustering.seed = settings.seed
        clustering.min_points_per_centroid = 1  # no advice on the terminal
    index.cp.max_points_per_centroid = len(sample)  # the sample is drawn already
    index.train(sample)
    files.write(name, faiss.serialize_index(index).tobytes())
    return index


def even_sample(rows: int, count: int, seed: int) -> np.ndarray:
    """Return int64 row numbers, sorted: one drawn from each of `count` equal parts of the rows."""
    count = min(count, rows)
    edges = np.arange(count + 1) * rows // count
    drawn = np.random.default_rng(seed).random(count) * np.diff(edges)
    return edges[:-1] + drawn.astype(np.int64)


def write_lists(
    files: SummedFiles, name: str, trained: faiss.IndexIVF, rows: Rows, first_row: int
) -> None:
    """Sort rows, from one of them on, into the lists of a new file.

    Args:
        files: of the index folder.
        name: of the file to write.
        trained: what `train` has learnt.
        rows: float32 [rows, D]; read a block at a time.
        first_row: the first one that is taken.
    """
    starts = range(first_row, len(rows), _SHARD)
    if len(starts) == 1:
        _write_shard(files, name, trained, rows, first_row)
        return
    stem, suffix = name.rsplit(".", 1)
    shards: list[str] = []
    try:
        for start in progress(starts, "sorting into lists", "block"):
            shards.append(f"{stem}{len(shards)}.{suffix}")
            _write_shard(files, shards[-1], trained, rows, start)
        merge_lists(files, name, shards)
    finally:
        for shard in shards:
            (files.folder / shard).unlink(missing_ok=True)


def merge_lists(files: SummedFiles, name: str, parts: Sequence[str]) -> None:
    """Write the lists of several files, one after the other, into one."""
    opened = [_Lists(files.open(part)) for part in parts]
    sizes = sum(part.sizes for part in opened)
    for part in opened:
        part.file.check_all()
    chunks = (
        part.chunk(number, kind)
        for number in range(len(sizes))
        for kind in ("codes", "rows")
        for part in opened
    )
    _write_file(files, name, sizes, opened[0].code_bytes, chunks)


class SearchedLists:
    """A file of lists that is searched where it lies, with the trained part it was written by.

    Args:
        files: of the index folder.
        name: of the file of lists.
        trained_name: of the file of the trained part.
        row_count: rows of the index.

    Raises:
        DamagedError: a file is not what it should be.
    """

    def __init__(self, files: SummedFiles, name: str, trained_name: str, row_count: int):
        self._lists = _Lists(files.open(name))
        self._row_count = row_count
        self._in_range = np.zeros(len(self._lists.sizes), dtype=bool)
        self._index = read_trained(files, trained_name)
        known = self._index.nlist, self._index.code_size
        if known != (len(self._lists.sizes), self._lists.code_bytes):
            raise damaged(files.folder, f"{name} does not belong to {trained_name}")
        if len(self._lists):
            self._index.replace_invlists(_mapped(self._lists), True)
            self._index.ntotal = len(self._lists)

    def __len__(self) -> int:
        """Number of rows in the lists."""
        return len(self._lists)

    @property
    def dimension(self) -> int:
        """Length of a descriptor."""
        return self._index.d

    @property
    def list_count(self) -> int:
        """Number of lists."""
        return self._index.nlist

    def centres(self, queries: np.ndarray, probes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the lists nearest to queries: squared distances and numbers [N, probes].

        The same for all files that share a trained part.
        """
        return self._index.quantizer.search(queries, min(probes, self.list_count))

    def search(
        self,
        queries: np.ndarray,
        k: int,
        centres: tuple[np.ndarray, np.ndarray],
        only: faiss.IDSelector | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return squared distances float32 [N, k] and rows int64 [N, k] of the nearest in lists.

        Args:
            queries: float32 [N, D].
            k: number of neighbours; where there are fewer, the row is -1.
            centres: of each query, as `centres` returns them: which lists are looked into.
            only: which rows count; None = all.

        Raises:
            DamagedError: one of those lists is not what was written.
        """
        distances, numbers = (np.ascontiguousarray(part) for part in centres)
        self._check(numbers)
        squares = np.empty((len(queries), k), dtype=np.float32)
        rows = np.empty((len(queries), k), dtype=np.int64)
        # Not `search`, which chooses the lists by itself: by other ones, when distances round
        # otherwise in another number of threads. FAISS's Python takes no parameters here, C++ does.
        self._index.search_preassigned_c(
            len(queries), faiss.swig_ptr(queries), k, faiss.swig_ptr(numbers),
            faiss.swig_ptr(distances), faiss.swig_ptr(squares), faiss.swig_ptr(rows), False,
            faiss.SearchParametersIVF(nprobe=numbers.shape[1], sel=only),
        )  # fmt: skip
        return squares, rows

    def rows(self) -> Iterator[np.ndarray]:
        """Yield the numbers of the rows, int64, list after list.

        Raises:
            DamagedError: as `search`.
        """
        self._check(np.arange(self.list_count))
        for number in range(self.list_count):
            yield self._rows_of(number)

    def _check(self, numbers: np.ndarray) -> None:
        """Compare lists with the sums of the file, and see that they hold rows of the index.

        FAISS says nothing of a row that is none: it leaves it out.
        """
        if self._in_range.all():
            return
        self._lists.check(numbers)
        wanted = np.zeros(self.list_count, dtype=bool)
        wanted[numbers[numbers >= 0]] = True
        for number in np.flatnonzero(wanted & ~self._in_range).tolist():
            rows = self._rows_of(number)
            if len(rows) and not 0 <= rows.min() <= rows.max() < self._row_count:
                raise self._lists.file.damaged(f"holds rows that there are not in list {number}")
            self._in_range[number] = True

    def _rows_of(self, number: int) -> np.ndarray:
        return self._lists.chunk(number, "rows").view(np.int64)


def read_trained(files: SummedFiles, name: str) -> faiss.IndexIVF:
    """Read the trained part back.

    Raises:
        DamagedError: the file is not what it should be.
    """
    content = np.frombuffer(files.open(name).read(), dtype=np.uint8)
    try:
        index = faiss.deserialize_index(content)
    except RuntimeError as error:
        raise damaged(files.folder, f"{name}: {str(error).split('Error: ')[-1]}") from None
    if not isinstance(index, faiss.IndexIVF):
        raise damaged(files.folder, f"{name} holds no inverted file")
    return index


def _mapped(lists: _Lists) -> faiss.InvertedLists:
    """Let FAISS map the lists of a file.

    It takes the place of each list from what it writes of its own lists on a disk: the sizes and
    offsets can be handed to it in one piece only by that. Setting them one by one from Python takes
    40 times as long; `set_all_lists_sizes` knows no header in front of the lists.
    """
    number = np.uint64
    name = np.frombuffer(os.fsencode(lists.file.path), dtype=np.uint8)
    table = np.stack([lists.sizes, lists.sizes, lists.offsets], axis=1)  # size, capacity, offset
    parts = (
        np.frombuffer(b"ilod", dtype=np.uint8),
        np.array([len(table), lists.code_bytes, len(table)], dtype=number),
        table.astype(number),
        np.array([0, len(name)], dtype=number),  # no free places
        name,
        np.array([lists.file.size], dtype=number),
    )
    reader = faiss.VectorIOReader()
    written = np.concatenate([part.reshape(-1).view(np.uint8) for part in parts])
    faiss.copy_array_to_vector(written, reader.data)
    mapped = faiss.read_InvertedLists(reader, faiss.IO_FLAG_READ_ONLY)
    mapped.prefetch_nthread = 0  # threads of its own for each search: slower where pages are cached
    return mapped


# ---------------------------------------------------------------- files


class _Lists:
    """A file of lists, opened; of its content only the sizes of the lists have been read."""

    def __init__(self, file: SummedFile):
        self.file = file
        self._bytes = file.mapped(np.uint8)
        start = len(_MAGIC) + 16
        head = self._read(0, start)
        if head[: len(_MAGIC)].tobytes() != _MAGIC:
            raise file.damaged("is no file of inverted lists")
        count, self.code_bytes = head[len(_MAGIC) :].view(np.int64).tolist()
        if not 0 < count <= (file.size - start) // 8 or self.code_bytes < 1:
            raise file.damaged("is shorter than its lists")
        self.sizes = self._read(start, start + 8 * count).view(np.int64)
        lengths = self.sizes * (self.code_bytes + 8)
        self.offsets = start + 8 * count + np.cumsum(lengths) - lengths
        if self.sizes.min() < 0 or self.sizes.max() > file.size or self._end() != file.size:
            raise file.damaged("is not as long as its lists")

    def __len__(self) -> int:
        return int(self.sizes.sum())

    def _end(self) -> int:
        return int(self.offsets[-1]) + int(self.sizes[-1]) * (self.code_bytes + 8)

    def _read(self, start: int, end: int) -> np.ndarray:
        self.file.check(start, min(end, self.file.size))
        return self._bytes[start:end].copy()

    def check(self, numbers: np.ndarray) -> None:
        """Compare lists with the sums of the file."""
        wanted = np.zeros(len(self.sizes), dtype=bool)
        wanted[numbers[numbers >= 0]] = True
        starts = self.offsets[wanted]
        self.file.check(starts, starts + self.sizes[wanted] * (self.code_bytes + 8))

    def chunk(self, number: int, kind: str) -> np.ndarray:
        """Return the codes or the rows of a list as bytes."""
        codes = int(self.offsets[number])
        rows = codes + int(self.sizes[number]) * self.code_bytes
        end = rows + int(self.sizes[number]) * 8
        return self._bytes[codes:rows] if kind == "codes" else self._bytes[rows:end]


def _write_shard(
    files: SummedFiles, name: str, trained: faiss.IndexIVF, rows: Rows, first_row: int
) -> None:
    end = min(first_row + _SHARD, len(rows))
    codes = np.empty((end - first_row, trained.code_size), dtype=np.uint8)
    lists = np.empty(end - first_row, dtype=np.int64)
    for start in range(first_row, end, _BLOCK):
        # FAISS puts the number of the list, in as few bytes as it needs, before the code.
        part = rows[start : min(start + _BLOCK, end)]
        encoded = trained.sa_encode(np.ascontiguousarray(part))
        width = encoded.shape[1] - trained.code_size
        block = slice(start - first_row, start - first_row + len(encoded))
        codes[block] = encoded[:, width:]
        lists[block] = encoded[:, :width].astype(np.int64) @ (256 ** np.arange(width))
    order = np.argsort(lists, kind="stable")
    sizes = np.bincount(lists, minlength=trained.nlist)
    ends = np.cumsum(sizes)

    def chunks() -> Iterator[np.ndarray]:
        for start, end in zip(ends - sizes, ends):
            members = order[start:end]
            yield codes[members]
            yield members + first_row

    _write_file(files, name, sizes, trained.code_size, chunks())


def _write_file(
    files: SummedFiles, name: str, sizes: np.ndarray, code_bytes: int, chunks: Iterable
) -> None:
    with files.writing(name) as write:
        write(_MAGIC)
        write(np.array([len(sizes), code_bytes, *sizes], dtype=np.int64).tobytes())
        for chunk in chunks:
            write(chunk.tobytes())


def _training_size(plan: IndexPlan, settings: IndexSettings) -> int:
    # 256 centroids of each part of a product-quantised descriptor want examples, too.
    return max(plan.lists * settings.training, 40 * 256 if plan.kind == "ivf_pq" else 1)
