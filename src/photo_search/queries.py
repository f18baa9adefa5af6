"""Searching a collection for query photos, and the page of what was found."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from src.common.cpus import cpu_count
from src.common.errors import UserError
from src.describe.stopwatch import Stopwatch
from src.feature_io import Features, features_checksum, read_features, read_manifest
from src.index.folder import Index, load_index
from src.pages.document import Entry, Page, flat_settings, write_page
from src.pages.query_sheet import Result, Sheet, write_sheet
from src.photo_search.asking import Query, turned_features, upright_features
from src.photo_search.collection import Collection
from src.ranking.one_query import RankedQuery
from src.ranking.query_matches import QueryMatches
from src.ranking.settings import RetrievalSettings
from src.ranking.turning import rank_turned
from src.ranking.verdict import NOT_HERE, calibration_for

LOG = logging.getLogger(__name__)

#: Of a search: importing, choosing the engine, bringing the folder up to date, opening the network,
#: describing the queries, ranking, drawing.
STAGES = ("import", "choose", "folder", "open", "describe", "search", "page")


@dataclass(frozen=True)
class Found:
    """What was found for one query.

    Attributes:
        query: the query photo.
        results: the nearest photos, best first; none where nothing in the query can be recognised.
        photos: number of photos searched.
        page: the page that shows it.
    """

    query: Path
    results: tuple[Result, ...]
    photos: int
    page: Path


def find(
    collection: Collection,
    retrieval: RetrievalSettings,
    queries: Sequence[Query],
    top: int,
    stages: Stopwatch,
) -> list[Found]:
    """Rank the photos of a collection for each query and show the first ones on a page.

    Args:
        collection: the photos, up to date.
        retrieval: how they are ranked.
        queries: what to look for.
        top: results to show of each.
        stages: counts the time of `STAGES`.

    Raises:
        UserError: a query cannot be read.
    """
    paths = [upright_features(collection, query, stages) for query in queries]
    try:
        return _found(collection, retrieval, queries, paths, top, stages)
    except UserError as error:  # what is kept can be made again
        collection.repair(error)
    paths = [upright_features(collection, query, stages) for query in queries]
    return _found(collection, retrieval, queries, paths, top, stages)


def _found(
    collection: Collection,
    retrieval: RetrievalSettings,
    queries: Sequence[Query],
    paths: Sequence[Path],
    top: int,
    stages: Stopwatch,
) -> list[Found]:
    """Rank the photos for queries whose features are at hand, and write the page."""
    folder = collection.folder / "results" / _page_key(queries)
    with stages.part("search"):
        index = load_index(collection.index)
    sheets = []
    for query, path in zip(queries, paths):
        by_turn = [read_features(path)]

        def turned(query: Query = query, by_turn: list[Features] = by_turn) -> list[Features]:
            by_turn += turned_features(collection, query, retrieval.turns, stages)
            return by_turn[1:]

        itself = query.name_inside(collection.photos, collection.files)
        with stages.part("search"):
            found = rank_turned(index, by_turn[0], turned, retrieval, cpu_count(), itself)
        results, caption = _results(collection, index, itself, found, len(by_turn[0]), top)
        evidence = [index.settings, features_checksum(path), asdict(retrieval), len(by_turn)]
        digest = hashlib.sha256(json.dumps(evidence, sort_keys=True).encode()).hexdigest()
        sheet = Sheet(_label(query, queries), query.photo, query.box, caption, results, digest)
        matcher = QueryMatches(index, by_turn, retrieval, found.turns)
        with stages.part("page"):
            write_sheet(sheet, folder / "sheets" / sheet.file, matcher)
        sheets.append(sheet)
    with stages.part("page"):
        page = write_page(folder, _page(collection, retrieval, sheets, index.image_count))
    for path in (page, *(folder / "sheets" / sheet.file for sheet in sheets)):
        if not path.exists():
            raise UserError(f"{path} has gone while the results were written; search again")
    return [Found(sheet.photo, sheet.results, index.image_count, page) for sheet in sheets]


def _results(
    collection: Collection,
    index: Index,
    itself: str | None,
    ranking: RankedQuery,
    feature_count: int,
    top: int,
) -> tuple[tuple[Result, ...], str]:
    """Return the nearest photos of a query, itself left out, and what is said above them."""
    files = collection.files
    calibration = calibration_for(index.settings["features"])
    order, probabilities = ranking.ranks, None
    if calibration is not None:
        probabilities = calibration.probabilities(ranking.inliers, ranking.similarities)
        # What shows the same beyond doubt never stands below what does not.
        order = order[np.argsort(probabilities[order] < calibration.same, kind="stable")]
    others = [image for image in order.tolist() if index.names[image] != itself]
    results = []
    for rank, image in enumerate(others[:top] if feature_count else [], 1):
        inliers, votes = ranking.inliers[image].item(), ranking.votes[image].item()
        verdict, probability = "unknown", None
        if probabilities is not None:
            probability = float(probabilities[image])
            verdict = calibration.verdict(probability)
        name = index.names[image]
        photo = collection.photos / files[name]
        results.append(Result(image, rank, name, photo, verdict, inliers, votes, probability))
    if not feature_count:
        return (), "nothing in this photo can be recognised: is it of one colour?"
    of_all = f"the nearest of {len(others)} photos in {collection.photos.name}"
    if calibration is not None and all(result.verdict == NOT_HERE for result in results):
        of_all = f"{NOT_HERE}, it seems; {of_all}"
    return tuple(results), of_all


def _label(query: Query, queries: Sequence[Query]) -> str:
    alike = [other for other in queries if other.photo.name == query.photo.name]
    return query.photo.name if len(alike) == 1 else str(query.photo)


def _page(
    collection: Collection, retrieval: RetrievalSettings, sheets: Sequence[Sheet], count: int
) -> Page:
    lead = [
        f"{count} photos of {collection.photos} were searched. A photo is near when many of its "
        "points look like points of the query (votes), and above all when they also lie alike: "
        "the inliers are the points that one affine map takes from photo to photo. Where photos "
        "have global descriptors, what they look like as a whole counts as much."
    ]
    settings = {
        "photos": collection.photos,
        "weights": collection.describer.source,
        **read_manifest(collection.features).settings,
        **flat_settings(asdict(retrieval), "search"),
    }
    names = ", ".join(sheet.label for sheet in sheets[:3]) + ("…" if len(sheets) > 3 else "")
    entries = [Entry(sheet, f"sheets/{sheet.file}") for sheet in sheets]
    return Page(f"Photos like {names}", lead, entries, settings=settings)


def _page_key(queries: Sequence[Query]) -> str:
    lines = [f"{query.photo}{f' {query.box}' if query.box else ''}" for query in queries]
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    first = queries[0].photo.stem
    stem = "".join(c if c.isascii() and c.isalnum() else "_" for c in first)[:40]
    return f"{stem}-{hashlib.sha256(text).hexdigest()[:8]}"
