"""Which points of a query match which points of an image of the index."""

from __future__ import annotations

import numpy as np

from src.build_feature_dataset import Index
from src.feature_io import Features
from src.match_images import MatchSettings, PairMatch, match_pair
from src.perform_retrieval import RetrievalSettings


class QueryMatches:
    """The matches of one query with images of an index.

    Called with the index of an image it returns the matches. They are found anew between the two
    photos alone, so that a picture of them costs no search of the whole index; their number is not
    quite that of the ranking, for which a feature must be among the nearest of the whole index.
    """

    def __init__(self, index: Index, features: Features, settings: RetrievalSettings):
        self._index = index
        self._features = features
        self._settings = MatchSettings(verify=settings.verify)

    def __call__(self, image: int) -> PairMatch:
        """Return the matches with an image."""
        rows = slice(*self._index.offsets[image : image + 2])
        locations = np.asarray(self._index.locations[rows])
        unused = np.zeros(len(locations), np.float32)
        theirs = Features(locations, unused, self._index.descriptors[rows], unused)
        return match_pair(self._features, theirs, self._settings)
