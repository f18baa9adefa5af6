"""Matches kept while they are made: a run that was stopped makes those that are missing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from src.common.atomic_files import write_npz
from src.common.npy_format import read_npz
from src.common.progress import progress_bar
from src.exchange.pairs import MatchedPair, Pair, match_pairs
from src.exchange.photo_set import PhotoSet
from src.feature_io import feature_path, features_checksum
from src.ranking.pair import MatchSettings

#: Pairs in a file: some seconds of matching.
BLOCK = 25


class KeptMatches:
    """The matches of pairs, made once; kept beside the output until that is complete.

    The folder's name tells features, pairs and settings: other ones have another folder.

    Args:
        output: what the matches are for.
        photos: the photos.
        pairs: which of them are matched.
        settings: how.
    """

    def __init__(
        self,
        output: Path,
        photos: PhotoSet,
        pairs: Sequence[Pair],
        settings: MatchSettings = MatchSettings(),  # noqa: B008 (frozen)
    ) -> None:
        sums = [
            features_checksum(feature_path(photos.folder, photos.image_of(name)))
            for name in photos.names
        ]
        made_of = [photos.names, sums, pairs, dataclasses.asdict(settings)]
        key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
        self.folder = output.with_name(f".{output.name}.matches-{key}")
        self._photos, self._pairs, self._settings = photos, list(pairs), settings

    def all(self) -> list[MatchedPair]:
        """Return the matches of all pairs: of an earlier run, or made now."""
        found: list[MatchedPair] = []
        with progress_bar("matching", len(self._pairs), "pair") as bar:
            for start in range(0, len(self._pairs), BLOCK):
                for pair in self._block(start):
                    found.append(pair)
                    bar.update()
        return found

    def forget(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _block(self, start: int) -> Iterator[MatchedPair]:
        path = self.folder / f"{start}.npz"
        pairs = self._pairs[start : start + BLOCK]
        try:
            kept = _pairs_of(read_npz(path), pairs)
        except (OSError, ValueError, KeyError, IndexError):  # not there, or damaged: made again
            kept = None
        if kept is not None:
            yield from kept
            return
        made = []
        for pair in match_pairs(self._photos, pairs, self._settings):
            made.append(pair)
            yield pair
        write_npz(path, _arrays_of(made))


def _arrays_of(made: Sequence[MatchedPair]) -> dict[str, np.ndarray]:
    nothing = np.full((2, 3), np.nan)
    return {
        "ends": np.cumsum([len(pair.matches) for pair in made]),
        "matches": np.concatenate([pair.matches for pair in made]),
        "scores": np.concatenate([pair.scores for pair in made]),
        "inliers": np.concatenate([pair.inliers for pair in made]),
        "affines": np.stack([nothing if p.affine is None else p.affine for p in made]),
    }


def _pairs_of(arrays: dict[str, np.ndarray], pairs: Sequence[Pair]) -> list[MatchedPair]:
    ends = arrays["ends"]
    rows = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends)]
    columns = [arrays[name] for name in ("matches", "scores", "inliers")]
    affines = [None if np.isnan(affine).any() else affine for affine in arrays["affines"]]
    return [
        MatchedPair(*pair, *(column[at] for column in columns), affine)
        for pair, at, affine in zip(pairs, rows, affines, strict=True)
    ]
