"""What a store of global descriptors is, whoever keeps the vectors: the seam between engines.

A store holds one vector a photo, under the photo's name, with the part of the collection that it
belongs to and a checksum of what it was made of. Vectors are kept as float16, as feature files hold
them, and compared by inner product, which is the cosine of vectors of unit length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.common.errors import UserError

#: Engines compute a score with an error in its seventh digit; photos whose scores differ by no
#: more are ranked by name, so that all engines rank alike.
SCORE_DIGITS = 6
#: Beyond the photos asked for, so many more are compared, for the names of equal scores to decide.
TIES = 16
#: What Milvus can keep as names (bytes in UTF-8).
LONGEST_NAME = 1024
LONGEST_PART = 256
LONGEST_CHECKSUM = 64


@dataclass(frozen=True)
class Only:
    """Which photos of a store count in a search.

    Attributes:
        parts: those of these parts of the collection; () for all.
        names: those of these names; None for all.
        without: not those of these names.
    """

    parts: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.parts or self.without) or self.names is not None


@dataclass(frozen=True)
class Nearest:
    """The photos nearest to one query, best first; of equal scores by name.

    Attributes:
        names: of the photos, at most as many as were asked for.
        scores: float32 [photos], inner products, to `SCORE_DIGITS` digits.
        vectors: float32 [photos, dimension]; None where they were not asked for.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    vectors: np.ndarray | None = None


class VectorStore(ABC):
    """One vector a photo, of one length and of one kind of settings.

    Attributes:
        dimension: length of a vector.
    """

    dimension: int

    @abstractmethod
    def add(
        self, names: Sequence[str], vectors: np.ndarray, checksums: Sequence[str], part: str = ""
    ) -> None:
        """Add photos; of a name that is there already, the new vector takes the place.

        What was added is kept from the next `flush` on whatever happens, some of it earlier.

        Args:
            names: each once.
            vectors: float [photos, dimension].
            checksums: of what each vector was made of.
            part: of the collection that they belong to.

        Raises:
            UserError: the vectors are none of this store, or the store cannot take them.
        """

    @abstractmethod
    def remove(self, names: Sequence[str]) -> int:
        """Take photos out; return how many were there. Unknown names do not matter."""

    @abstractmethod
    def absent(self, names: Sequence[str], checksums: Sequence[str]) -> list[int]:
        """Return the positions of photos that are not there, or with another checksum."""

    @abstractmethod
    def nearest(
        self,
        queries: np.ndarray,
        k: int,
        only: Only = Only(),  # noqa: B008 (frozen)
        with_vectors: bool = False,
    ) -> list[Nearest]:
        """Find the photos with the largest inner products.

        Args:
            queries: float [queries, dimension].
            k: how many of each query, at least 1.
            only: which photos count.
            with_vectors: return their vectors, too.

        Raises:
            UserError: the queries are of another length, or the store cannot answer.
        """

    @abstractmethod
    def count(self) -> int:
        """Return the number of photos."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Yield the names of all photos, in any order."""

    @abstractmethod
    def flush(self) -> None:
        """Keep all that was added and removed, and make it quick to search."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the store; what was not flushed may be lost."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what the store is, as JSON values: kind, place, photos, how it is searched."""

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checked_photos(
    store: VectorStore, names: Sequence[str], vectors: np.ndarray, checksums: Sequence[str]
) -> np.ndarray:
    """Return vectors as they are kept, float16 [photos, dimension], if a store can take them.

    Raises:
        UserError: they are of another length or not finite, or a name is too long.
        ValueError: names, vectors and checksums are not as many, or a name is there twice.
    """
    if not len(names) == len(vectors) == len(checksums) or len(set(names)) != len(names):
        raise ValueError(
            "names, vectors and checksums of photos, each once, do not belong together"
        )
    stored = checked_vectors(store.dimension, vectors).astype(np.float16)
    if not np.isfinite(stored).all():
        worst = int(np.flatnonzero(~np.isfinite(stored).all(axis=1))[0])
        raise UserError(
            f"the global descriptor of {names[worst]} is not finite; describe that photo again"
        )
    for name in names:
        if len(name.encode()) > LONGEST_NAME:
            raise UserError(
                f"the name {name[:40]}… has more than {LONGEST_NAME} bytes; give the photo a "
                "shorter one"
            )
    return stored


def checked_vectors(dimension: int, vectors: np.ndarray) -> np.ndarray:
    """Return float32 [vectors, dimension].

    Raises:
        UserError: they have another length.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise UserError(
            f"these global descriptors have {vectors.shape[-1]} dimensions, those of the store "
            f"{dimension}; describe both with the same settings"
        )
    return vectors


def nothing_near(dimension: int, queries: int, with_vectors: bool) -> list[Nearest]:
    """Return what an empty store answers to so many queries."""
    vectors = np.zeros((0, dimension), dtype=np.float32) if with_vectors else None
    return [Nearest((), np.zeros(0, dtype=np.float32), vectors) for _ in range(queries)]


def ranked(
    names: Sequence[str], scores: np.ndarray, k: int, vectors: np.ndarray | None = None
) -> Nearest:
    """Return the best k of some photos, of equal scores by name.

    Args:
        names: of the photos.
        scores: float [photos].
        k: how many at most.
        vectors: float [photos, dimension], where they were asked for.
    """
    rounded = np.round(np.asarray(scores, dtype=np.float64), SCORE_DIGITS)
    order = sorted(range(len(names)), key=lambda i: (-rounded[i], names[i]))[:k]
    found = tuple(names[i] for i in order), rounded[order].astype(np.float32)
    return Nearest(*found, None if vectors is None else vectors[order].astype(np.float32))
