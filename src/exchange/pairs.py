"""Which photos are matched with which, and their matches."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.common.errors import UserError
from src.common.progress import progress
from src.common.text_files import read_lines
from src.exchange.photo_set import PhotoSet
from src.index.build import build_index
from src.index.folder import load_index
from src.ranking.one_query import rank_images
from src.ranking.pair import MatchSettings, match_pair
from src.ranking.settings import RetrievalSettings

#: The names of two photos.
Pair = tuple[str, str]


@dataclass(frozen=True)
class MatchedPair:
    """The matches of two photos.

    Attributes:
        first, second: names of the photos.
        matches: int32 [M, 2], which feature of the first matches which of the second.
        scores: float32 [M], (1 + cosine of the two descriptors) / 2, as hloc's nearest neighbours.
        inliers: bool [M], the matches that agree on one affine map.
        affine: that map, see `PairMatch`; None without inliers.
    """

    first: str
    second: str
    matches: np.ndarray
    scores: np.ndarray
    inliers: np.ndarray
    affine: np.ndarray | None

    @property
    def verified(self) -> np.ndarray:
        """int32 [K, 2], the inliers."""
        return self.matches[self.inliers]


def all_pairs(photos: PhotoSet) -> list[Pair]:
    """Return every two photos once."""
    return list(itertools.combinations(photos.names, 2))


def retrieved_pairs(photos: PhotoSet, top: int) -> list[Pair]:
    """Return each photo with the `top` others that a search for it ranks first, each pair once.

    An image without a single vote is no candidate, however many are asked for.

    Raises:
        UserError: no photo has any features.
    """
    found: dict[Pair, None] = {}
    file_of = {photos.image_of(name): name for name in photos.names}
    with tempfile.TemporaryDirectory(prefix="pairs-") as folder:
        build_index(photos.folder, folder)
        index = load_index(folder)
        for name in progress(photos.names, "looking for pairs", "photo", len(photos)):
            features = photos.features(name)
            if not len(features):
                continue
            ranked = rank_images(index, features, RetrievalSettings())
            voted = [index.names[i] for i in ranked.ranks if ranked.votes[i]]
            others = [file_of[image] for image in voted if file_of.get(image, name) != name]
            found |= dict.fromkeys(_ordered(name, other) for other in others[:top])
        del index  # its files are mapped; some systems do not remove such
    return sorted(found)


def read_pairs(path: Path, photos: PhotoSet) -> list[Pair]:
    """Read a list of pairs, two names a line, as hloc and COLMAP have it; each pair once.

    A name is that of the photo's file or of its features; it may have spaces in it.

    Raises:
        UserError: there is no such file, or a line names something else than two photos.
    """
    known = {photos.image_of(name): name for name in photos.names}
    known |= {name: name for name in photos.names}
    found: dict[Pair, None] = {}
    lines = read_lines(path, "list of pairs", f"there is no list of pairs {path}")
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        splits = ((" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words)))
        pair = next(((known[a], known[b]) for a, b in splits if a in known and b in known), None)
        if pair is None or pair[0] == pair[1]:
            raise UserError(
                f"{path}, line {number}: {line.strip()!r} names no two photos that are described; "
                "give two names with a space between them"
            )
        found[_ordered(*pair)] = None
    return list(found)


def match_pairs(
    photos: PhotoSet,
    pairs: Iterable[Pair],
    settings: MatchSettings = MatchSettings(),  # noqa: B008 (frozen)
) -> Iterator[MatchedPair]:
    """Yield the matches of each pair, verified as a search verifies them.

    Raises:
        UserError: features are damaged, or do not fit each other.
    """
    for first, second in pairs:
        a, b = photos.features(first), photos.features(second)
        found = match_pair(a, b, settings)
        indices = found.indices.astype(np.int32)
        cosines = (a.descriptors[indices[:, 0]] * b.descriptors[indices[:, 1]]).sum(axis=1)
        scores = ((1 + cosines) / 2).astype(np.float32)
        yield MatchedPair(first, second, indices, scores, found.inliers, found.affine)


def _ordered(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)
