"""Sorted names that stay on the disk, in a text that is mapped: a million of them cost nothing."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_BLOCK = 65_536


class SortedNames(Sequence[str]):
    """Names, sorted, decoded when they are looked at.

    Args:
        text: uint8, the names in UTF-8, one behind the other.
        ends: whole numbers [names], where each ends.
    """

    def __init__(self, text: np.ndarray, ends: np.ndarray):
        self._text, self._ends = text, ends

    @classmethod
    def of(cls, names: Sequence[str]) -> SortedNames:
        """Return names, sorted already, as `text` and `ends` of which the files are made."""
        encoded = [encoded_name(name) for name in names]
        ends = np.cumsum([len(name) for name in encoded], dtype=np.uint64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """What they are made of: `text` and `ends`."""
        return self._text, self._ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[place] for place in range(*position.indices(len(self)))]
        count = len(self)
        if not -count <= position < count:
            raise IndexError(f"name {position} of {count}")
        position %= count
        start = self._ends[position - 1] if position else 0
        return _decoded(self._text[start : self._ends[position]].tobytes())

    def __iter__(self) -> Iterator[str]:
        start = 0
        for first in range(0, len(self), _BLOCK):
            ends = self._ends[first : first + _BLOCK].tolist()
            text = self._text[start : ends[-1]].tobytes()
            for begin, end in zip([start, *ends], ends):
                yield _decoded(text[begin - start : end - start])
            start = ends[-1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and place_of(self, name) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and [*self] == [*other]

    __hash__ = None  # as lists


def place_of(names: Sequence[str], name: str | None) -> int | None:
    """Return the place of a name in sorted names; None where it is not there."""
    place = 0 if name is None else bisect.bisect_left(names, name)
    is_there = name is not None and place < len(names) and names[place] == name
    return place if is_there else None


def encoded_name(name: str) -> bytes:
    """Return a name as bytes, which sort as names do."""
    return name.encode("utf-8", "surrogatepass")


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")
