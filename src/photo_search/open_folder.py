"""A folder of photos that stays open: searched by several threads, also while it is described."""

from __future__ import annotations

import logging
import os
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from model_utils.host_lock import exclusive
from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.progress import told_to
from src.describe.engines.interface import Engine
from src.describe.stopwatch import Stopwatch
from src.feature_io import Features, read_features
from src.index.folder import AnyIndex, load_index
from src.pages.query_sheet import Result
from src.photo_search.answers import Answer, answer
from src.photo_search.asking import Query, upright_features
from src.photo_search.collection import Collection
from src.photo_search.duplicates import Group, find_groups, write_report
from src.photo_search.links import LinkFinder
from src.photo_search.opening import open_collection, photos_of
from src.photo_search.queries import STAGES
from src.photo_search.settings import SearchSettings
from src.ranking.pair import PairMatch

LOG = logging.getLogger(__name__)
T = TypeVar("T")
#: Engines that may run in two threads of a process, opened once for each.
_OPENED_TWICE = ("openvino",)
_GIVE_WAY = 0.01  # seconds in which a thread that waits for a lock gets it


@dataclass(frozen=True)
class Standing:
    """How far the work on a folder is.

    Attributes:
        what: is done at the moment, such as "describing"; "" for nothing.
        done, total: photos of it.
        seconds_left: how long it takes, where that can be told.
        photos: that are there, as far as is known.
        searchable: photos that a search finds now.
    """

    what: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    photos: int = 0
    searchable: int = 0


