"""Which index of a Milvus suits a number of photos, how it is made and how it is searched."""

from __future__ import annotations

from typing import Any

from src.index.stores.settings import StoreSettings

#: Up to so many photos each index serves: what its makers advise, not measured by us.
AUTOINDEX_PHOTOS = 2_000_000
RABITQ_PHOTOS = 50_000_000
#: What each index is made with, and how it is searched; lists are those of a segment.
INDEX_PARAMS: dict[str, dict[str, Any]] = {
    "IVF_RABITQ": {"nlist": 1024, "refine": True, "refine_type": "SQ8"},
}
_SEARCH_PARAMS: dict[str, dict[str, Any]] = {"IVF_RABITQ": {"nprobe": 64, "refine_k": 3}}


def milvus_index_for(settings: StoreSettings, photos: int) -> str:
    """Choose the index of a collection of so many photos."""
    if settings.milvus_index != "auto":
        return settings.milvus_index
    if photos <= settings.exact:
        return "FLAT"
    if photos <= AUTOINDEX_PHOTOS:
        return "AUTOINDEX"
    return "IVF_RABITQ" if photos <= RABITQ_PHOTOS else "DISKANN"


def search_params(kind: str, count: int) -> dict[str, Any]:
    """Return how an index is searched for so many photos a query."""
    if kind == "DISKANN":
        return {"search_list": max(200, count)}
    return {**_SEARCH_PARAMS.get(kind, {})}
