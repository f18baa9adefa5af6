"""A folder of photos that can be searched."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delf.settings import check_names, settings_of
from src.common.atomic_files import PathLike
from src.common.errors import UserError as UserError
from src.describe.tasks import Box
from src.pages.match_picture import draw_matches
from src.pages.query_sheet import Result
from src.photo_search.answers import Answer
from src.photo_search.asking import Query
from src.photo_search.duplicates import Group
from src.photo_search.open_folder import OpenFolder
from src.photo_search.settings import SearchSettings
from src.photos.finding import list_photos
from src.photos.reading import read_image
from src.ranking.pair import PairMatch


@dataclass(frozen=True)
class Hit:
    """A photo that a search found.

    Attributes:
        path: of its file.
        name: path inside the folder, without the suffix where that is unique.
        rank: from 1.
        confidence: probability that it shows the same thing, calibrated for the weights that ship
            (docs/ranking.md); None for others.
        verdict: "the same", "perhaps" or "not here"; "unknown" without a confidence.
        inliers: points that one affine map takes from the query to the photo.
        votes: of the query's features.
        query: the query's file.
    """

    path: Path
    name: str
    rank: int
    confidence: float | None
    verdict: str
    inliers: int
    votes: float
    query: Path
    _match: Callable[[], PairMatch] = field(repr=False, compare=False)

    def match(self) -> PairMatch:
        """Return the matched points of query and photo, which of them are inliers, and the map."""
        return self._match()

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """(left, top, right, bottom) around the inliers, in pixels of the photo; None without."""
        return self.match().found_box

    def draw(self, output: PathLike) -> Path:
        """Write a picture of query and photo, side by side, with lines between the inliers.

        Raises:
            UserError: a photo cannot be read, or the picture cannot be written.
        """
        photos = (read_image(self.query), read_image(self.path))
        draw_matches(*photos, self.match(), output, (self.query.name, self.name))
        return Path(output)


class PhotoSearch:
    """A folder of photos that can be searched; it is described once, then only what is new.

    The folder is not written to: what is known of it lies under `work_path`, by default in
    `runs/search` of a clone and in the user's cache for an installed package. May be used by
    several threads; one of them describes a query at a time, and one ranks.

    Args:
        folder: of the photos, searched with its sub-folders.
        weights: checkpoint (.ckpt, Keras .h5, …); by default the ImageNet weights, which are
            got the first time.
        settings: any of delf_config.yaml, by name.

    Raises:
        UserError: the folder holds no photo, a setting is none, weights cannot be read.
    """

    def __init__(self, folder: PathLike, weights: PathLike | None = None, **settings: Any):
        given = {**settings, **({} if weights is None else {"checkpoint_path": weights})}
        self.folder = Path(os.path.abspath(folder))
        check_names(given)
        list_photos(self.folder)  # said now, not when weights have been fetched
        self._open = OpenFolder(SearchSettings.from_config(settings_of(given)), self.folder)

    def update(self) -> int:
        """Describe what is new or has changed; return how many photos can be searched.

        Called by the first search; call it again when photos have come or gone.

        Raises:
            UserError: none of the photos can be described.
        """
        return self._open.update()

    @property
    def failed(self) -> dict[str, str]:
        """Photos that could not be described, by name, with the reason."""
        return self._open.failed

    @property
    def kept(self) -> Path:
        """The folder of what is known of these photos; there once they were updated."""
        return self._open.kept

    def find(self, query: PathLike, top: int = 10, box: Box | None = None) -> list[Hit]:
        """Return the photos that show what a photo shows, best first.

        Args:
            query: the photo; it may lie in the folder, and is then not among the hits.
            top: hits to return, at most.
            box: (left, top, right, bottom) of the part that is looked for, in pixels of the query.

        Raises:
            UserError: the query cannot be read.
        """
        asked = Query(Path(os.path.abspath(query)), box)
        if not asked.photo.is_file():
            raise UserError(f"there is no query photo {asked.photo}")
        found = self._open.ask(asked, top)
        return [self._hit(result, found, asked.photo) for result in found.results]

    def duplicates(self, output: PathLike | None = None) -> list[Group]:
        """Group photos of one thing: the same file, near-duplicates, the same building.

        Each photo is asked against the index once, and the answers are kept: a call that was
        interrupted goes on where it was.

        Args:
            output: folder for a page and a table (`duplicates.csv`) of the groups; by default none
                is written.

        Returns:
            The groups, the largest first, each with its photos; photos without their like are in
            none.

        Raises:
            UserError: none of the photos can be described, or the page cannot be written.
        """
        return self._open.duplicates(output)

    def _hit(self, result: Result, found: Answer, query: Path) -> Hit:
        return Hit(
            result.photo,
            result.name,
            result.rank,
            result.probability,
            result.verdict,
            int(result.inliers),
            float(result.votes),
            query,
            lambda: self._open.match(found, result.image),
        )
