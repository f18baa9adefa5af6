"""Inverted lists: training, files that are searched where they lie, and how many lists to probe.

A file of lists holds, after its header, the codes and the row numbers (int64) of list after list,
so that FAISS searches it through a memory map: an index may be larger than the memory. One file is
written at the build and one by each update; all share the trained part (centres, quantisers).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import faiss
import numpy as np
from tqdm import tqdm

from src.common.errors import naming_file
from src.index.choice import IndexPlan, IndexSettings
from src.index.files import DamagedError, ImageTable

#: Neighbours that `IndexSettings.recall` counts.
NEIGHBOURS = 60
#: Rows that are encoded at a time, and rows that are sorted into lists in memory.
_BLOCK = 65_536
_SHARD = 16 * _BLOCK
_MAGIC = b"DELF lists 1\n\0\0\0"
#: Images, and descriptors of each, that the recall is measured with.
_PROBE_IMAGES = 10
_PROBE_DESCRIPTORS = 20
_ENOUGH = 0.005


def train(rows: np.ndarray, plan: IndexPlan, settings: IndexSettings, path: Path) -> faiss.IndexIVF:
    """Learn the centres of the lists and the quantisers from an even sample; write and return them.

    Args:
        rows: float32 [rows, D]; only the sample is read.
        plan: kind and number of lists.
        settings: size of the sample, iterations, seed.
        path: file to write.
    """
    sample = np.ascontiguousarray(rows[even_sample(len(rows), _training_size(plan, settings),
                                                   settings.seed)])  # fmt: skip
    index = faiss.index_factory(rows.shape[1], f"IVF{plan.lists},{plan.code}", faiss.METRIC_L2)
    clusterings = [index.cp] + ([index.pq.cp] if plan.kind == "ivf_pq" else [])
    for clustering in clusterings:
        clustering.niter = settings.iterations
        clustering.seed = settings.seed
        clustering.min_points_per_centroid = 1  # no advice on the terminal
    index.cp.max_points_per_centroid = len(sample)  # the sample is drawn already
    index.train(sample)
    _write_faiss(index, path)
    return index


def even_sample(rows: int, count: int, seed: int) -> np.ndarray:
    """Return int64 row numbers, sorted: one drawn from each of `count` equal parts of the rows."""
    count = min(count, rows)
    edges = np.arange(count + 1) * rows // count
    drawn = np.random.default_rng(seed).random(count) * np.diff(edges)
    return edges[:-1] + drawn.astype(np.int64)


def write_lists(path: Path, trained: faiss.IndexIVF, rows: np.ndarray, first_row: int) -> int:
    """Sort rows into the lists of a new file; return its length in bytes.

    Args:
        path: file to write.
        trained: what `train` has learnt.
        rows: float32 [rows, D], memory-mapped; read a block at a time.
        first_row: number of the first of them.
    """
    shards: list[Path] = []
    starts = range(0, len(rows), _SHARD)
    try:
        for start in tqdm(starts, desc="lists", disable=None):
            shards.append(path.with_name(f"{path.stem}{len(shards)}{path.suffix}"))
            part = rows[start : start + _SHARD]
            _write_shard(shards[-1], trained, part, first_row + start)
        return merge_lists(path, shards) if len(shards) > 1 else _renamed(shards[0], path)
    finally:
        for shard in shards:
            shard.unlink(missing_ok=True)


def merge_lists(path: Path, parts: Sequence[Path]) -> int:
    """Write the lists of several files, one after the other, into one; return its length."""
    opened = [_Lists(part) for part in parts]
    sizes = sum(part.sizes for part in opened)
    chunks = (
        part.chunk(number, kind)
        for number in range(len(sizes))
        for kind in ("codes", "rows")
        for part in opened
    )
    return _write_file(path, sizes, opened[0].code_bytes, chunks)


def open_lists(path: Path, trained_path: Path) -> faiss.IndexIVF:
    """Return a FAISS index over a file of lists, which stays on the disk until it is searched.

    Raises:
        DamagedError: a file is not what it should be.
    """
    lists = _Lists(path)
    index = read_trained(trained_path)
    if (index.nlist, index.code_size) != (len(lists.sizes), lists.code_bytes):
        raise DamagedError(f"{path.name} does not belong to {trained_path.name}")
    if not len(lists):
        return index
    mapped = faiss.OnDiskInvertedLists()
    mapped.nlist, mapped.code_size = index.nlist, index.code_size
    mapped.filename, mapped.totsize = str(path), lists.end
    mapped.read_only = True
    mapped.prefetch_nthread = 0  # threads of its own for each search: slower where pages are cached
    mapped.lists.resize(index.nlist)
    # Each entry is (size, capacity, offset); `at` of the Python wrapper gives copies.
    address = int(mapped.lists.data().this)
    entries = np.ctypeslib.as_array((ctypes.c_size_t * (3 * index.nlist)).from_address(address))
    entries.reshape(-1, 3)[:] = np.stack([lists.sizes, lists.sizes, lists.offsets], axis=1)
    mapped.do_mmap()
    index.replace_invlists(mapped, True)
    mapped.this.disown()
    index.ntotal = len(lists)
    return index


def read_trained(path: Path) -> faiss.IndexIVF:
    """Read the trained part back.

    Raises:
        DamagedError: the file is not what it should be.
    """
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise DamagedError(f"{path.name}: {str(error).split('Error: ')[-1]}") from None
    if not isinstance(index, faiss.IndexIVF):
        raise DamagedError(f"{path.name} holds no inverted file")
    return index


def measure_probes(
    index: faiss.IndexIVF, rows: np.ndarray, images: ImageTable, recall: float
) -> tuple[int, float]:
    """Find how many lists have to be probed for a recall of the 60 nearest descriptors.

    The descriptors asked for are some of the index itself; those of their own photo do not count,
    for many of them are near doubles, which a query photo has not.

    Args:
        index: the opened lists; all rows are in them.
        rows: float32 [rows, D].
        images: where each image's rows are.
        recall: share of the exact neighbours to be found.

    Returns:
        Number of lists, and the recall they give: less than asked for where more lists do not help,
        because the codes are too coarse.
    """
    groups = _probe_groups(images)
    exact = [_exact_neighbours(rows, queries, own) for queries, own in groups]
    tried: list[tuple[int, float]] = []
    for probes in _probe_counts(index.nlist):
        found = [
            _found(index, np.ascontiguousarray(rows[queries]), own, probes, len(wanted[0]))
            for (queries, own), wanted in zip(groups, exact)
        ]
        hits = sum(
            len(np.intersect1d(*pair)) for a, b in zip(exact, found) for pair in zip(a, b)
        )  # fmt: skip
        tried.append((probes, hits / sum(wanted.size for wanted in exact)))
        if tried[-1][1] >= recall:
            return tried[-1]
        if len(tried) > 2 and tried[-1][1] - tried[-3][1] < _ENOUGH and tried[-1][1] > 0.5:
            return tried[-3]
    return tried[-1]


# ---------------------------------------------------------------- files


class _Lists:
    """A file of lists, opened."""

    def __init__(self, path: Path):
        header = np.fromfile(path, dtype=np.uint8, count=len(_MAGIC))
        if header.tobytes() != _MAGIC:
            raise DamagedError(f"{path.name} is no file of inverted lists")
        numbers = np.fromfile(path, dtype=np.int64, count=2, offset=len(_MAGIC))
        count, self.code_bytes = (int(number) for number in numbers)
        start = len(_MAGIC) + 16
        self.sizes = np.fromfile(path, dtype=np.int64, count=count, offset=start)
        lengths = self.sizes * (self.code_bytes + 8)
        self.offsets = start + 8 * count + np.cumsum(lengths) - lengths
        self.end = start + 8 * count + int(lengths.sum())
        if len(self.sizes) != count or path.stat().st_size < self.end:
            raise DamagedError(f"{path.name} is shorter than its lists")
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r")

    def __len__(self) -> int:
        return int(self.sizes.sum())

    def chunk(self, number: int, kind: str) -> np.ndarray:
        """Return the codes or the rows of a list as bytes."""
        codes = int(self.offsets[number])
        rows = codes + int(self.sizes[number]) * self.code_bytes
        end = rows + int(self.sizes[number]) * 8
        return self._bytes[codes:rows] if kind == "codes" else self._bytes[rows:end]


def _write_shard(path: Path, trained: faiss.IndexIVF, rows: np.ndarray, first_row: int) -> None:
    codes = np.empty((len(rows), trained.code_size), dtype=np.uint8)
    lists = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        # FAISS puts the number of the list, in as few bytes as it needs, before the code.
        encoded = trained.sa_encode(np.ascontiguousarray(rows[start : start + _BLOCK]))
        width = encoded.shape[1] - trained.code_size
        block = slice(start, start + len(encoded))
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

    _write_file(path, sizes, trained.code_size, chunks())


def _write_file(path: Path, sizes: np.ndarray, code_bytes: int, chunks: Iterable) -> int:
    with path.open("wb") as file, naming_file(path):
        file.write(_MAGIC)
        file.write(np.array([len(sizes), code_bytes, *sizes], dtype=np.int64).tobytes())
        for chunk in chunks:
            file.write(chunk.tobytes())
        return file.tell()


def _write_faiss(index: faiss.Index, path: Path) -> None:
    # Through Python, whose errors say when a disk is full.
    with path.open("wb") as file, naming_file(path):
        file.write(faiss.serialize_index(index).tobytes())


def _renamed(source: Path, target: Path) -> int:
    source.rename(target)
    return target.stat().st_size


# ---------------------------------------------------------------- recall


def _training_size(plan: IndexPlan, settings: IndexSettings) -> int:
    # 256 centroids of each part of a product-quantised descriptor want examples, too.
    return max(plan.lists * settings.training, 40 * 256 if plan.kind == "ivf_pq" else 1)


def _probe_groups(images: ImageTable) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Return rows to ask for, and the range of all rows of their image, for some images."""
    full = np.flatnonzero(images.counts)
    groups = []
    for image in full[even_sample(len(full), _PROBE_IMAGES, 0)]:
        start, count = int(images.starts[image]), int(images.counts[image])
        own = (start, start + count) if len(full) > 1 else (0, 0)
        groups.append((start + even_sample(count, _PROBE_DESCRIPTORS, 0), own))
    return groups


