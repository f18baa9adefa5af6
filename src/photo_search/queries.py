"""Searching a collection for query photos, and the page of what was found."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from src.common.errors import UserError
from src.describe.stopwatch import Stopwatch
from src.feature_io import read_manifest
from src.index.folder import load_index
from src.pages.document import Entry, Page, flat_settings, write_page
from src.pages.query_sheet import Result, Sheet, write_sheet
from src.photo_search.answers import answer
from src.photo_search.asking import Query, upright_features
from src.photo_search.collection import Collection
from src.ranking.settings import RetrievalSettings

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
    for query in queries:  # before anything is ranked: a query that cannot be read ends it
        upright_features(collection, query, stages)
    try:
        return _found(collection, retrieval, queries, top, stages)
    except UserError as error:  # what is kept can be made again
        collection.repair(error)
    return _found(collection, retrieval, queries, top, stages)


def _found(
    collection: Collection,
    retrieval: RetrievalSettings,
    queries: Sequence[Query],
    top: int,
    stages: Stopwatch,
) -> list[Found]:
    """Rank the photos for each query and write the page."""
    folder = collection.folder / "results" / _page_key(queries)
    with stages.part("search"):
        index = load_index(collection.index)
    count = index.image_count - len(collection.failed)
    sheets = []
    for query in queries:
        found = answer(collection, index, retrieval, query, top, stages)
        digest = hashlib.sha256(json.dumps(found.evidence, sort_keys=True).encode()).hexdigest()
        label = _label(query, queries)
        sheet = Sheet(label, query.photo, query.box, found.caption, found.results, digest)
        with stages.part("page"):
            write_sheet(sheet, folder / "sheets" / sheet.file, found.matches)
        sheets.append(sheet)
    with stages.part("page"):
        page = write_page(folder, _page(collection, retrieval, sheets, count))
    for path in (page, *(folder / "sheets" / sheet.file for sheet in sheets)):
        if not path.exists():
            raise UserError(f"{path} has gone while the results were written; search again")
    return [Found(sheet.photo, sheet.results, count, page) for sheet in sheets]


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
