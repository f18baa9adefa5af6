"""What Milvus is told and how much of it: limits of its messages, indexes by size, filters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from src.common.errors import UserError
from src.index.stores.interface import Only
from src.index.stores.settings import StoreSettings

#: Milvus' own limits: results of a query, queries of a call, bytes of a message.
MOST_RESULTS = 16_384
MOST_QUERIES = 16_384
MESSAGE_BYTES = 64 * 2**20
#: What we send at most in one message, and results that we ask for in one.
BATCH_BYTES = MESSAGE_BYTES // 4
RESULTS_AT_ONCE = 100_000
#: Names that are asked for in one call.
NAMES_AT_ONCE = 2_000
#: Up to so many photos each index serves: our choice, not measured on a real Milvus.
AUTOINDEX_PHOTOS = 2_000_000
RABITQ_PHOTOS = 50_000_000
#: What each index is made with, and how it is searched; lists are those of a segment.
INDEX_PARAMS: dict[str, dict[str, Any]] = {
    "IVF_RABITQ": {"nlist": 1024, "refine": True, "refine_type": "SQ8"},
}
SEARCH_PARAMS: dict[str, dict[str, Any]] = {"IVF_RABITQ": {"nprobe": 64, "refine_k": 3}}
BOOKKEEPING = "Strong"


def milvus_index_for(settings: StoreSettings, photos: int) -> str:
    """Choose the index of a collection of so many photos."""
    if settings.milvus_index != "auto":
        return settings.milvus_index
    if photos <= settings.exact:
        return "FLAT"
    if photos <= AUTOINDEX_PHOTOS:
        return "AUTOINDEX"
    return "IVF_RABITQ" if photos <= RABITQ_PHOTOS else "DISKANN"


def listed(texts: Sequence[str]) -> str:
    """Return a list of texts in Milvus' language."""
    return json.dumps(list(texts), ensure_ascii=False)


def condition_of(only: Only) -> str:
    """Return a filter in Milvus' language.

    Raises:
        UserError: it does not fit into a message.
    """
    conditions = [f"part in {listed(only.parts)}"] if only.parts else []
    if only.names is not None:
        conditions.append(f"name in {listed(only.names)}")
    if only.without:
        conditions.append(f"name not in {listed(only.without)}")
    condition = " and ".join(conditions)
    if len(condition.encode()) > MESSAGE_BYTES // 2:
        raise UserError(
            "these photos' names are too many for a filter of a Milvus; filter by part, or take "
            "vector_store=faiss"
        )
    return condition
