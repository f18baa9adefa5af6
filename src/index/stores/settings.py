"""Which store of global descriptors is used, and how it keeps them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from model_utils.bounds import check_fields
from src.common.errors import UserError

STORES = ("faiss", "milvus")
#: Kinds of search in a folder: exact, or lists of one byte or one bit a dimension.
FOLDER_KINDS = ("auto", "flat", "ivf_sq8", "ivf_rabitq")
MILVUS_INDEXES = ("auto", "FLAT", "AUTOINDEX", "IVF_RABITQ", "DISKANN")
CONSISTENCIES = ("Strong", "Session", "Bounded", "Eventually")


@dataclass(frozen=True)
class StoreSettings:
    """Which store, and how it keeps vectors.

    Attributes:
        store: "faiss": files in a folder; "milvus": a Milvus server, standalone or a cluster.
        kind: faiss: "flat" compares a query with every photo: exact. The others look into the lists
            nearest to it, "ivf_sq8" by one byte a dimension and "ivf_rabitq" by one bit (RaBitQ;
            Gao & Long, SIGMOD 2024), and compare the best of them exactly. "auto": flat up to
            `exact`, else the first of the others that fits into `memory`.
        memory: faiss: MB (2**20) for what has to be in memory to search quickly; 0 = no limit.
        exact: up to so many photos "auto" compares with every one, in a folder and in a Milvus.
        recall: faiss: share of the 100 nearest photos that lists are to find; measured when they
            are made, and as many lists are looked into as that takes.
        milvus_uri: where the Milvus is: http://host:19530.
        milvus_name: the collections' names begin with it; a digest of the settings follows.
        milvus_index: index of a Milvus; "auto": by the number of photos, see `milvus_index_for`.
        milvus_consistency: how much of what was written before a search has to see: "Strong", all
            of it, so that the same search finds the same; the others answer sooner, and may miss
            what was added in the last seconds.
        milvus_patience: seconds that a Milvus that does not answer is waited for.
        seed: of the choice of the photos that lists are learnt from.
    """

    store: str = "faiss"
    kind: str = "auto"
    memory: int = 600
    exact: int = 100_000
    recall: float = 0.97
    milvus_uri: str = "http://localhost:19530"
    milvus_name: str = "delf"
    milvus_index: str = "auto"
    milvus_consistency: str = "Strong"
    milvus_patience: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (
            ("store", STORES),
            ("kind", FOLDER_KINDS),
            ("milvus_index", MILVUS_INDEXES),
            ("milvus_consistency", CONSISTENCIES),
        ):
            if getattr(self, name) not in choices:
                raise UserError(
                    f"{_config_name(name)} is {getattr(self, name)!r}; take {', '.join(choices)}"
                )
        if not self.milvus_name.isidentifier() or not self.milvus_name.isascii():
            raise UserError(
                f"milvus_name is {self.milvus_name!r}; collections of a Milvus are called by "
                "letters, digits and underscores"
            )
        numbers = ("memory", "exact", "recall", "milvus_patience")
        check_fields(self, {name: _config_name(name) for name in numbers})

    @classmethod
    def from_config(cls, config: Any) -> StoreSettings:
        """Return the settings of a configuration: its `vector_store`, …, `milvus_…` and `seed`."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: getattr(config, _config_name(name)) for name in names})


def _config_name(name: str) -> str:
    if name == "seed" or name.startswith("milvus_"):
        return name
    return "vector_store" if name == "store" else f"vector_store_{name}"
