"""Which photos of a collection show the same: each is asked against the index, upright only.

What each photo was answered is kept in a journal, one line a photo: whoever is interrupted goes on
behind the last line. The journal is of one state of the index.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model_utils.host_lock import make_folder
from src.common.cpus import cpu_count
from src.common.digests import sha256_of
from src.common.progress import progress
from src.feature_io import Features, feature_path, look_at_features, read_features
from src.index.folder import AnyIndex
from src.index.image_table import index_of
from src.photo_search.collection import Collection
from src.ranking.one_query import rank_images
from src.ranking.pair import PairMatch, match_pair
from src.ranking.settings import RetrievalSettings
from src.ranking.verdict import calibration_for

#: Two photos are near-duplicates where at least this share of the features of the one that has
#: fewer are inliers …
DUPLICATE_SHARE = 0.4
#: … and the map takes no corner farther from its place than this share of the diagonal.
CORNER_SHIFT = 0.1
#: Feature files that are kept in memory, about 200 kB each.
_FILES_AT_HAND = 128


class Link(NamedTuple):
    """Two photos that show the same.

    Attributes:
        first, second: names of the photos.
        is_duplicate: whether they are one picture, but for size, compression, light or a margin.
        confidence: that they show the same thing; None where nobody can tell.
        inliers: points that one affine map takes from the one to the other.
    """

    first: str
    second: str
    is_duplicate: bool
    confidence: float | None
    inliers: int

    @property
    def strength(self) -> tuple[bool, float, int]:
        """What links are compared by."""
        return self.is_duplicate, self.confidence or 0.0, self.inliers


@dataclass(frozen=True)
class LinkFinder:
    """Asks the photos of a collection against its index.

    Attributes:
        collection: the photos, up to date.
        index: of their features.
        retrieval: how a query is ranked.
    """

    collection: Collection
    index: AnyIndex
    retrieval: RetrievalSettings

    @cached_property
    def twins(self) -> dict[str, list[str]]:
        """The names of the photos of each file: sha256 of the bytes → names, sorted."""
        twins: dict[str, list[str]] = {}
        for name in self.index.names:
            origin = None
            if name not in self.collection.failed:
                origin = look_at_features(self._path(name)).origin
            with contextlib.suppress(OSError):  # a photo that went away is nobody's twin
                digest = origin.photo if origin else sha256_of(self.file(name))
                twins.setdefault(digest, []).append(name)
        return twins

    @cached_property
    def _files(self) -> dict[str, str]:
        return self.collection.files

    def file(self, name: str) -> Path:
        """Return the file of a photo."""
        return self.collection.photos / self._files[name]

    def feature_count(self, name: str) -> int:
        """Return the number of a photo's features."""
        return self.index.feature_count(index_of(self.index.names, name))

    def links(self) -> list[Link]:
        """Return the links between photos; of photos that are one file only the first is asked.

        Raises:
            UserError: features or the index are damaged.
        """
        asked = [names[0] for names in self.twins.values()]
        twin_of = {name: names[0] for names in self.twins.values() for name in names}
        best: dict[tuple[str, str], Link] = {}
        for link in self._answers(asked):
            pair = tuple(sorted((link.first, twin_of[link.second])))
            if pair[0] == pair[1]:
                continue
            link = link._replace(first=pair[0], second=pair[1])
            if pair not in best or link.strength > best[pair].strength:
                best[pair] = link
        order = sorted(best.values(), key=lambda link: link[:2])
        return sorted(order, key=lambda link: link.strength, reverse=True)

    def _answers(self, asked: Sequence[str]) -> Iterator[Link]:
        """Yield the links of all photos, those that are kept first."""
        folder = self.collection.folder / "duplicates"
        make_folder(folder)
        journal = folder / f"asked-{self._key()}.jsonl"
        known = _read_journal(journal)
        for old in folder.glob("asked-*.jsonl"):
            if old != journal:
                with contextlib.suppress(OSError):
                    old.unlink()
        for name in asked:
            yield from known.get(name, ())
        left = [name for name in asked if name not in known]
        with open(journal, "ab") as file:
            file.write(b"\n" if known else b"")  # behind a line that was cut short
            for name in progress(left, "comparing photos", "photo"):
                links = self._ask(name)
                file.write(_journal_line(name, links))
                file.flush()
                yield from links

    def _ask(self, name: str) -> list[Link]:
        """Return the photos that show the same as one of them."""
        if not self.feature_count(name):
            return []
        features = self._features(name)
        # Without expansion: it orders the photos, and no order is asked for.
        settings = replace(self.retrieval, query_rotations="0", expansion_images=0)
        found = rank_images(self.index, features, settings, cpu_count())
        calibration = calibration_for(self.index.settings["features"])
        if calibration is None:
            confidences = None
            same = found.inliers >= self.retrieval.expansion_inliers
        else:
            confidences = calibration.probabilities(found.inliers, found.similarities)
            same = (confidences >= calibration.same) & (found.inliers > 0)
        links = []
        for image in np.flatnonzero(same).tolist():
            other = self.index.names[image]
            if other == name:
                continue
            inliers = int(found.inliers[image])
            confidence = None if confidences is None else round(float(confidences[image]), 6)
            links.append(
                Link(name, other, self._are_one(features, other, inliers), confidence, inliers)
            )
        return links

    def _are_one(self, features: Features, other: str, inliers: int) -> bool:
        """Tell whether two photos are one picture; most are not, and that is seen at once."""
        fewer = min(len(features), self.feature_count(other))
        if inliers < DUPLICATE_SHARE / 2 * fewer:  # the index has found the nearest ones only
            return False
        return is_near_duplicate(features, self._features(other))

    def _path(self, name: str) -> Path:
        return feature_path(self.collection.features, name)

    def _features(self, name: str) -> Features:
        return self._at_hand(self._path(name))

    @cached_property
    def _at_hand(self) -> Callable[[Path], Features]:
        return lru_cache(_FILES_AT_HAND)(read_features)

    def _key(self) -> str:
        """Identify what the answers follow from."""
        rules = [DUPLICATE_SHARE, CORNER_SHIFT]
        content = [self.index.settings, list(self.index.names), asdict(self.retrieval), rules]
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def is_near_duplicate(features_a: Features, features_b: Features) -> bool:
    """Tell whether two photos are one picture by their features and sizes.

    So is a photo that was made smaller or larger, compressed again, made brighter, or lost a margin
    of a few percent.
    """
    match = match_pair(features_a, features_b)
    share = match.inlier_count / max(1, min(len(features_a), len(features_b)))
    if share < DUPLICATE_SHARE:
        return False
    return corner_shift(match, _size(features_a), _size(features_b)) <= CORNER_SHIFT


