"""A store of global descriptors in a Milvus: standalone, a cluster, or Milvus Lite for tries.

A collection belongs to the settings that its vectors were made with: a digest of them is in its
name, so that photos described otherwise get a collection beside it and never mix. What a call of
`add` returned for is in Milvus' log, and stays whatever happens to us or to the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from src.common.errors import UserError
from src.feature_io import settings_digest
from src.index.stores.interface import (
    LONGEST_CHECKSUM,
    LONGEST_NAME,
    LONGEST_PART,
    TIES,
    Nearest,
    Only,
    VectorStore,
    checked_photos,
    checked_vectors,
    nothing_near,
    ranked,
)
from src.index.stores.milvus_connection import CALL_SECONDS, Connection, MilvusAwayError
from src.index.stores.milvus_terms import (
    BATCH_BYTES,
    BOOKKEEPING,
    INDEX_PARAMS,
    MOST_QUERIES,
    MOST_RESULTS,
    NAMES_AT_ONCE,
    RESULTS_AT_ONCE,
    SEARCH_PARAMS,
    condition_of,
    listed,
    milvus_index_for,
)
from src.index.stores.settings import StoreSettings

LOG = logging.getLogger(__name__)


class MilvusCollection(VectorStore):
    """A store in a Milvus.

    Args:
        made_with: settings that the vectors were made with, as JSON values.
        dimension: length of a vector.
        settings: where the Milvus is, and how it searches.
        token: as for `Connection`.

    Raises:
        UserError: the Milvus does not answer or refuses, or the collection is another's.
    """

    def __init__(
        self,
        made_with: Mapping[str, Any],
        dimension: int,
        settings: StoreSettings,
        token: str | None = None,
    ):
        self.dimension = dimension
        self._settings = settings
        self._connection = Connection(settings.milvus_uri, settings.milvus_patience, token)
        digest = settings_digest({"settings": dict(made_with), "dimension": dimension})
        self.name = f"{settings.milvus_name}_{digest}"
        self._kind: str | None = None
        self._is_there = self._call(
            "looking for the collection", lambda client: client.has_collection(self.name)
        )
        if self._is_there:
            self._check_fields()
            self._make_ready()

    # -- writing

    def add(
        self, names: Sequence[str], vectors: np.ndarray, checksums: Sequence[str], part: str = ""
    ) -> None:
        """See `VectorStore`; sent in messages of `BATCH_BYTES`."""
        stored = checked_photos(self, names, vectors, checksums).astype(np.float32)
        if len(part.encode()) > LONGEST_PART:
            raise UserError(f"the part {part[:40]}… has more than {LONGEST_PART} bytes")
        if not len(names):
            return
        self._make()
        rows = [
            {"name": name, "part": part, "checksum": checksum, "vector": vector}
            for name, vector, checksum in zip(names, stored, checksums)
        ]
        step = max(1, min(MOST_QUERIES, BATCH_BYTES // self._row_bytes))
        for start in range(0, len(rows), step):
            batch = rows[start : start + step]
            self._call(
                f"adding photos {start + 1} to {start + len(batch)} of a batch of {len(rows)}",
                lambda client, batch=batch: client.upsert(self.name, batch, timeout=CALL_SECONDS),
            )

    def remove(self, names: Sequence[str]) -> int:
        """See `VectorStore`."""
        removed = 0
        names = list(dict.fromkeys(names))
        for start in range(0, len(names) if self._is_there else 0, NAMES_AT_ONCE):
            there = list(self._checksums(names[start : start + NAMES_AT_ONCE]))
            if there:
                # Not `ids`: pymilvus writes those into a filter without escaping them.
                condition = f"name in {listed(there)}"
                self._call(
                    "removing photos",
                    lambda client, condition=condition: client.delete(
                        self.name, filter=condition, timeout=CALL_SECONDS
                    ),
                )
            removed += len(there)
        return removed

    def flush(self) -> None:
        """See `VectorStore`; makes the index that suits the number of photos."""
        if not self._is_there:
            return
        self._call("flushing", lambda client: client.flush(self.name))
        photos = self.count()
        wanted = milvus_index_for(self._settings, photos)
        there = self._index()
        if there != wanted:
            LOG.info("%s: %d photos, index %s instead of %s", self.name, photos, wanted, there)
            self._change_index(there, wanted)
        LOG.info("Milvus %s, collection %s: %d photos, %s", self._settings.milvus_uri, self.name,
                 photos, wanted)  # fmt: skip

    def close(self) -> None:
        """See `VectorStore`."""
        self._connection.close()

    def _make(self) -> None:
        """Make the collection where there is none."""
        if self._is_there:
            return
        others = self._others()
        if others:
            LOG.info(
                "the Milvus has photos of other settings (%s); these go into %s beside them",
                ", ".join(others),
                self.name,
            )
        self._call("making the collection", self._create)
        self._is_there = True
        self._make_ready()

    def _create(self, client: Any) -> None:
        if client.has_collection(self.name):  # the call before went through, or another process
            return
        kinds = self._connection.pymilvus.DataType
        schema = client.create_schema(
            auto_id=False,
            enable_dynamic_field=False,
            description="DELF global descriptors; the name ends with a digest of their settings",
        )
        schema.add_field("name", kinds.VARCHAR, max_length=LONGEST_NAME, is_primary=True)
        schema.add_field("part", kinds.VARCHAR, max_length=LONGEST_PART)
        schema.add_field("checksum", kinds.VARCHAR, max_length=LONGEST_CHECKSUM)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=self.dimension)
        client.create_collection(
            self.name, schema=schema, consistency_level=self._settings.milvus_consistency
        )

    def _make_ready(self) -> None:
        """Make the index where there is none yet, and have the collection loaded."""

        def ready(client: Any) -> None:
            if client.list_indexes(self.name, "vector"):
                client.load_collection(self.name)
            else:
                self._make_index(client, milvus_index_for(self._settings, 0))

        self._call("loading the collection", ready)
        self._connection.prepare = self._load

    def _load(self, client: Any) -> None:
        """Load the collection: a Milvus that was started again may have it on the disk only."""
        if client.list_indexes(self.name, "vector"):
            client.load_collection(self.name)

    def _change_index(self, there: str, wanted: str) -> None:
        """Make another index, or keep the one there is where the Milvus refuses."""
        try:
            self._call("making the index", lambda client: self._make_index(client, wanted))
        except MilvusAwayError:
            raise
        except UserError:
            self._call("making the index", lambda client: self._make_index(client, there))
            raise

    def _make_index(self, client: Any, kind: str) -> None:
        self._kind = None
        client.release_collection(self.name)
        for index in client.list_indexes(self.name, "vector"):
            client.drop_index(self.name, index)
        params = client.prepare_index_params()
        params.add_index(
            "vector",
            index_name="vector",
            index_type=kind,
            metric_type="IP",
            params=INDEX_PARAMS.get(kind, {}),
        )
        client.create_index(self.name, params)
        client.load_collection(self.name)
        self._kind = kind

    # -- reading

    def absent(self, names: Sequence[str], checksums: Sequence[str]) -> list[int]:
        """See `VectorStore`."""
        known: dict[str, str] = {}
        for start in range(0, len(names) if self._is_there else 0, NAMES_AT_ONCE):
            known |= self._checksums(names[start : start + NAMES_AT_ONCE])
        return [i for i, name in enumerate(names) if known.get(name) != checksums[i]]

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
        if k > MOST_RESULTS:
            raise UserError(f"a Milvus answers with at most {MOST_RESULTS} photos a query, not {k}")
        self._require()
        if only.names == ():
            return nothing_near(self.dimension, len(queries), with_vectors)
        condition = condition_of(only)
        count = min(k + TIES, MOST_RESULTS)
        kind = self._index()
        params = {**SEARCH_PARAMS.get(kind, {})}
        if kind == "DISKANN":
            params["search_list"] = max(200, count)
        step = max(1, min(MOST_QUERIES, RESULTS_AT_ONCE // count))
        found: list[Nearest] = []
        for start in range(0, len(queries), step):
            some = list(queries[start : start + step])
            answers = self._call(
                "searching",
                lambda client, some=some: client.search(
                    self.name,
                    data=some,
                    anns_field="vector",
                    limit=count,
                    filter=condition,
                    search_params={"metric_type": "IP", "params": params},
                    output_fields=["name", "vector"] if with_vectors else ["name"],
                    consistency_level=self._settings.milvus_consistency,
                    timeout=CALL_SECONDS,
                ),
            )
            for hits in answers:
                names = [hit["name"] for hit in hits]
                scores = np.array([hit["distance"] for hit in hits], dtype=np.float64)
                vectors = None
                if with_vectors:
                    vectors = np.array([hit["vector"] for hit in hits], dtype=np.float32)
                    vectors = vectors.reshape(-1, self.dimension)
                found.append(ranked(names, scores, k, vectors))
        return found

    def count(self) -> int:
        """See `VectorStore`."""
        if not self._is_there:
            return 0
        answer = self._call(
            "counting",
            lambda client: client.query(
                self.name,
                filter="",
                output_fields=["count(*)"],
                consistency_level=BOOKKEEPING,
                timeout=CALL_SECONDS,
            ),
        )
        return int(answer[0]["count(*)"])

    def names(self) -> Iterator[str]:
        """See `VectorStore`."""
        if not self._is_there:
            return
        pages = self._call(
            "listing the photos",
            lambda client: client.query_iterator(
                self.name,
                batch_size=NAMES_AT_ONCE,
                filter="",
                output_fields=["name"],
                consistency_level=BOOKKEEPING,
            ),
        )
        try:
            while page := self._call("listing the photos", lambda _: pages.next()):
                yield from (row["name"] for row in page)
        finally:
            pages.close()

    def describe(self) -> dict[str, Any]:
        """See `VectorStore`."""
        version = self._call("asking its version", lambda client: client.get_server_version())
        return {
            "store": "milvus",
            "place": f"{self._settings.milvus_uri} {self.name}",
            "photos": self.count(),
            "dimension": self.dimension,
            "search": self._index() if self._is_there else "nothing yet",
            "consistency": self._settings.milvus_consistency,
            "version": version,
        }

    # -- within

    @property
    def _row_bytes(self) -> int:
        return 4 * self.dimension + LONGEST_NAME + LONGEST_PART + LONGEST_CHECKSUM + 64

    def _call(self, doing: str, function: Any) -> Any:
        return self._connection.call(doing, function)

    def _index(self) -> str:
        """Return the kind of index that there is."""
        if self._kind is None:
            described = self._call(
                "looking at the index", lambda client: client.describe_index(self.name, "vector")
            )
            self._kind = str((described or {}).get("index_type", "none"))
        return self._kind

    def _checksums(self, names: Sequence[str]) -> dict[str, str]:
        """Return the checksums of those of some names that are there."""
        rows = self._call(
            "looking which photos are there",
            lambda client: client.query(
                self.name,
                filter=f"name in {listed(names)}",
                output_fields=["name", "checksum"],
                consistency_level=BOOKKEEPING,
                timeout=CALL_SECONDS,
            ),
        )
        return {row["name"]: row["checksum"] for row in rows}

    def _others(self) -> list[str]:
        """Return the names of the collections of ours that have other settings."""
        names = self._call("listing the collections", lambda client: client.list_collections())
        ours = f"{self._settings.milvus_name}_"
        return sorted(name for name in names if name.startswith(ours) and name != self.name)

    def _require(self) -> None:
        if self._is_there:
            return
        others = self._others()
        there = f"; it has {', '.join(others)}, of other settings" if others else ""
        raise UserError(
            f"the Milvus at {self._settings.milvus_uri} has no collection of these settings "
            f"({self.name}){there}; fill it with the features to be searched first"
        )

    def _check_fields(self) -> None:
        described = self._call(
            "looking at the collection", lambda client: client.describe_collection(self.name)
        )
        fields = {field["name"]: field.get("params", {}) for field in described["fields"]}
        wanted = {"name", "part", "checksum", "vector"}
        if set(fields) != wanted or int(fields["vector"].get("dim", 0)) != self.dimension:
            raise UserError(
                f"the collection {self.name} of the Milvus at {self._settings.milvus_uri} is none "
                f"of this program (fields {', '.join(sorted(fields))}); give another milvus_name"
            )
