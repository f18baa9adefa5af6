"""Which points of a query match which points of an image of the index: why it was ranked there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from src.feature_io import Features
from src.index.folder import AnyIndex, Index
from src.index.part import IndexPart
from src.ranking.candidates import find_candidates
from src.ranking.pair import PairMatch
from src.ranking.settings import RetrievalSettings
from src.ranking.shortlist import shortlist, verify_image
from src.ranking.votes import Votes, search_votes


class QueryMatches:
    """The matches of one query with images of an index, as `rank_images` verifies them.

    Called with the number of an image it returns its matches; those of an image that is not on the
    shortlist have no inliers, as in the ranking. The index is searched once, at the first call.

    Args:
        index: the index.
        features: of the query, or of the query and its turns.
        settings: how images were ranked.
        turns: int [images], which turn of the query counts; by default the first for all.
    """

    def __init__(
        self,
        index: AnyIndex,
        features: Features | Sequence[Features],
        settings: RetrievalSettings,
        turns: np.ndarray | None = None,
    ):
        by_turn = [features] if isinstance(features, Features) else list(features)
        settings = settings.fitted(index, by_turn[0])
        self._turns = turns
        self._chosen = find_candidates(index, by_turn, settings)
        part = self._chosen.part if self._chosen else index
        self._by_turn = [_TurnMatches(part, each, settings) for each in by_turn]

    def __call__(self, image: int) -> PairMatch:
        """Return the matches with an image."""
        turn = 0 if self._turns is None else int(self._turns[image])
        if self._chosen is None:
            return self._by_turn[turn](image)
        position = self._chosen.position(image)
        return _no_match() if position is None else self._by_turn[turn](position)


def _no_match() -> PairMatch:
    return PairMatch(*np.zeros((2, 0, 2), dtype=np.float32), np.zeros(0, dtype=bool), None)


class _TurnMatches:
    """The matches of one turn of a query."""

    def __init__(self, index: Index | IndexPart, features: Features, settings: RetrievalSettings):
        self._index = index
        self._features = features
        self._settings = settings

    def __call__(self, image: int) -> PairMatch:
        at = self._votes.of(image)
        from_query, from_index = self._votes.from_query[at], self._votes.from_index[at]
        inliers, affine = np.zeros(len(from_query), dtype=bool), None
        if image in self._listed:
            found = verify_image(self._index, self._features, self._votes, image, self._settings)
            inliers, affine = found.inliers, found.affine
        locations = np.asarray(self._index.locations[from_index])
        return PairMatch(self._features.locations[from_query], locations, inliers, affine)

    @cached_property
    def _votes(self) -> Votes:
        return search_votes(self._index, self._features, self._settings)

    @cached_property
    def _listed(self) -> frozenset[int]:
        return frozenset(shortlist(self._votes, self._settings).tolist())