def _probe_counts(lists: int) -> list[int]:
    counts = sorted({2**i for i in range(2, 20)} | {3 * 2**i for i in range(1, 19)})
    return [count for count in counts if count < lists] + [lists]


def _exact_neighbours(rows: np.ndarray, queries: np.ndarray, own: tuple[int, int]) -> np.ndarray:
    """Return int64 [queries, k], the nearest rows that are not the image's own."""
    wanted = np.ascontiguousarray(rows[queries])
    distances, numbers = [], []
    for start in range(0, len(rows), _BLOCK):
        end = min(start + _BLOCK, len(rows))
        for first, last in ((start, min(end, own[0])), (max(start, own[1]), end)):
            if first < last:
                found = faiss.knn(wanted, rows[first:last], min(NEIGHBOURS, last - first))
                distances.append(found[0])
                numbers.append(found[1] + first)
    order = np.argsort(np.concatenate(distances, axis=1), axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.take_along_axis(np.concatenate(numbers, axis=1), order, axis=1)


def _found(
    index: faiss.IndexIVF, queries: np.ndarray, own: tuple[int, int], probes: int, count: int
) -> np.ndarray:
    own_rows = faiss.IDSelectorRange(*own)
    parameters = faiss.SearchParametersIVF(nprobe=probes, sel=faiss.IDSelectorNot(own_rows))
    return index.search(queries, count, params=parameters)[1]
