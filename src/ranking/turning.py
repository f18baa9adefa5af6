"""Queries that lie on their side: a photo is asked for upright and, where need be, turned.

The network knows things upright only, and so do the descriptors. Phone photos without EXIF lie on
their side, queries as well as images; whichever it is, one of four turns of the query fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from src.feature_io import Features
from src.index.folder import AnyIndex
from src.ranking.one_query import RankedQuery, rank_images
from src.ranking.settings import RetrievalSettings

#: An upright query that an image shares so many inliers with need not be turned.
CONVINCING_INLIERS = 60


def rank_turned(
    index: AnyIndex,
    upright: Features,
    turned: Callable[[], Sequence[Features]],
    settings: RetrievalSettings,
    threads: int = 1,
    itself: str | None = None,
    early: Callable[[RankedQuery], None] | None = None,
) -> RankedQuery:
    """Rank all images of an index for a query as it is and, as the settings say, turned.

    Args:
        index: the index.
        upright: features of the query.
        turned: gives those of its turns, `settings.turns`; called only where they are needed.
        settings: how to rank; with `query_rotations` "auto" the query is turned where no image but
            itself is convincing.
        threads: as for `rank_images`.
        itself: the query's own name in the index.
        early: called with what is found upright, before the query is turned for want of better.
    """
    if settings.query_rotations != "auto":
        more = turned() if settings.turns else ()
        return rank_images(index, [upright, *more], settings, threads)
    found = rank_images(index, upright, settings, threads)
    if _is_convincing(found, index, itself):
        return found
    if early is not None:
        early(found)
    more = turned()
    return rank_images(index, [upright, *more], settings, threads) if more else found


def _is_convincing(found: RankedQuery, index: AnyIndex, itself: str | None) -> bool:
    best = np.argsort(-found.inliers, kind="stable")[:2]
    return any(
        found.inliers[image] >= CONVINCING_INLIERS and index.names[image] != itself
        for image in best
    )
