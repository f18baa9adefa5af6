"""Inverted lists over the vectors of a store, and which kind of them suits its size.

Lists find candidates by codes of one byte or one bit a dimension; the best candidates are compared
by their vectors, so that the codes decide who is looked at and not who is ranked first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import faiss
import numpy as np

from src.index.choice import IndexPlan, IndexSettings, list_count
from src.index.lists import (
    SearchedLists,
    even_sample,
    merge_lists,
    read_trained,
    train,
    write_lists,
)
from src.index.stores.half_rows import HalfRows
from src.index.stores.settings import StoreSettings
from src.index.structure import MAX_LISTS_FILES
from src.index.summed_files import SummedFiles

LOG = logging.getLogger(__name__)

FLAT = "flat"
#: FAISS's name of the code, and candidates that are compared for a photo that is asked for.
CODES = {"ivf_sq8": ("SQ8", 2), "ivf_rabitq": ("RaBitQ", 10)}
#: Fewest candidates of a query.
FEWEST = 300
#: Where many photos are asked for, two candidates for each, and these, hold the first of them.
MANY = 2000
#: What RaBitQ keeps of a vector beside its bits: two float32.
_FACTORS = 8
#: Photos, and nearest photos of each, that the recall is measured with.
_PROBED = 100
_NEAREST = 100
_ENOUGH = 0.002


def code_bytes(kind: str, dimension: int) -> int:
    """Return the bytes that a vector takes in lists of a kind."""
    return dimension if kind == "ivf_sq8" else -(-dimension // 8) + _FACTORS


def memory(kind: str, photos: int, dimension: int) -> int:
    """Return the bytes that are to be in memory to search quickly: codes, row numbers, centres."""
    if kind == FLAT:
        return photos * dimension * 2
    return photos * (code_bytes(kind, dimension) + 8) + list_count(photos) * dimension * 4


def choose_kind(settings: StoreSettings, photos: int, dimension: int) -> str:
    """Choose how so many photos are searched."""
    if settings.kind != "auto":
        return settings.kind if photos >= 2 * _NEAREST else FLAT  # too few to learn lists from
    if photos <= settings.exact:
        return FLAT
    budget = settings.memory * 2**20
    for kind in CODES:
        if not budget or memory(kind, photos, dimension) <= budget:
            return kind
    LOG.warning(
        "the smallest lists of %d photos take %d MB, more than vector_store_memory, %d MB; "
        "what does not fit is read from the disk",
        photos,
        memory(kind, photos, dimension) // 2**20,
        settings.memory,
    )
    return kind


@dataclass(frozen=True)
class PhotoLists:
    """The lists of a store, as its description names them.

    Attributes:
        kind: one of `CODES`.
        lists: how many.
        probes: lists looked into for a query.
        recall: share of the 100 nearest photos that this was measured to find.
        made_of: number of live rows when the lists were learnt.
        rows: rows of the store that are in the lists; those behind them are compared one by one.
        trained_file: centres and quantiser.
        lists_files: those of the build, then those of later additions.
    """

    kind: str
    lists: int
    probes: int
    recall: float
    made_of: int
    rows: int
    trained_file: str
    lists_files: tuple[str, ...]

    @classmethod
    def of(cls, described: Mapping[str, Any] | None) -> PhotoLists | None:
        """Return the lists that a description names; None where there are none."""
        if described is None:
            return None
        return cls(**{**described, "lists_files": tuple(described["lists_files"])})

    def as_json(self) -> dict[str, Any]:
        """Return the lists as they are written down."""
        return {**asdict(self), "lists_files": list(self.lists_files)}

    @property
    def files(self) -> list[str]:
        """Names of the files."""
        return [self.trained_file, *self.lists_files]

    def opened(self, files: SummedFiles) -> list[SearchedLists]:
        """Open the files of lists.

        Raises:
            DamagedError: one is not what it should be.
        """
        return [
            SearchedLists(files, name, self.trained_file, self.rows) for name in self.lists_files
        ]

    @classmethod
    def made(
        cls,
        files: SummedFiles,
        generation: int,
        settings: StoreSettings,
        kind: str,
        vectors: HalfRows,
        live: np.ndarray,
    ) -> PhotoLists:
        """Learn lists from the vectors, sort all into them, and measure how many to look into."""
        trained_file, lists_file = f"trained-{generation}.faiss", f"lists-{generation}-0.bin"
        count = list_count(len(vectors))
        plan = IndexPlan(kind, count, CODES[kind][0], code_bytes(kind, vectors.shape[1]))
        learning = IndexSettings(kind="ivf", seed=settings.seed)
        trained = train(files, trained_file, vectors, plan, learning)
        write_lists(files, lists_file, trained, vectors, 0)
        made_of = int(live.sum())
        made = cls(kind, count, count, 1.0, made_of, len(vectors), trained_file, (lists_file,))
        return made._measured(files, settings.recall, vectors, live)

    def _measured(
        self, files: SummedFiles, wanted: float, vectors: HalfRows, live: np.ndarray
    ) -> PhotoLists:
        """Return the lists with as many probes as the recall takes."""
        opened = self.opened(files)
        rows = np.flatnonzero(live)
        asked = rows[even_sample(len(rows), _PROBED, 1)]
        queries = vectors[asked]
        nearest = min(_NEAREST, len(rows) - 1)
        scores, exact = vectors.nearest(queries, nearest + 1, 0, None if live.all() else live)
        exact = np.take_along_axis(exact, np.argsort(-scores, axis=1), axis=1)
        tried: list[PhotoLists] = []
        for probes in sorted({2**i for i in range(2, 20) if 2**i < self.lists} | {self.lists}):
            one = replace(self, probes=probes)
            found = one.candidates(opened, queries, nearest + 1, live)
            share = _shared(exact, found, asked)
            tried.append(replace(one, recall=round(share, 4)))
            if share >= wanted:
                return tried[-1]
            if len(tried) > 2 and share - tried[-3].recall < _ENOUGH and share > 0.5:
                break
        best = max(tried, key=lambda one: (one.recall, -one.probes))
        LOG.warning(
            "the lists find %.3f of the nearest photos, not %.3f: their codes are too coarse; "
            "vector_store_kind=ivf_sq8 and more vector_store_memory find more",
            best.recall,
            wanted,
        )
        return best

    def candidates(
        self, opened: list[SearchedLists], queries: np.ndarray, k: int, chosen: np.ndarray | None
    ) -> np.ndarray:
        """Return the rows to compare for the k nearest of queries, int64 [queries, N], or -1.

        Args:
            opened: the files of lists.
            queries: float32 [queries, dimension].
            k: photos that are asked for.
            chosen: bool [rows], which count; None: all.
        """
        count = max(FEWEST, min(CODES[self.kind][1] * k, MANY + 2 * k))
        only = None
        if chosen is not None:
            bits = np.packbits(chosen, bitorder="little")
            only = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        centres = opened[0].centres(queries, self.probes)
        found = [part.search(queries, count, centres, only) for part in opened]
        squares = np.concatenate([part[0] for part in found], axis=1)
        rows = np.concatenate([part[1] for part in found], axis=1)
        best = np.argsort(np.where(rows < 0, np.inf, squares), axis=1, kind="stable")[:, :count]
        return np.take_along_axis(rows, best, axis=1)

    def extended(self, files: SummedFiles, generation: int, vectors: HalfRows) -> PhotoLists:
        """Sort the rows behind those in the lists into lists of their own."""
        added = f"lists-{generation}-0.bin"
        write_lists(files, added, read_trained(files, self.trained_file), vectors, self.rows)
        names = [*self.lists_files, added]
        if len(names) > MAX_LISTS_FILES:  # the first one, of the build, is large: it stays
            joined = f"lists-{generation}-{len(names)}.bin"
            merge_lists(files, joined, names[1:])
            names = [names[0], joined]
        return replace(self, rows=len(vectors), lists_files=tuple(names))


def _shared(exact: np.ndarray, found: np.ndarray, asked: np.ndarray) -> float:
    """Return the share of exact rows that are found; the rows asked for do not count."""
    hits = wanted = 0
    for row, nearest, candidates in zip(asked, exact, found):
        others = nearest[nearest != row]
        hits += len(np.intersect1d(others, candidates))
        wanted += len(others)
    return hits / max(1, wanted)
