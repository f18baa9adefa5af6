"""Inverted lists: training them, and files of them that are searched where they lie.

A file of lists holds, after its header, the codes and the row numbers (int64) of list after list,
so that FAISS searches it through a memory map: an index may be larger than the memory. One file is
written at the build and one by each update; all share the trained part (centres, quantisers).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import faiss
import numpy as np
from tqdm import tqdm

from src.common.errors import naming_file
from src.index.choice import IndexPlan, IndexSettings
from src.index.files import DamagedError

#: Rows that are encoded at a time, and rows that are sorted into lists in memory.
_BLOCK = 65_536
_SHARD = 16 * _BLOCK
_MAGIC = b"DELF lists 1\n\0\0\0"


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


def write_lists(path: Path, trained: faiss.IndexIVF, rows: np.ndarray, first_row: int) -> None:
    """Sort rows into the lists of a new file.

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
        if len(shards) > 1:
            merge_lists(path, shards)
        else:
            shards[0].rename(path)
    finally:
        for shard in shards:
            shard.unlink(missing_ok=True)


def merge_lists(path: Path, parts: Sequence[Path]) -> None:
    """Write the lists of several files, one after the other, into one."""
    opened = [_Lists(part) for part in parts]
    sizes = sum(part.sizes for part in opened)
    chunks = (
        part.chunk(number, kind)
        for number in range(len(sizes))
        for kind in ("codes", "rows")
        for part in opened
    )
    _write_file(path, sizes, opened[0].code_bytes, chunks)


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
    index.replace_invlists(_mapped(path, lists), True)
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


def _mapped(path: Path, lists: _Lists) -> faiss.InvertedLists:
    """Let FAISS map the lists of a file.

    It takes the place of each list from what it writes of its own lists on a disk: the sizes and
    offsets can be handed to it in one piece only by that. Setting them one by one from Python takes
    40 times as long; `set_all_lists_sizes` knows no header in front of the lists.
    """
    number = np.uint64
    name = np.frombuffer(os.fsencode(path), dtype=np.uint8)
    table = np.stack([lists.sizes, lists.sizes, lists.offsets], axis=1)  # size, capacity, offset
    parts = (
        np.frombuffer(b"ilod", dtype=np.uint8),
        np.array([len(table), lists.code_bytes, len(table)], dtype=number),
        table.astype(number),
        np.array([0, len(name)], dtype=number),  # no free places
        name,
        np.array([lists.end], dtype=number),
    )
    reader = faiss.VectorIOReader()
    written = np.concatenate([part.reshape(-1).view(np.uint8) for part in parts])
    faiss.copy_array_to_vector(written, reader.data)
    mapped = faiss.read_InvertedLists(reader, faiss.IO_FLAG_READ_ONLY)
    mapped.prefetch_nthread = 0  # threads of its own for each search: slower where pages are cached
    return mapped


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


def _write_file(path: Path, sizes: np.ndarray, code_bytes: int, chunks: Iterable) -> None:
    with path.open("wb") as file, naming_file(path):
        file.write(_MAGIC)
        file.write(np.array([len(sizes), code_bytes, *sizes], dtype=np.int64).tobytes())
        for chunk in chunks:
            file.write(chunk.tobytes())


def _write_faiss(index: faiss.Index, path: Path) -> None:
    # Through Python, whose errors say when a disk is full.
    with path.open("wb") as file, naming_file(path):
        file.write(faiss.serialize_index(index).tobytes())


def _training_size(plan: IndexPlan, settings: IndexSettings) -> int:
    # 256 centroids of each part of a product-quantised descriptor want examples, too.
    return max(plan.lists * settings.training, 40 * 256 if plan.kind == "ivf_pq" else 1)