class OpenFolder:
    """A folder of photos that is open to be searched.

    May be used by several threads. One of them describes queries at a time, one ranks, and one
    brings the photos up to date, beside them where the engine can be opened twice.

    Args:
        settings: of the search.
        folder: of the photos.

    Raises:
        UserError: the folder holds no photo.
    """

    def __init__(self, settings: SearchSettings, folder: Path):
        self.folder = folder
        self.settings = settings
        self._updating = threading.Lock()
        self._ranking = threading.Lock()
        self._network = threading.Lock()
        self._collection: Collection | None = None
        self._index: AnyIndex | None = None
        self._ready = threading.Event()
        self._begun, self._first = 0.0, 0
        self._what, self._done, self._total = "", 0, 0
        self._reached: dict[tuple[str, int | None], int] = {}
        #: Where links among the photos lead that lead out of the folder, by name.
        self.outside: dict[str, str] = {}
        self._photos = len(self._list())  # said now, not at the first search

    @property
    def failed(self) -> dict[str, str]:
        """Photos that could not be described, by name, with the reason."""
        return dict(self._collection.failed) if self._collection is not None else {}

    @property
    def index(self) -> AnyIndex | None:
        """The index as it is searched now; None before there is one."""
        return self._index

    @property
    def kept(self) -> Path:
        """The folder of what is known of the photos; there once they were updated."""
        return self._opened().folder

    def standing(self) -> Standing:
        """Return how far the work on the folder is."""
        left = None
        if self._done > self._first:
            pace = (time.monotonic() - self._begun) / (self._done - self._first)
            left = pace * (self._total - self._done)
        searchable = self._index.image_count - len(self.failed) if self._index else 0
        return Standing(
            *(self._what, self._done, self._total, left),
            *(self._photos, max(0, searchable)),
        )

    def update(self, in_parts: bool = False) -> int:
        """Describe what is new or has changed; return how many photos can be searched.

        Args:
            in_parts: let searches find what is described already while the others are.

        Raises:
            UserError: none of the photos can be described, or the weights cannot be used.
        """
        with self._updating:
            self._what, self._done, self._total = "looking", 0, 0
            self._first = 0
            try:
                with told_to(self._listen):
                    return self._update(in_parts)
            finally:
                self._rest()
                self._ready.set()

    def ask(
        self,
        query: Query,
        top: int,
        early: Callable[[tuple[Result, ...]], None] | None = None,
    ) -> Answer:
        """Return what the photos say to a query; the first time they are described before.

        Args:
            query: what to look for.
            top: results to return.
            early: called with what is found upright, where the query is turned for want of better.

        Raises:
            UserError: the query cannot be read, or none of the photos can be described.
        """
        collection = self._opened()
        # Described before it is its turn to be ranked: the network and the ranking are two queues.
        upright_features(collection, query, Stopwatch(STAGES))
        return self._with_repair(lambda: self._answer(query, top, early), query.photo.is_file)

    def describe(self, query: Query) -> Features:
        """Return the features of a query as the photos are described.

        Raises:
            UserError: the query cannot be read.
        """
        return read_features(upright_features(self._opened(), query, Stopwatch(STAGES)))

    def match(self, found: Answer, image: int) -> PairMatch:
        """Return the matches of an answer's query with an image."""
        with self._ranking:
            return found.matches(image)

    def duplicates(self, output: PathLike | None = None) -> list[Group]:
        """Return groups of photos of one thing; searches go on meanwhile.

        Args:
            output: folder for a page and a table of them; None: none is written.

        Raises:
            UserError: none of the photos can be described, or the page cannot be written.
        """
        collection = self._opened()
        retrieval = self.settings.retrieval
        doing = "looking for duplicates among these photos"
        try:
            with exclusive(collection.folder / "duplicates", doing), told_to(self._listen):
                groups = self._with_repair(
                    lambda: find_groups(LinkFinder(collection, self._index, retrieval))
                )
                if output is not None:
                    write_report(output, self.folder, self._index.image_count, groups)
        finally:
            self._rest()
        return groups

    def _with_repair(self, work: Callable[[], T], worth_it: Callable[[], bool] = lambda: True) -> T:
        """Return what `work` returns; where what is kept is damaged it is made again, once."""
        try:
            return work()
        except UserError as error:
            if not worth_it():
                raise
            self._repair(error)
            return work()

    def _answer(
        self, query: Query, top: int, early: Callable[[tuple[Result, ...]], None] | None
    ) -> Answer:
        with self._ranking:
            return answer(
                *(self._collection, self._index, self.settings.retrieval, query, top),
                *(Stopwatch(STAGES), early),
            )

    def _opened(self) -> Collection:
        """Return the collection once it can be searched."""
        if self._index is None and self._what:
            self._ready.wait()
        if self._index is None:
            self.update()
        return self._collection

    def _update(self, in_parts: bool) -> int:
        images = self._list()
        self._photos = len(images)
        if self._collection is None:
            collection = open_collection(self.settings, self.folder)
            collection.ask_by(_Lent(self._own_engine(collection), self._network))
            self._collection = collection
        collection = self._collection
        alone = collection.describer.engine.name in _OPENED_TWICE
        with exclusive(collection.folder, "searching these photos"):
            if alone:
                collection.update(images, self._load if in_parts else None)
            else:
                with self._network:
                    collection.update(images, self._let_through if in_parts else None)
        self._load()
        return len(images) - len(collection.failed)

    def _list(self) -> list[tuple[str, str]]:
        """Return name and file of the photos, and note those that lie elsewhere."""
        images = photos_of(self.settings, self.folder)
        root = os.path.realpath(self.folder)
        real = {name: os.path.realpath(self.folder / file) for name, file in images}
        self.outside = {
            name: path for name, path in real.items() if os.path.commonpath([path, root]) != root
        }
        return images

    @staticmethod
    def _own_engine(collection: Collection) -> Engine:
        """Return the engine that describes queries: another one, where that can be opened twice."""
        engine = collection.describer.engine
        return pickle.loads(pickle.dumps(engine)) if engine.name in _OPENED_TWICE else engine

    def _repair(self, error: UserError) -> None:
        with self._updating:
            collection = self._collection
            with (
                exclusive(collection.folder, "searching these photos"),
                self._ranking,
                self._network,
            ):
                collection.repair(error)
                self._load()

    def _let_through(self) -> None:
        """Search what is indexed now, and let queries that wait for the network have it."""
        self._load()
        self._network.release()
        time.sleep(_GIVE_WAY)
        self._network.acquire()

    def _load(self) -> None:
        """Search from now on what is indexed now."""
        self._index = load_index(self._collection.index)
        self._ready.set()

    def _rest(self) -> None:
        self._reached.clear()
        self._what, self._done, self._total, self._first = "", 0, 0, 0

    def _listen(self, what: str, done: int, total: int | None) -> None:
        if (what, total) != (self._what, self._total):
            self._begun, self._first = time.monotonic(), done
        # Between the parts of a work there are others; what failed is tried again.
        done = self._reached[what, total] = max(done, self._reached.get((what, total), 0))
        self._what, self._done, self._total = what, done, total or 0


class _Lent:
    """An engine that one thread has at a time."""

    def __init__(self, engine: Engine, lock: threading.Lock):
        self._engine = engine
        self._lock = lock

    def __enter__(self) -> Engine:
        self._lock.acquire()
        return self._engine

    def __exit__(self, *_: object) -> None:
        self._lock.release()
