"""Opening the store that the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from src.common.atomic_files import PathLike
from src.index.stores.faiss_folder import FaissFolder
from src.index.stores.interface import VectorStore
from src.index.stores.milvus_collection import MilvusCollection
from src.index.stores.settings import StoreSettings


def open_store(
    settings: StoreSettings, folder: PathLike, made_with: Mapping[str, Any], dimension: int
) -> VectorStore:
    """Open the store of vectors that were made with some settings; nothing is made yet.

    Args:
        settings: which store, and how it searches.
        folder: of the store faiss; the store milvus has no use for it.
        made_with: settings that the vectors were made with, as JSON values.
        dimension: length of a vector.

    Raises:
        UserError: it holds vectors of other settings, is damaged, or does not answer.
    """
    if settings.store == "milvus":
        return MilvusCollection(made_with, dimension, settings)
    return FaissFolder(folder, made_with, dimension, settings)
