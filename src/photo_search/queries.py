"""Searching a collection for query photos, and the page of what was found."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from src.common.cpus import cpu_count
from src.common.digests import sha256_of
from src.common.errors import UserError
from src.describe.one_photo import described
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import PhotoTask
from src.feature_io import (
    DamagedFeaturesError,
    Features,
    Origin,
    feature_path,
    features_checksum,
    look_at_features,
    read_features,
    read_manifest,
    write_features,
)
from src.index.folder import Index, load_index
from src.pages.document import Entry, Page, flat_settings, write_page
from src.pages.query_sheet import Result, Sheet, write_sheet
from src.photo_search.collection import Collection
from src.ranking.one_query import rank_images
from src.ranking.query_matches import QueryMatches
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
    queries: Sequence[Path],
    top: int,
    stages: Stopwatch,
) -> list[Found]:
    """Rank the photos of a collection for each query and show the first ones on a page.

    Args:
        collection: the photos, up to date.
        retrieval: how they are ranked.
        queries: photos to look for.
        top: results to show of each.
        stages: counts the time of `STAGES`.

    Raises:
        UserError: a query cannot be read.
    """
    described_queries = [_query_features(collection, query, stages) for query in queries]
    try:
        return _found(collection, retrieval, queries, described_queries, top, stages)
    except UserError as error:  # what is kept can be made again
        collection.repair(error)
    described_queries = [_query_features(collection, query, stages) for query in queries]
    return _found(collection, retrieval, queries, described_queries, top, stages)


def _found(
    collection: Collection,
    retrieval: RetrievalSettings,
    queries: Sequence[Path],
    paths: Sequence[Path],
    top: int,
    stages: Stopwatch,
) -> list[Found]:
    """Rank the photos for queries whose features are at hand, and write the page."""
    folder = collection.folder / "results" / _page_key(queries)
    with stages.part("search"):
        index = load_index(collection.index)
    files = collection.files
    sheets = []
    for query, path in zip(queries, paths):
        with stages.part("search"):
            features = read_features(path)
            results, caption = _results(collection, retrieval, index, files, query, features, top)
        evidence = [index.settings, features_checksum(path), asdict(retrieval)]
        digest = hashlib.sha256(json.dumps(evidence, sort_keys=True).encode()).hexdigest()
        sheet = Sheet(_label(query, queries), query, None, caption, results, digest)
        matcher = QueryMatches(index, features, retrieval)
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
    retrieval: RetrievalSettings,
    index: Index,
    files: dict[str, str],
    query: Path,
    features: Features,
    top: int,
) -> tuple[tuple[Result, ...], str]:
    """Return the nearest photos of a query, itself left out, and what is said above them."""
    itself = _name_inside(collection, query, files)
    ranking = rank_images(index, features, retrieval, threads=cpu_count())
    others = [image for image in ranking.ranks.tolist() if index.names[image] != itself]
    results = tuple(
        Result(
            image,
            rank,
            index.names[image],
            collection.photos / files[index.names[image]],
            "unknown",
            ranking.inliers[image].item(),
            ranking.votes[image].item(),
        )
        for rank, image in enumerate(others[:top] if len(features) else [], 1)
    )
    if not len(features):
        return results, "nothing in this photo can be recognised: is it of one colour?"
    return results, f"the nearest of {len(others)} photos in {collection.photos.name}"


def _query_features(collection: Collection, query: Path, stages: Stopwatch) -> Path:
    """Return the feature file of a query; one that is no photo of the folder is described.

    It is kept under a name that follows from its bytes, so that it is described once.
    """
    name = _name_inside(collection, query, collection.files)
    if name is not None and name not in collection.failed:
        path = feature_path(collection.features, name)
        if not _is_whole(path):
            collection.look_thoroughly()
        return path
    try:
        digest = sha256_of(query)
    except OSError as error:
        raise UserError(f"cannot read the query photo {query} ({error.strerror})") from None
    kept = feature_path(collection.queries, digest[:20])
    if _is_whole(kept, digest):
        return kept
    if kept.exists():
        LOG.warning("the features of %s are damaged and are made again", query)
    describer = collection.describer
    parts = Stopwatch()
    with stages.part("describe"):
        (photo,) = described(
            describer.engine,
            query.parent,
            [PhotoTask(query.name, query.name)],
            describer.features,
            collection.pca,
            describer.devices[0],
            parts,
        )
    stages.seconds["open"] += parts.seconds["open"]
    stages.seconds["describe"] -= parts.seconds["open"]
    if photo.features is None:
        raise UserError(photo.reason)
    write_features(kept, photo.features, Origin(digest, ""))
    return kept


def _is_whole(path: Path, photo: str | None = None) -> bool:
    """Tell whether a feature file is there, whole, and of a photo (older ones do not say which)."""
    try:
        origin = look_at_features(path, thoroughly=True).origin
    except DamagedFeaturesError:
        return False
    return photo is None or origin is None or origin.photo == photo


def _name_inside(collection: Collection, query: Path, files: dict[str, str]) -> str | None:
    """Return the name of a query that is itself one of the photos."""
    photos = collection.photos
    for path, folder in ((query, photos), (query.resolve(), photos.resolve())):
        with contextlib.suppress(ValueError):
            name = path.relative_to(folder).as_posix()
            if name in files:
                return name
    return None


def _label(query: Path, queries: Sequence[Path]) -> str:
    alike = [other for other in queries if other.name == query.name]
    return query.name if len(alike) == 1 else str(query)


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


def _page_key(queries: Sequence[Path]) -> str:
    text = "\n".join(map(str, queries)).encode("utf-8", "surrogatepass")
    stem = "".join(c if c.isascii() and c.isalnum() else "_" for c in queries[0].stem)[:40]
    return f"{stem}-{hashlib.sha256(text).hexdigest()[:8]}"