def _size(features: Features) -> tuple[float, float]:
    """Return (height, width) of a photo; where it is not known, as far as it has features."""
    return features.size or tuple(features.locations.max(axis=0).tolist())


def corner_shift(
    match: PairMatch, size_a: tuple[float, float], size_b: tuple[float, float]
) -> float:
    """Return how far a match takes the corners of one photo from those of the other.

    Args:
        match: of the photos, with a map.
        size_a, size_b: (height, width).

    Returns:
        The largest distance, as a share of the second photo's diagonal.
    """
    unit = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], dtype=np.float64)
    wide_a, wide_b = (np.array(size[::-1], dtype=np.float64) for size in (size_a, size_b))
    mapped = np.c_[unit * wide_a, np.ones(4)] @ match.affine.T
    return float(np.linalg.norm(mapped - unit * wide_b, axis=1).max() / np.linalg.norm(wide_b))


def _journal_line(name: str, links: Sequence[Link]) -> bytes:
    """Return a line of the journal, its sum behind it."""
    text = json.dumps([name, [link[1:] for link in links]]).encode()
    return b"%s %08x\n" % (text, zlib.crc32(text))


def _read_journal(path: Path) -> dict[str, list[Link]]:
    """Return the answers that are kept; lines that are damaged are none."""
    known = {}
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            text, _, told = line.rstrip().rpartition(b" ")
            if told == b"%08x" % zlib.crc32(text) and text:
                name, links = json.loads(text)
                known[name] = [Link(name, *link) for link in links]
    return known
