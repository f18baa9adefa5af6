"""Ground truth of Revisited Oxford and Paris (Radenović et al., CVPR 2018): `gnd_*.pkl`.

The pickle holds `imlist`, the names of the database images, `qimlist`, those of the query images,
and `gnd`, for each query `bbx` (left, top, right, bottom), and `easy`, `hard` and `junk`: positions
in `imlist`. Queries are not part of the database, and are cropped to `bbx`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.restricted_pickle import load_plain_pickle
from src.dataset import GroundTruth, Judge, Judgement, judgement
from src.photos.names import PhotoNames, without_suffix

LOG = logging.getLogger(__name__)

PATTERN = "gnd_*.pkl"
#: The ranks at which the benchmark reports its mean precision.
PRECISION_RANKS = (1, 5, 10)
#: Larger than any photo.
MAX_COORDINATE = 1e9
#: Longest name of a file.
MAX_NAME = 255
_LISTS = ("easy", "hard", "junk")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class GndEntry:
    """One query as the pickle tells it.

    Attributes:
        label: the name of the query image, with a number where queries share one.
        name: the query image.
        box: (left, top, right, bottom) of the landmark in it, pixels.
        easy, hard, junk: positions in `Gnd.images`.
    """

    label: str
    name: str
    box: Box
    easy: tuple[int, ...]
    hard: tuple[int, ...]
    junk: tuple[int, ...]


@dataclass(frozen=True)
class Gnd:
    """A ground truth as the pickle tells it.

    Attributes:
        path: the file.
        images: names of the database images.
        queries: in the order of the file.
    """

    path: Path
    images: tuple[str, ...]
    queries: tuple[GndEntry, ...]


@dataclass(frozen=True)
class RevisitedQuery:
    """One query and what is known about the images of an index.

    Attributes:
        label, name, box: as in `GndEntry`.
        easy, hard, junk: sorted int64 indices of the images in each list that exist.
        lost: list → how many of its images do not.
    """

    label: str
    name: str
    box: Box
    easy: np.ndarray
    hard: np.ndarray
    junk: np.ndarray
    lost: Mapping[str, int] = field(default_factory=dict)

    def has_lost(self, *kinds: str) -> bool:
        """Tell whether photos are missing and none is left of some lists."""
        return any(map(self.lost.get, kinds)) and not any(len(getattr(self, k)) for k in kinds)


# ---------------------------------------------------------------- reading


def find_gnd(path: PathLike) -> Path:
    """Return the pickle that a path means: itself, or the only `gnd_*.pkl` of a folder.

    Raises:
        UserError: there is none, or a folder holds several.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise UserError(f"there is no ground truth {path}; give a {PATTERN} file")
        return path
    found = sorted(path.glob(PATTERN))
    if len(found) != 1:
        names = f" ({', '.join(file.name for file in found)})" if found else ""
        raise UserError(f"{path} holds {len(found)} {PATTERN} files{names}; give the one to use")
    return found[0]


