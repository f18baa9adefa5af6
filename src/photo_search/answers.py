"""The answer to one query: the nearest photos of a collection, and why each was ranked there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from src.common.cpus import cpu_count
from src.describe.stopwatch import Stopwatch
from src.feature_io import Features, features_checksum, read_features
from src.index.folder import AnyIndex
from src.index.image_table import index_of
from src.pages.query_sheet import Result
from src.photo_search.asking import Query, turned_features, upright_features
from src.photo_search.collection import Collection
from src.ranking.one_query import RankedQuery
from src.ranking.query_matches import QueryMatches
from src.ranking.settings import RetrievalSettings
from src.ranking.turning import rank_turned
from src.ranking.verdict import NOT_HERE, calibration_for


@dataclass(frozen=True)
class Answer:
    """What a collection says to one query.

    Attributes:
        results: the nearest photos, best first; none where nothing in the query can be recognised.
        caption: a line about them.
        matches: from the number of an image to its matches with the query.
        evidence: identifies what the results follow from, as JSON values.
    """

    results: tuple[Result, ...]
    caption: str
    matches: QueryMatches
    evidence: list[Any]


def answer(
    collection: Collection,
    index: AnyIndex,
    retrieval: RetrievalSettings,
    query: Query,
    top: int,
    stages: Stopwatch,
    early: Callable[[tuple[Result, ...]], None] | None = None,
) -> Answer:
    """Rank the photos of a collection for a query.

    Args:
        collection: the photos, up to date.
        index: of its features.
        retrieval: how they are ranked.
        query: what to look for.
        top: results to return.
        stages: counts the time of describing and ranking.
        early: called with what is found upright, where the query is turned for want of better.

    Raises:
        UserError: the query cannot be read, or features are damaged.
    """
    path = upright_features(collection, query, stages)
    by_turn = [read_features(path)]

    def turned() -> list[Features]:
        by_turn.extend(turned_features(collection, query, retrieval.turns, stages))
        return by_turn[1:]

    itself = query.name_inside(collection.photos, collection.files)

    def upright(found: RankedQuery) -> None:
        if early is not None:
            early(_results(collection, index, itself, found, len(by_turn[0]), top)[0])

    with stages.part("search"):
        found = rank_turned(index, by_turn[0], turned, retrieval, cpu_count(), itself, upright)
    results, caption = _results(collection, index, itself, found, len(by_turn[0]), top)
    evidence = [index.settings, features_checksum(path), asdict(retrieval), len(by_turn)]
    matches = QueryMatches(index, by_turn, retrieval, found.turns)
    return Answer(results, caption, matches, evidence)


def _results(
    collection: Collection,
    index: AnyIndex,
    itself: str | None,
    ranking: RankedQuery,
    feature_count: int,
    top: int,
) -> tuple[tuple[Result, ...], str]:
    """Return the nearest photos of a query, itself left out, and what is said above them."""
    calibration = calibration_for(index.settings["features"])
    order, probabilities = ranking.ranks, None
    if calibration is not None:
        probabilities = calibration.probabilities(ranking.inliers, ranking.similarities)
        # What shows the same beyond doubt never stands below what does not.
        order = order[np.argsort(probabilities[order] < calibration.same, kind="stable")]
    # What could not be described is in the index, without features.
    left_out = {index_of(index.names, name) for name in (itself, *collection.failed)} - {None}
    nearest = (image for image in order.tolist() if image not in left_out)
    results = []
    for rank, image in enumerate(islice(nearest, top if feature_count else 0), 1):
        inliers, votes = ranking.inliers[image].item(), ranking.votes[image].item()
        verdict, probability = "unknown", None
        if probabilities is not None:
            probability = float(probabilities[image])
            verdict = calibration.verdict(probability)
        name = index.names[image]
        photo = collection.photos / name  # a search calls its photos as their files are called
        results.append(Result(image, rank, name, photo, verdict, inliers, votes, probability))
    if not feature_count:
        return (), "nothing in this photo can be recognised: is it of one colour?"
    count = index.image_count - len(left_out)
    of_all = f"the nearest of {count} photos in {collection.photos.name}"
    if calibration is not None and all(result.verdict == NOT_HERE for result in results):
        of_all = f"{NOT_HERE}, it seems; {of_all}"
    return tuple(results), of_all
