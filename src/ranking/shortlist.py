"""The shortlist of a query: the images with the most votes, each verified by an affine map."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from src.feature_io import Features
from src.index.folder import Index
from src.index.image_table import extent
from src.index.part import IndexPart
from src.ranking.geometry import Frames, Verification, verify
from src.ranking.settings import RetrievalSettings
from src.ranking.votes import Votes


def verify_shortlist(
    index: Index | IndexPart,
    features: Features,
    votes: Votes,
    settings: RetrievalSettings,
    pool: ThreadPoolExecutor,
) -> dict[int, Verification]:
    """Verify the images with the most votes; those with inliers are returned, by image."""
    images = shortlist(votes, settings).tolist()
    found = pool.map(lambda image: verify_image(index, features, votes, image, settings), images)
    return {image: one for image, one in zip(images, found) if one.count}


def shortlist(votes: Votes, settings: RetrievalSettings) -> np.ndarray:
    """Return the images to verify, int64, the most promising first."""
    totals = votes.counts() if settings.by_inliers else votes.totals()
    order = np.argsort(-totals, kind="stable")
    order = order[votes.counts()[order] > 0]
    return order[: settings.shortlist] if settings.shortlist else order


def verify_image(
    index: Index | IndexPart,
    features: Features,
    votes: Votes,
    image: int,
    settings: RetrievalSettings,
) -> Verification:
    """Verify the matches of a query with one image."""
    at = votes.of(image)
    return verify(
        features.locations[votes.from_query[at]],
        index.locations[votes.from_index[at]],
        settings.verify,
        Frames.of(
            features.size,
            index.sizes[image].tolist(),
            index.extents[image] / extent(features.locations),
        ),
    )
