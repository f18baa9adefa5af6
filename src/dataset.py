"""Ground truth in the Oxford5k / Paris6k layout, and the protocols that judge by it.

A query `all_souls_1` is four text files: `all_souls_1_query.txt` with the query image and the box
of the landmark in it, and `_good.txt`, `_ok.txt`, `_junk.txt` with one image name a line. A
protocol turns the three lists into positives and ignored ("junk") images, once for each of its
setups (easy, medium, hard); everything else is negative. A setup is a function from `Query` to
`Judgement`; `protocols` says which belong together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.text_files import read_lines
from src.photos.names import PhotoNames

LOG = logging.getLogger(__name__)

#: The ranks at which precision and recall are reported, as far as there are that many images.
REPORTED_RANKS = (10, 20, 30, 40, 50, 60, 70, 80, 90)
#: Oxford5k writes its query images with this in front of their names.
QUERY_PREFIX = "oxc1_"
_LISTS = ("good", "ok", "junk")
_POSITIVE_LISTS = ("good", "ok", "easy", "hard")  # of both layouts
#: Of the listed images so many may be missing; data sets lose a few photos on the way.
MISSING_SHARE = 0.1


@dataclass(frozen=True)
class Query:
    """One query and what is known about the images.

    Attributes:
        label: what its files are named after, "all_souls_1".
        name: the query image, "all_souls_000013".
        image: index of the query image in the list of all images.
        box: (left, top, right, bottom) of the landmark in the query image, pixels.
        good, ok, junk: sorted int64 indices of the images in each list that exist.
        lost: list → how many of its images do not.
    """

    label: str
    name: str
    image: int
    box: tuple[float, float, float, float]
    good: np.ndarray
    ok: np.ndarray
    junk: np.ndarray
    lost: Mapping[str, int] = field(default_factory=dict)

    def others(self, *kinds: str) -> np.ndarray:
        """Return the images in some of the lists but the query's own."""
        listed = np.concatenate([getattr(self, kind) for kind in kinds])
        return np.setdiff1d(listed, [self.image])

    def has_lost(self, *kinds: str) -> bool:
        """Tell whether photos are missing and none but the query's own is left of some lists."""
        return any(map(self.lost.get, kinds)) and not self.others(*kinds).size


@dataclass(frozen=True)
class GroundTruth:
    """All queries.

    Attributes:
        queries: the queries (`Query`, or what another layout says of one), in the order of the
            ranked lists.
        image_count: number of images that the indices in the queries refer to.
        missing: names that stand in a list although there is no such image, sorted.
        listed: number of names that stand in a list, those of `missing` included.
    """

    queries: tuple[Any, ...]
    image_count: int
    missing: tuple[str, ...]
    listed: int = 0


@dataclass(frozen=True)
class Judgement:
    """What counts for one query: disjoint, sorted indices of images; all others are negative."""

    positives: np.ndarray
    junk: np.ndarray


#: A setup of a protocol: what counts for a query of its layout.
Judge = Callable[[Any], Judgement]


# ---------------------------------------------------------------- reading the ground truth


def read_ground_truth(folder: PathLike, image_names: Sequence[str]) -> GroundTruth:
    """Read the `*_query.txt`, `*_good.txt`, `*_ok.txt` and `*_junk.txt` files of a folder.

    Names may carry the suffix of a photo and be written in any of Unicode's normal forms.

    Args:
        folder: where the text files are.
        image_names: the names (file stems) of all images, in the order of the index.

    Raises:
        UserError: when the folder holds no query, a list is missing, a line is malformed, or a
            query image is not among `image_names`. Other names without an image are counted,
            logged and returned in `missing`: data sets lose photos. `refuse_missing` judges.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no ground truth folder {folder}")
    query_files = sorted(folder.glob("[!.]*_query.txt"))
    if not query_files:
        raise UserError(f"the ground truth folder {folder} holds no *_query.txt file")
    known = PhotoNames(image_names)
    place_of: dict[str, int | None] = {}
    queries = []
    for path in query_files:
        label = path.name[: -len("_query.txt")]
        name, box = _read_query(path, known)
        lists, lost = {}, {}
        for kind in _LISTS:
            listed = set(_read_names(folder / f"{label}_{kind}.txt"))
            place_of.update((one, known.position(one)) for one in listed - place_of.keys())
            found = {place_of[one] for one in listed if place_of[one] is not None}
            lists[kind] = np.array(sorted(found), dtype=np.int64)
            lost[kind] = sum(place_of[one] is None for one in listed)
        queries.append(Query(label, name, known.position(name), box, **lists, lost=lost))
    missing = sorted(name for name, place in place_of.items() if place is None)
    if missing:
        LOG.warning(
            "%d image(s) named in the ground truth %s do not exist and are left out, such as %s",
            *(len(missing), folder, ", ".join(missing[:3])),
        )
    return GroundTruth(tuple(queries), len(known), tuple(missing), len(place_of))


def refuse_missing(truth: GroundTruth, gt_path: PathLike, missing_images: str) -> None:
    """Refuse to judge by lists of which more than a small share of the images does not exist.

    What is left would be judged as if it were all: with nothing but the queries there, 100 %.

    Args:
        truth: what was read.
        gt_path: where from, for the message.
        missing_images: "refuse", or "ignore" to judge by what is there.

    Raises:
        UserError: more than `MISSING_SHARE` is missing, of all images listed or of the positive
            ones, those of every query counted.
    """
    lost = [query.label for query in truth.queries if _has_lost_positives(query)]
    if lost:
        LOG.warning(
            "%d of %d queries have lost all their positive images and do not count, such as %s",
            *(len(lost), len(truth.queries), ", ".join(lost[:3])),
        )
    if missing_images == "ignore" or not truth.missing:
        return
    gone = sum(query.lost.get(kind, 0) for query in truth.queries for kind in _POSITIVE_LISTS)
    there = sum(
        len(getattr(query, kind, ())) for query in truth.queries for kind in _POSITIVE_LISTS
    )
    for count, whole, what in (
        (len(truth.missing), truth.listed, "images listed"),
        (gone, gone + there, "mentions of a positive image"),
    ):
        if count > MISSING_SHARE * whole:
            raise UserError(
                f"{count} of the {whole} {what} in {gt_path} ({count / whole:.0%}) are of photos "
                f"that do not exist, such as {', '.join(truth.missing[:3])}; {MISSING_SHARE:.0%} "
                "may be missing. Give the folder that holds them, or --missing_images=ignore to "
                "judge by those that are there"
            )


def _has_lost_positives(query: Any) -> bool:
    """Tell whether photos of a query are missing and no positive one is left but its own."""
    kinds = [kind for kind in _POSITIVE_LISTS if hasattr(query, kind)]
    return query.has_lost(*kinds)


def _read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines that are not blank, split at blanks, with their numbers from 1."""
    lines = read_lines(path, "ground truth file", f"the ground truth file {path} is missing")
    return [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]


