"""What is looked for: a query photo or a part of it, described once, upright and turned."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from src.common.digests import sha256_of
from src.common.errors import UserError
from src.describe.one_photo import described
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import Box, PhotoTask
from src.feature_io import (
    DamagedFeaturesError,
    Features,
    Origin,
    feature_path,
    look_at_features,
    read_features,
    write_features,
)
from src.photo_search.collection import Collection

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Query:
    """What is looked for.

    Attributes:
        photo: the query photo.
        box: (left, top, right, bottom) of the part of it that counts, in its pixels; None: all.
        kept: folder for its features, where they are not to be kept with the others.
    """

    photo: Path
    box: Box | None = None
    kept: Path | None = None

    def name_inside(self, photos: Path, files: Mapping[str, str]) -> str | None:
        """Return the name of a query photo that is itself one of the photos of a folder."""
        pairs = ((self.photo, photos), (self.photo.resolve(), photos.resolve()))
        for path, folder in pairs:
            with contextlib.suppress(ValueError):
                name = path.relative_to(folder).as_posix()
                if name in files:
                    return name
        return None


def upright_features(collection: Collection, query: Query, stages: Stopwatch) -> Path:
    """Return the feature file of a query; one that is no photo of the folder is described."""
    name = query.name_inside(collection.photos, collection.files)
    if query.box is not None or name is None or name in collection.failed:
        return _described(collection, query, (0,), stages)[0]
    path = feature_path(collection.features, name)
    if not _is_whole(path):
        collection.look_thoroughly()
    return path


def turned_features(
    collection: Collection, query: Query, turns: Sequence[int], stages: Stopwatch
) -> list[Features]:
    """Return the features of a query that is turned; what is not at hand is described."""
    return [read_features(path) for path in _described(collection, query, turns, stages)]


def _described(
    collection: Collection, query: Query, turns: Sequence[int], stages: Stopwatch
) -> list[Path]:
    """Return the files of a query's turns, kept under names that follow from what they are of.

    Raises:
        UserError: the photo cannot be read.
    """
    try:
        digest = sha256_of(query.photo)
    except OSError as error:
        raise UserError(f"cannot read the query photo {query.photo} ({error.strerror})") from None
    folder = query.kept or collection.queries
    paths = {turn: _kept_path(folder, digest, query.box, turn) for turn in turns}
    missing = [turn for turn, path in paths.items() if not _is_whole(path, digest)]
    if any(paths[turn].exists() for turn in missing):
        LOG.warning("the features of %s are damaged and are made again", query.photo)
    describer = collection.describer
    file = query.photo.name
    tasks = [PhotoTask(file, file, query.box, turn) for turn in missing]
    parts = Stopwatch()
    with stages.part("describe"), collection.asking as engine:
        photos = list(
            described(
                engine,
                query.photo.parent,
                tasks,
                describer.features,
                collection.pca,
                describer.devices[0],
                parts,
            )
        )
    stages.seconds["open"] += parts.seconds["open"]
    stages.seconds["describe"] -= parts.seconds["open"]
    for turn, photo in zip(missing, photos):
        if photo.features is None:
            raise UserError(photo.reason)
        write_features(paths[turn], photo.features, Origin(digest, ""))
    return list(paths.values())


def _kept_path(folder: Path, digest: str, box: Box | None, turn: int) -> Path:
    part = "" if box is None else f"-{hashlib.sha256(repr(box).encode()).hexdigest()[:8]}"
    return feature_path(folder, f"{digest[:20]}{part}{f'@{90 * turn}' if turn else ''}")


def _is_whole(path: Path, photo: str | None = None) -> bool:
    """Tell whether a feature file is there, whole, and of a photo (older ones do not say which)."""
    try:
        origin = look_at_features(path, thoroughly=True).origin
    except DamagedFeaturesError:
        return False
    return photo is None or origin is None or origin.photo == photo
