"""What is done for those who ask: searches, matches and pictures, of a folder that is open.

What was asked is remembered for a while, in memory: a page asks for matches of a search it has
made. Photos that are sent are nowhere kept: what is decoded of them lies in a folder of its own for
as long as it is described.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from src.common.errors import UserError
from src.describe.tasks import Box
from src.feature_io import Features
from src.index.folder import AnyIndex
from src.pages.query_sheet import Result
from src.photo_search.answers import Answer
from src.photo_search.asking import Query
from src.photo_search.duplicates import Group
from src.photo_search.open_folder import OpenFolder
from src.photos.reading import read_enough
from src.ranking.pair import PairMatch
from src.serve.decoding import Decoders, Pixels

LOG = logging.getLogger(__name__)

#: Sides that pictures are made in: what is asked for becomes the next one.
SIDES = (320, 640, 1280, 2048)
QUERY_SIDE = 1280
_SEARCHES = 200  # that are remembered
_PICTURE_BYTES = 64 * 2**20  # of pictures that are remembered
_QUALITY = 85


class UnknownError(UserError):
    """Something is asked for that is not there."""


@dataclass(frozen=True)
class Search:
    """A search that was made.

    Attributes:
        key: what it is called; nobody can guess it.
        answer: what was found.
        picture: of the query, JPEG.
        size: (height, width) of the query.
    """

    key: str
    answer: Answer
    picture: bytes
    size: tuple[int, int]


class _Listed(NamedTuple):
    """The names of the photos that can be searched, of an index and what failed, and by key."""

    index: AnyIndex | None
    failed: dict[str, str]
    names: tuple[str, ...]
    by_key: dict[str, str]


class Desk:
    """Answers questions about a folder of photos; several threads may ask.

    Args:
        photos: the folder.
        decoders: decode what is sent.
    """

    def __init__(self, photos: OpenFolder, decoders: Decoders):
        self.photos = photos
        self._decoders = decoders
        self._root = os.path.realpath(photos.folder)
        self._lock = threading.Lock()
        self._searches: OrderedDict[str, Search] = OrderedDict()
        self._pictures: OrderedDict[tuple, tuple[bytes, tuple[int, int]]] = OrderedDict()
        self._groups: tuple[tuple[str, ...], list[Group]] | None = None
        self._listed = _Listed(None, {}, (), {})

    def name_of(self, key: str) -> str:
        """Return the name of a photo that can be searched.

        Raises:
            UnknownError: there is none that is called so.
        """
        self.names()
        name = self._listed.by_key.get(key)
        if name is None:
            raise UnknownError("there is no such photo among those that can be searched")
        return name

    def names(self) -> tuple[str, ...]:
        """Return the names of the photos that can be searched."""
        index, failed = self.photos.index, self.photos.failed
        listed = self._listed
        if listed.index is not index or listed.failed != failed:  # once: there may be a million
            names = tuple(name for name in (index.names if index else ()) if name not in failed)
            listed = _Listed(index, failed, names, {key_of(name): name for name in names})
            self._listed = listed
        return listed.names

    def search_sent(
        self,
        data: bytes,
        top: int,
        box: Box | None = None,
        early: Callable[[tuple[Result, ...]], None] | None = None,
    ) -> Search:
        """Search for what a photo shows that was sent.

        Raises:
            UserError: it cannot be decoded or described.
        """
        photo = self._decoders.decode(data)
        _check_box(box, photo.size)
        with _Workplace(photo) as place:
            found = self.photos.ask(Query(place.photo, box, place.folder), top, early)
        picture = _jpeg(_reduced(photo.pixels, QUERY_SIDE))
        return self._remember(found, picture, photo.size)

    def search_known(
        self,
        name: str,
        top: int,
        box: Box | None = None,
        early: Callable[[tuple[Result, ...]], None] | None = None,
    ) -> Search:
        """Search for what a photo of the folder shows.

        Raises:
            UserError: it cannot be read any more.
        """
        path = self._path(name)
        picture, size = self.picture(name, QUERY_SIDE)
        _check_box(box, size)
        found = self.photos.ask(Query(path, box), top, early)
        return self._remember(found, picture, size)

    def describe(self, data: bytes) -> tuple[Features, tuple[int, int]]:
        """Return the features of a photo that was sent, and its (height, width).

        Raises:
            UserError: it cannot be decoded or described.
        """
        photo = self._decoders.decode(data)
        with _Workplace(photo) as place:
            return self.photos.describe(Query(place.photo, None, place.folder)), photo.size

    def preview(self, data: bytes) -> tuple[bytes, tuple[int, int]]:
        """Return a JPEG of a photo that was sent, and the photo's (height, width).

        Raises:
            UserError: it cannot be decoded.
        """
        photo = self._decoders.decode(data)
        return _jpeg(_reduced(photo.pixels, QUERY_SIDE)), photo.size

    def find_groups(self) -> None:
        """Look for groups of photos of one thing; takes a while.

        Raises:
            UserError: features are damaged, or the results cannot be written.
        """
        names = self.names()
        self._groups = (names, self.photos.duplicates())

    def groups(self) -> list[Group] | None:
        """Return the groups of the photos that are searched; None: nobody has looked for them."""
        names = self.names()
        found = self._groups
        return found[1] if found is not None and found[0] == names else None

    def search(self, key: str) -> Search:
        """Return a search that was made.

        Raises:
            UnknownError: there was none, or too long ago.
        """
        with self._lock:
            found = self._searches.get(key)
            if found is None:
                raise UnknownError("this search is not remembered any more; search again")
            self._searches.move_to_end(key)
            return found

    def match(self, search: Search, name: str) -> PairMatch:
        """Return the matches of a search's query with one of its results.

        Raises:
            UnknownError: the photo is none of them.
        """
        for result in search.answer.results:
            if result.name == name:
                return self.photos.match(search.answer, result.image)
        raise UnknownError("this photo is no result of this search")

    def picture(self, name: str, side: int) -> tuple[bytes, tuple[int, int]]:
        """Return a JPEG of a photo, its longer side one of `SIDES`, and its (height, width).

        Raises:
            UserError: the photo cannot be read.
        """
        path = self._path(name)
        side = next((each for each in SIDES if each >= side), SIDES[-1])
        try:
            status = path.stat()
        except OSError:
            raise UnknownError("the photo has gone") from None
        key = (name, side, status.st_size, status.st_mtime_ns)
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
        pixels, size, _ = read_enough(path, side)
        made = _jpeg(_reduced(pixels, side)), size
        with self._lock:
            self._pictures[key] = made
            while sum(len(jpeg) for jpeg, _ in self._pictures.values()) > _PICTURE_BYTES:
                self._pictures.popitem(last=False)
        return made

    def _path(self, name: str) -> Path:
        """Return the file of a photo.

        Its name was found by listing the folder. A link that has come to lie there since is not
        followed out of the folder.

        Raises:
            UnknownError: it leads elsewhere now.
        """
        path = self.photos.folder / name
        real = os.path.realpath(path)
        inside = os.path.commonpath([real, self._root]) == self._root
        if not inside and self.photos.outside.get(name) != real:
            raise UnknownError("the photo has gone; what lies there now leads out of the folder")
        return path

    def _remember(self, found: Answer, picture: bytes, size: tuple[int, int]) -> Search:
        search = Search(secrets.token_urlsafe(16), found, picture, size)
        with self._lock:
            self._searches[search.key] = search
            while len(self._searches) > _SEARCHES:
                self._searches.popitem(last=False)
        return search


def key_of(name: str) -> str:
    """Return what a photo is called in addresses: it follows from its name and holds no sign."""
    return hashlib.sha256(name.encode()).hexdigest()[:20]


class _Workplace:
    """Context in which what was decoded of a photo is a file, alone in a folder of its own."""

    def __init__(self, photo: Pixels):
        self._photo = photo

    def __enter__(self) -> _Workplace:
        self.folder = Path(tempfile.mkdtemp(prefix="delf-"))
        self.photo = self.folder / "query.ppm"
        height, width = self._photo.size
        with self.photo.open("wb") as file:
            file.write(f"P6\n{width} {height}\n255\n".encode())
            file.write(self._photo.pixels.data)
        return self

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if isinstance(error, UserError):  # whoever asks knows of no such file
            raise UserError(str(error).replace(str(self.photo), "the photo")) from None


def _check_box(box: Box | None, size: tuple[int, int]) -> None:
    """Raise `UserError` unless a box holds something of a photo of a (height, width)."""
    if box is None:
        return
    height, width = size
    left, top, right, bottom = (
        min(max(round(edge), 0), most) for edge, most in zip(box, (width, height, width, height))
    )
    if left >= right or top >= bottom:
        raise UserError(f"the box holds nothing of the photo, which is {width}×{height} pixels")


def _reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def _jpeg(pixels: np.ndarray) -> bytes:
    bgr = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