def read_gnd(path: PathLike) -> Gnd:
    """Read a ground truth pickle without running anything in it.

    Raises:
        UserError: the file is missing, is no pickle of plain data, or lacks or garbles a part,
            which is named.
    """
    path = find_gnd(path)
    content = load_plain_pickle(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not imlist, qimlist and gnd")
    images, names = (_read_names(path, content, key) for key in ("imlist", "qimlist"))
    entries = _part(path, content, "gnd", "it")
    if not isinstance(entries, (list, tuple)) or len(entries) != len(names):
        raise UserError(f"{path}: gnd does not hold one entry for each of {len(names)} queries")
    if not names:
        raise UserError(f"{path} holds no query")
    twice = next((name for name, times in Counter(images).items() if times > 1), None)
    if twice is not None:
        raise UserError(f"{path}: imlist names {twice} twice, so that its positions lie")
    queries = [
        _read_entry(path, entry, label, name, len(images))
        for entry, label, name in zip(entries, _labels([*map(without_suffix, names)]), names)
    ]
    return Gnd(path, tuple(images), tuple(queries))


def _part(path: Path, holder: Any, key: str, what: str) -> Any:
    if not isinstance(holder, dict) or key not in holder:
        raise UserError(
            f"{path} is no ground truth of Revisited Oxford or Paris: {what} has no {key!r}"
        )
    return holder[key]


def _read_names(path: Path, content: dict, key: str) -> list[str]:
    names = _part(path, content, key, "it")
    if not isinstance(names, (list, tuple)) or not all(_is_name(name) for name in names):
        raise UserError(f"{path}: {key} is not a list of image names")
    return list(names)


def _is_name(name: Any) -> bool:
    return (
        isinstance(name, str) and 0 < len(name) <= MAX_NAME and "/" not in name
    ) and name.isprintable()


def _read_entry(path: Path, entry: Any, label: str, name: str, image_count: int) -> GndEntry:
    what = f"query {label}"
    box = _part(path, entry, "bbx", what)
    if (
        not isinstance(box, (list, tuple))
        or len(box) != 4
        or not all(_is_coordinate(value) for value in box)
        or not (box[0] < box[2] and box[1] < box[3])
    ):
        raise UserError(f"{path}: bbx of {what} is not a box (left, top, right, bottom)")
    lists = {}
    for kind in _LISTS:
        positions = _part(path, entry, kind, what)
        if not isinstance(positions, (list, tuple)):
            raise UserError(f"{path}: {kind} of {what} is not a list of positions in imlist")
        for position in positions:
            if type(position) is not int or not 0 <= position < image_count:
                raise UserError(
                    f"{path}: {kind} of {what} holds {_shown(position)}, which is no position "
                    f"in an imlist of {image_count} images"
                )
        lists[kind] = tuple(positions)
    left, top, right, bottom = map(float, box)
    return GndEntry(label, name, (left, top, right, bottom), **lists)


def _is_coordinate(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) < MAX_COORDINATE  # neither infinite nor NaN


def _shown(value: Any) -> str:
    """Show a small value of a file from outside; of others only the type, they may be endless."""
    if isinstance(value, (int, float)) and abs(value) < MAX_COORDINATE:
        return str(value)
    return f"a {type(value).__name__}"


def _labels(names: Sequence[str]) -> list[str]:
    """Return a label for each query: its image, and a number where several queries have one."""
    times, taken = Counter(names), set(names)
    labels = []
    for name in names:
        label, number = name, 0
        while times[name] > 1 and label in taken:
            number += 1
            label = f"{name}-{number}"
        taken.add(label)
        labels.append(label)
    return labels


# ---------------------------------------------------------------- against the photos


def by_photo_names(gnd: Gnd, photos: Iterable[str]) -> Gnd:
    """Return a ground truth whose names are those of the photos that they mean.

    Names may carry the suffix of a photo and be written in any of Unicode's normal forms; those
    that no photo bears stay as they are.

    Raises:
        UserError: two names of `imlist` mean one photo.
    """
    known = PhotoNames(photos)
    images = tuple(known.find(name) or name for name in gnd.images)
    twice = next((name for name, times in Counter(images).items() if times > 1), None)
    if twice is not None:
        raise UserError(f"{gnd.path}: imlist names {twice} twice, so that its positions lie")
    queries = tuple(
        replace(query, name=known.find(query.name) or query.name) for query in gnd.queries
    )
    return replace(gnd, images=images, queries=queries)


def database_images(gnd: Gnd, photos: Iterable[str]) -> list[str]:
    """Return the images to search: those of `imlist` that are there and are no queries, sorted.

    Args:
        gnd: the ground truth.
        photos: names of the photos that exist.

    Raises:
        UserError: a query image is missing, or all of the database.
    """
    photos = set(photos)
    for query in gnd.queries:
        if query.name not in photos:
            raise UserError(
                f"the image {query.name} of query {query.label} of {gnd.path} is not among the "
                "photos; give the folder that holds it"
            )
    found = sorted((set(gnd.images) & photos) - {query.name for query in gnd.queries})
    if not found:
        raise UserError(
            f"none of the {len(gnd.images)} database images of {gnd.path} is among the photos "
            f"(the first is {gnd.images[0] if gnd.images else 'missing'}); do they belong together?"
        )
    return found


def revisited_ground_truth(
    gnd: Gnd, database: Sequence[str], index_names: Sequence[str]
) -> GroundTruth:
    """Turn positions in `imlist` into indices of an index.

    Args:
        gnd: the ground truth.
        database: what `database_images` returned.
        index_names: names of all images in the index, in its order; distractors may be among them.

    Returns:
        The ground truth of `RevisitedQuery`. Its `missing` are images of `imlist` without a photo;
        they are logged, and left out of the lists, as are query images.
    """
    known = set(database)
    place = {name: index for index, name in enumerate(index_names) if name in known}
    missing = sorted(set(gnd.images) - known - {query.name for query in gnd.queries})
    gone = set(missing)
    queries = []
    for query in gnd.queries:
        lists, lost = {}, {}
        for kind in _LISTS:
            names = {gnd.images[position] for position in getattr(query, kind)}
            found = {place[name] for name in names if name in place}
            lists[kind] = np.array(sorted(found), dtype=np.int64)
            lost[kind] = len(names & gone)
        queries.append(RevisitedQuery(query.label, query.name, query.box, **lists, lost=lost))
    if missing:
        LOG.warning(
            "%d of %d image(s) named in %s do not exist and are left out, such as %s",
            *(len(missing), len(gnd.images), gnd.path, ", ".join(missing[:3])),
        )
    return GroundTruth(tuple(queries), len(index_names), tuple(missing), len(gnd.images))


# ---------------------------------------------------------------- the three setups


def judge_easy(query: RevisitedQuery) -> Judgement:
    """Easy images are positive; junk and hard ones are ignored."""
    return judgement([query.easy], [query.junk, query.hard])


def judge_medium(query: RevisitedQuery) -> Judgement:
    """Easy and hard images are positive; junk ones are ignored."""
    return judgement([query.easy, query.hard], [query.junk])


def judge_hard(query: RevisitedQuery) -> Judgement:
    """Hard images are positive; junk and easy ones are ignored."""
    return judgement([query.hard], [query.junk, query.easy])


SETUPS: dict[str, Judge] = {"easy": judge_easy, "medium": judge_medium, "hard": judge_hard}