def _read_names(path: Path) -> list[str]:
    names = []
    for number, words in _read_lines(path):
        if len(words) != 1:
            raise UserError(
                f"{path}, line {number}: one image name is expected, not {' '.join(words)!r}"
            )
        names.append(words[0])
    return names


def _read_query(path: Path, known: PhotoNames) -> tuple[str, tuple[float, float, float, float]]:
    lines = _read_lines(path)
    number, words = lines[0] if len(lines) == 1 else (1, [])
    form = "<image name> <left> <top> <right> <bottom>"
    if len(lines) != 1:
        raise UserError(f"{path}, line 1: one line '{form}' is expected, not {len(lines)} lines")
    try:
        name, *numbers = words
        left, top, right, bottom = (float(number) for number in numbers)
    except ValueError:
        raise UserError(
            f"{path}, line {number}: '{form}' is expected, not {' '.join(words)!r}"
        ) from None
    if not (left < right and top < bottom and np.isfinite([left, top, right, bottom]).all()):
        raise UserError(f"{path}, line {number}: the box {' '.join(words[1:])} is empty")
    photo = known.find(name)
    if photo is None and name.startswith(QUERY_PREFIX):
        name = name[len(QUERY_PREFIX) :]
        photo = known.find(name)
    if photo is None:
        raise UserError(
            f"{path}, line {number}: the query image {name} is not among the images; "
            "give the folder that holds it, or remove the query's four files"
        )
    return photo, (left, top, right, bottom)


# ---------------------------------------------------------------- protocols


def judgement(positives: Sequence[np.ndarray], junk: Sequence[np.ndarray]) -> Judgement:
    """Join the lists; an image that would be both positive and junk is ignored."""
    ignored = np.unique(np.concatenate(junk))
    return Judgement(np.setdiff1d(np.concatenate(positives), ignored), ignored)


def _without_positives(query: Query) -> Judgement:
    """Judge a query that cannot be: to find itself among what is left would be a perfect score."""
    return judgement([query.good[:0]], [query.junk, np.array([query.image])])


def judge_easy(query: Query) -> Judgement:
    """Good images and the query itself are positive; ok and junk ones are ignored.

    Where good holds nothing but the query (all of Paris6k), the ok list takes its place and the
    query is ignored: then easy equals hard. Where the photos of good are missing, nothing does.
    """
    if query.has_lost("good"):
        return _without_positives(query)
    if not query.others("good").size:
        return judge_hard(query)
    return judgement([query.good, np.array([query.image])], [query.ok, query.junk])


def judge_medium(query: Query) -> Judgement:
    """Good and ok images and the query itself are positive; junk ones are ignored."""
    if query.has_lost("good", "ok"):
        return _without_positives(query)
    return judgement([query.good, query.ok, np.array([query.image])], [query.junk])


def judge_hard(query: Query) -> Judgement:
    """Ok images are positive; good and junk ones and the query itself are ignored."""
    return judgement([query.ok], [query.good, query.junk, np.array([query.image])])


def judge_classic(query: Query) -> Judgement:
    """Good and ok images are positive, junk ones ignored, as the Oxford Buildings benchmark does.

    Oxford5k and Paris6k list the query image itself among the positives, so it counts. Where a
    data set lists it nowhere, its rank says nothing and it is ignored.
    """
    if query.has_lost("good", "ok"):
        return _without_positives(query)
    listed = np.concatenate([query.good, query.ok, query.junk])
    itself = np.setdiff1d(np.array([query.image]), listed)
    return judgement([query.good, query.ok], [query.junk, itself])


#: The three levels of one table: the query is not cropped and stays in the index.
EASY_MEDIUM_HARD: dict[str, Judge] = {
    "easy": judge_easy,
    "medium": judge_medium,
    "hard": judge_hard,
}
