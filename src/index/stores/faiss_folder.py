"""A store of global descriptors in a folder: vectors, names and FAISS's lists, memory-mapped.

Rows are appended and committed every so often, so that a killed program loses the last few; each
commit is a generation that replaces the one before in one step. Up to a number of photos a query is
compared with all of them; beyond, lists are made at `flush`, and what came later is compared one by
one until the next.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.feature_io import check_settings
from src.index.lists import SearchedLists
from src.index.stores.folder_files import STORE, read_store, write_store
from src.index.stores.half_rows import HalfRows
from src.index.stores.interface import (
    TIES,
    Nearest,
    Only,
    VectorStore,
    checked_photos,
    checked_vectors,
    nothing_near,
    ranked,
)
from src.index.stores.photo_lists import FLAT, PhotoLists, choose_kind
from src.index.stores.photo_table import PhotoTable
from src.index.stores.settings import StoreSettings
from src.index.summed_files import DamagedError, SummedFiles, damaged

LOG = logging.getLogger(__name__)

#: Bytes of vectors that wait in memory for the next commit.
COMMIT_BYTES = 2**25
#: Of vectors some thousand are looked at for a query, scattered over the file: of each as many
#: bytes are read and compared with their sum.
VECTOR_BLOCK = 2**14
#: Share of rows without a photo above which the files are written anew.
MAX_WASTE = 0.25
#: Lists are learnt anew where the photos have become so many times as many.
GROWTH = 2.0
#: Rows behind those in lists that are not worth lists of their own.
FEW_ROWS = 4096
#: So few photos that count are compared one by one: lists would miss what a filter leaves.
FEW_PHOTOS = 20_000
_QUERIES = 256


class FaissFolder(VectorStore):
    """A store in a folder.

    Args:
        folder: where it is; made with the first photo that is added.
        made_with: settings that the vectors were made with, as JSON values.
        dimension: length of a vector.
        settings: how it is searched.

    Raises:
        UserError: the folder holds a store of other settings, a damaged one, or something else.
    """

    def __init__(
        self,
        folder: PathLike,
        made_with: Mapping[str, Any],
        dimension: int,
        settings: StoreSettings = StoreSettings(),  # noqa: B008 (frozen)
    ):
        self.folder = Path(folder)
        self.dimension = dimension
        self._made_with = dict(made_with)
        self._settings = settings
        self._pending: dict[str, tuple[np.ndarray, str, str]] = {}
        self._writing = contextlib.ExitStack()
        self._is_writing = False
        self._open()

    # -- writing

    def add(
        self, names: Sequence[str], vectors: np.ndarray, checksums: Sequence[str], part: str = ""
    ) -> None:
        """See `VectorStore`; committed every `COMMIT_BYTES`."""
        stored = checked_photos(self, names, vectors, checksums)
        self._claim()
        most = max(1, COMMIT_BYTES // (2 * self.dimension))
        for name, vector, checksum in zip(names, stored, checksums):
            self._pending[name] = (vector, checksum, part)
            if len(self._pending) >= most:
                self._commit()

    def remove(self, names: Sequence[str]) -> int:
        """See `VectorStore`."""
        self._claim()
        self._commit()
        names = list(dict.fromkeys(names))
        rows = self._table.rows_of(names) if len(self._table) else np.zeros(0, dtype=np.int64)
        rows = rows[rows >= 0]
        if len(rows):
            self._table.live[rows] = False
            self._write(self._table, self._lists)
        return len(rows)

    def flush(self) -> None:
        """See `VectorStore`."""
        self._claim()
        self._commit()
        photos, rows = self.count(), len(self._table)
        kind = choose_kind(self._settings, photos, self.dimension)
        if photos and rows - photos > MAX_WASTE * rows:
            LOG.info("the store %s is written anew: %d of %d rows are dead", self.folder,
                     rows - photos, rows)  # fmt: skip
            self._compact()
        lists = self._lists
        if kind == FLAT:
            if lists is not None:
                self._write(self._table, None)
        elif lists is None or lists.kind != kind or photos > GROWTH * lists.made_of:
            made = PhotoLists.made(
                self._files, self._generation + 1, self._settings, kind, self._vectors,
                self._table.live,
            )  # fmt: skip
            self._write(self._table, made)
        elif len(self._table) - lists.rows > FEW_ROWS:
            self._write(
                self._table, lists.extended(self._files, self._generation + 1, self._vectors)
            )
        LOG.info("store %s: %d photos, %s", self.folder, photos, self._searched_by())

    def close(self) -> None:
        """See `VectorStore`."""
        self._pending.clear()
        self._is_writing = False
        self._writing.close()

    def _claim(self) -> None:
        """Be the one process that writes; see what others wrote before."""
        if not self._is_writing:
            self._writing.enter_context(STORE.writing(self.folder))
            self._is_writing = True
            self._open()

    def _commit(self) -> None:
        if not self._pending:
            return
        STORE.remove_left_overs(self.folder)  # of a commit that a full disk ended
        names = list(self._pending)
        vectors, checksums, parts = zip(*self._pending.values())
        with self._files.writing(self._vectors_file, True, VECTOR_BLOCK) as write:
            write(np.stack(vectors).tobytes())
        self._write(self._table.append(names, checksums, parts), self._lists)
        self._pending.clear()

    def _compact(self) -> None:
        generation = self._generation + 1
        rows = np.flatnonzero(self._table.live)
        vectors_file = f"vectors-{generation}.bin"
        step = max(1, COMMIT_BYTES // (2 * self.dimension))
        with self._files.writing(vectors_file, block=VECTOR_BLOCK) as write:
            for start in range(0, len(rows), step):
                write(self._vectors.stored(rows[start : start + step]).tobytes())
        table = self._table.compacted(generation)
        self._vectors_file = vectors_file
        self._write(table, None)

    def _write(self, table: PhotoTable, lists: PhotoLists | None) -> None:
        """Make a generation of the store, and open it."""
        generation = self._generation + 1
        live_file = f"live-{generation}.bin"
        self._files.write(live_file, np.packbits(table.live).tobytes())
        names = [self._vectors_file, table.names_file, table.rows_file, live_file]
        content = {
            "generation": generation,
            "settings": self._made_with,
            "dimension": self.dimension,
            "rows": len(table),
            "photos": int(table.live.sum()),
            "parts": list(table.parts),
            "table": dict(zip(("vectors", "names", "rows", "live"), names)),
            "lists": lists.as_json() if lists else None,
            "files": self._files.described([*names, *(lists.files if lists else [])]),
        }
        write_store(self.folder, content)
        STORE.remove_left_overs(self.folder)
        self._open()

    # -- reading

    def _open(self) -> None:
        """Open the generation there is."""
        if not STORE.exists(self.folder):
            self._generation, self._lists, self._opened = 0, None, []
            self._files = SummedFiles(self.folder)
            self._vectors_file = "vectors-1.bin"
            live = np.zeros(0, dtype=bool)
            self._table = PhotoTable(self._files, "names-1.bin", "rows-1.bin", (), live)
            return
        content = read_store(self.folder)
        wanted = {"settings": self._made_with, "dimension": self.dimension}
        there = {key: content[key] for key in wanted}
        if there["settings"] != wanted["settings"]:
            check_settings(there["settings"], wanted["settings"], f"the store {self.folder}")
        check_settings(there, wanted, f"the store {self.folder}")
        try:
            self._open_files(content)
        except (DamagedError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            if read_store(self.folder)["generation"] != content["generation"]:
                self._open()  # a program that writes was just replacing the files
            else:
                raise self._damaged(error) from None

    def _open_files(self, content: Mapping[str, Any]) -> None:
        files, table = SummedFiles(self.folder, content["files"]), content["table"]
        rows = content["rows"]
        packed = np.frombuffer(files.open(table["live"]).read(), dtype=np.uint8)
        live = np.unpackbits(packed, count=rows).astype(bool)
        vectors = HalfRows(files.open(table["vectors"]), self.dimension)
        if len(vectors) != rows or live.sum() != content["photos"]:
            raise damaged(self.folder, "its files do not belong together")
        self._generation, self._vectors_file = content["generation"], table["vectors"]
        self._table = PhotoTable(files, table["names"], table["rows"], (*content["parts"],), live)
        self._table.open()
        self._files, self._vectors = files, vectors
        self._lists = PhotoLists.of(content["lists"])
        self._opened: list[SearchedLists] = self._lists.opened(files) if self._lists else []

    def _damaged(self, error: Exception) -> UserError:
        said = str(error).split(" is damaged (")[-1].split("); delete")[0]
        return DamagedError(
            f"the store {self.folder} is damaged ({said}); delete the folder and fill it again"
        )

    def absent(self, names: Sequence[str], checksums: Sequence[str]) -> list[int]:
        """See `VectorStore`."""
        there = np.zeros(len(names), dtype=bool)
        if len(self._table) and len(names):
            there = self._table.same_checksum(self._table.rows_of(names), checksums)
        waiting = [
            name in self._pending and self._pending[name][1] == checksum
            for name, checksum in zip(names, checksums)
        ]
        return [i for i, waits in enumerate(waiting) if not there[i] and not waits]

    def nearest(
        self,
        queries: np.ndarray,
        k: int,
        only: Only = Only(),  # noqa: B008 (frozen)
        with_vectors: bool = False,
    ) -> list[Nearest]:
        """See `VectorStore`."""
        queries = checked_vectors(self.dimension, queries)
        if k < 1:
            raise ValueError(f"{k} photos asked for")
        self._commit()
        if not self.count():
            return nothing_near(self.dimension, len(queries), with_vectors)
        try:
            chosen = None if not only and self._table.live.all() else self._table.chosen(only)
            found = []
            for start in range(0, len(queries), _QUERIES):
                some = queries[start : start + _QUERIES]
                found += self._ranked(some, k, chosen, with_vectors)
        except DamagedError as error:
            raise self._damaged(error) from None
        return found

    def _ranked(
        self, queries: np.ndarray, k: int, chosen: np.ndarray | None, with_vectors: bool
    ) -> list[Nearest]:
        count = min(k + TIES, len(self._vectors))
        few = chosen is not None and chosen.sum() <= FEW_PHOTOS
        in_lists = 0 if self._lists is None or few else self._lists.rows
        scores, rows = self._vectors.nearest(queries, count, in_lists, chosen)
        candidates = [row[row >= 0] for row in rows]
        products = [score[row >= 0] for score, row in zip(scores, rows)]
        if in_lists:
            listed = self._lists.candidates(self._opened, queries, count, chosen)
            for i, (query, some) in enumerate(zip(queries, listed)):
                some = np.sort(some[some >= 0])
                candidates[i] = np.concatenate([candidates[i], some])
                products[i] = np.concatenate([products[i], self._vectors[some] @ query])
        found = []
        for score, row in zip(products, candidates):
            best = np.argsort(-score, kind="stable")[:count]
            vectors = self._vectors.stored(row[best]) if with_vectors else None
            found.append(ranked(self._table.names_of(row[best]), score[best], k, vectors))
        return found

    def count(self) -> int:
        """See `VectorStore`."""
        self._commit()
        return int(self._table.live.sum())

    def names(self) -> Iterator[str]:
        """See `VectorStore`."""
        self._commit()
        yield from self._table.all_names() if len(self._table) else ()

    def describe(self) -> dict[str, Any]:
        """See `VectorStore`."""
        return {
            "store": "faiss",
            "place": str(self.folder),
            "photos": self.count(),
            "dimension": self.dimension,
            "search": self._searched_by(),
            "bytes": sum(sums["bytes"] for sums in self._files.described(self._names()).values()),
        }

    def _names(self) -> list[str]:
        return list(read_store(self.folder)["files"]) if STORE.exists(self.folder) else []

    def _searched_by(self) -> str:
        lists = self._lists
        if lists is None:
            return FLAT
        probed = f"{lists.probes} of {lists.lists} lists probed"
        return f"{lists.kind}, {probed} (recall {lists.recall:.3f})"
