"""The two tasks of Google Landmarks v2: retrieval (mAP@100) and recognition (µAP).

Weyand, Araujo, Cao and Sim, "Google Landmarks Dataset v2", CVPR 2020, section 5; where the paper
leaves something open, as the data set's own scoring does it: a photo that is named twice in a list
counts once, and its second place counts as a miss; equal scores of predictions are sorted by the
test photo's id. "Public" is the validation and "Private" the test part; "Ignored" are left out.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from src.common.errors import UserError
from src.common.regular_files import open_regular

#: Predictions of a query that count in retrieval.
MOST = 100
PARTS = ("Public", "Private")
_IGNORED = "Ignored"
#: What stands in place of photos or landmarks where there are none.
_NOTHING = ("", "None")


@dataclass(frozen=True)
class Solution:
    """A ground truth.

    Attributes:
        path: of the file.
        truths: part ("Public", "Private") → test photo → ids of index photos, or landmarks.
        ignored: test photos that do not count.
    """

    path: Path
    truths: dict[str, dict[str, frozenset[str]]]
    ignored: frozenset[str]

    @property
    def queries(self) -> frozenset[str]:
        """All test photos."""
        return self.ignored.union(*self.truths.values())


def read_solution(path: Path, column: str) -> Solution:
    """Read `retrieval_solution_v2.1.csv` or `recognition_solution_v2.1.csv`.

    Args:
        path: id,images,Usage or id,landmarks,Usage; ids in a cell are separated by spaces.
        column: "images" or "landmarks".

    Raises:
        UserError: the file is none of these.
    """
    truths: dict[str, dict[str, frozenset[str]]] = {part: {} for part in PARTS}
    ignored: set[str] = set()
    seen: set[str] = set()
    for line, (photo, cell, usage) in _rows(path, ("id", column, "Usage")):
        if photo in seen:
            raise UserError(f"{path}, line {line}: {photo} is there twice")
        seen.add(photo)
        if usage == _IGNORED:
            ignored.add(photo)
        elif usage in PARTS:
            truths[usage][photo] = frozenset(() if cell in _NOTHING else cell.split())
        else:
            raise UserError(
                f"{path}, line {line}: Usage is {usage!r}; it should be Public, Private or Ignored"
            )
    return Solution(path, truths, frozenset(ignored))


def read_ids(path: Path) -> frozenset[str]:
    """Read the ids of `index.csv` or `test.csv`.

    Raises:
        UserError: the file has no column id.
    """
    return frozenset(photo for _, (photo,) in _rows(path, ("id",)))


def read_labels(path: Path) -> dict[str, str]:
    """Read the landmark of each photo of `train.csv` (id,…,landmark_id).

    Raises:
        UserError: the file has no such columns.
    """
    return {photo: label for _, (photo, label) in _rows(path, ("id", "landmark_id"))}


def average_precision_at(found: Sequence[str], wanted: Collection[str], most: int = MOST) -> float:
    """Return AP@100 = Σ P(k) rel(k) / min(m, 100), k from 1 to min(n, 100).

    P(k) is the precision of the first k of the n photos found, m the number of photos wanted, at
    least one. (There is no trapezoid here, unlike in the Oxford benchmark.)
    """
    hits, total = 0, 0.0
    left = set(wanted)
    for rank, photo in enumerate(found[:most], start=1):
        if photo in left:
            left.remove(photo)
            hits += 1
            total += hits / rank
    return total / min(len(wanted), most)


def mean_average_precision(
    found: Mapping[str, Sequence[str]], truth: Mapping[str, Collection[str]], most: int = MOST
) -> float:
    """Return mAP@100 over the queries that have photos to be found; NaN where none has.

    A query of which nothing is predicted has an AP of 0.
    """
    scores = [
        average_precision_at(found.get(query, ()), wanted, most)
        for query, wanted in truth.items()
        if wanted
    ]
    return math.fsum(scores) / len(scores) if scores else math.nan


def global_average_precision(
    predicted: Mapping[str, tuple[str, float]], truth: Mapping[str, Collection[str]]
) -> float:
    """Return µAP (GAP) = Σ P(i) rel(i) / M over all predictions, sorted by score; NaN for M = 0.

    P(i) is the precision of the first i predictions of all queries together, and M the number of
    queries that show a landmark. A prediction for one that shows none is wrong at any score.

    Args:
        predicted: query → landmark and score; a query may have none.
        truth: query → its landmarks, each of which is right.
    """
    shown = sum(bool(landmarks) for landmarks in truth.values())
    if not shown:
        return math.nan
    order = sorted((-score, query) for query, (_, score) in predicted.items() if query in truth)
    right, terms = 0, []
    for rank, (_, query) in enumerate(order, start=1):
        if predicted[query][0] in truth[query]:
            right += 1
            terms.append(right / rank)
    return math.fsum(terms) / shown


def landmarks_of_neighbours(
    ranked: Mapping[str, Sequence[tuple[str, float]]], labels: Mapping[str, str], neighbours: int
) -> dict[str, tuple[str, float]]:
    """Predict the landmark of each query by its nearest labelled photos.

    The scores of its nearest photos are added up by landmark (paper, section 5.2); the landmark
    with the largest sum is predicted, with that sum; of equal ones the one met first.

    Args:
        ranked: query → photos and scores, best first.
        labels: photo → landmark.
        neighbours: how many of the nearest count.

    Raises:
        UserError: a photo has no label.
    """
    predicted = {}
    for query, photos in ranked.items():
        sums: dict[str, float] = {}
        for photo, score in photos[:neighbours]:
            if photo not in labels:
                raise UserError(f"{photo}, found for {query}, has no landmark in the labels")
            sums[labels[photo]] = sums.get(labels[photo], 0.0) + score
        if sums:
            predicted[query] = max(sums.items(), key=lambda one: one[1])
    return predicted


# ---------------------------------------------------------------- predictions


def read_found(path: Path) -> dict[str, list[str]]:
    """Read the predictions of retrieval: id,images, or ranks as `read_ranks` reads them.

    Raises:
        UserError: the file is neither, or names a test photo twice.
    """
    if "query" in _columns(path):
        return {query: [p for p, _ in photos] for query, photos in read_ranks(path).items()}
    found: dict[str, list[str]] = {}
    for line, (query, cell) in _rows(path, ("id", "images")):
        if query in found:
            raise UserError(f"{path}, line {line}: {query} is there twice")
        found[query] = cell.split()
    return found


def read_predicted(path: Path) -> dict[str, tuple[str, float]]:
    """Read the predictions of recognition: id,landmarks, a cell being "landmark score" or empty.

    Raises:
        UserError: the file is none of these, or names a test photo twice.
    """
    predicted: dict[str, tuple[str, float]] = {}
    seen: set[str] = set()
    for line, (query, cell) in _rows(path, ("id", "landmarks")):
        if query in seen:
            raise UserError(f"{path}, line {line}: {query} is there twice")
        seen.add(query)
        if not cell.strip():
            continue
        landmark, *scores = cell.split()
        score = _number(scores[0]) if len(scores) == 1 else None
        if score is None:
            raise UserError(
                f"{path}, line {line}: {cell[:40]!r} is not one landmark and its score; for each "
                "test photo give both, or nothing"
            )
        predicted[query] = (landmark, score)
    return predicted


def read_ranks(path: Path) -> dict[str, list[tuple[str, float]]]:
    """Read ranks: query,rank,photo,score, as `python -m src.index.stores search` writes them.

    Of a name with folders the last part is the id.

    Returns:
        query → photos and scores, in the order of the ranks.

    Raises:
        UserError: the file is none of these, or a query has two photos of one rank.
    """
    ranked: dict[str, dict[int, tuple[str, float]]] = {}
    for line, (query, rank, photo, score) in _rows(path, ("query", "rank", "photo", "score")):
        number, value = _number(rank), _number(score)
        if number is None or value is None or number < 1 or number != int(number):
            raise UserError(
                f"{path}, line {line}: rank {rank!r} and score {score!r} are no numbers"
            )
        photos = ranked.setdefault(query.rsplit("/", 1)[-1], {})
        if int(number) in photos:
            raise UserError(f"{path}, line {line}: {query} has two photos of rank {int(number)}")
        photos[int(number)] = (photo.rsplit("/", 1)[-1], value)
    return {query: [photos[i] for i in sorted(photos)] for query, photos in ranked.items()}


def check_queries(
    queries: Collection[str], solution: Solution, test: Collection[str] | None, path: Path
) -> None:
    """Refuse predictions for photos that are no test photos, and a solution of another test set.

    Raises:
        UserError: naming the first.
    """
    if test is not None:
        foreign = min(solution.queries - set(test), default=None)
        if foreign is not None:
            raise UserError(f"{solution.path} has {foreign}, which is not in test.csv")
    known = solution.queries.union(test or ())
    strange = min(set(queries) - known, default=None)
    if strange is not None:
        raise UserError(f"{path} predicts for {strange}, which is no test photo of {solution.path}")
    if not set(queries) & known - solution.ignored:
        raise UserError(f"{path} predicts for no photo that counts in {solution.path}")


def check_photos(found: Mapping[str, Sequence[str]], index: Collection[str], path: Path) -> None:
    """Refuse predictions that are not in the index.

    Raises:
        UserError: naming the first.
    """
    for query, photos in found.items():
        for photo in photos:
            if photo not in index:
                raise UserError(
                    f"{path} finds {photo} for {query}, which is not in index.csv; search the "
                    "index photos only (see --part)"
                )


# ---------------------------------------------------------------- csv


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _opened(path: Path) -> TextIO:
    """Open a csv file for reading; a pipe is refused before anybody waits for it."""
    return io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="")


def _columns(path: Path) -> list[str]:
    try:
        with _opened(path) as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from None


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the line number and the named cells of each row of a csv that is not empty.

    Raises:
        UserError: the file cannot be read, a column is missing, or a row is cut short.
    """
    there = _columns(path)
    missing = [name for name in columns if name not in there]
    if missing:
        raise UserError(
            f"{path} has no column {', '.join(missing)} (it has: {', '.join(there) or 'none'})"
        )
    at = [there.index(name) for name in columns]
    try:
        with _opened(path) as file:
            reader = csv.reader(file)
            next(reader)
            for row in reader:
                if not row:
                    continue
                if len(row) <= max(at) or not row[at[0]].strip():
                    raise UserError(
                        f"{path}, line {reader.line_num}: there are {len(row)} cells, "
                        f"not {len(there)}, or no id; is the file whole?"
                    )
                yield reader.line_num, tuple(row[i].strip() for i in at)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(f"cannot read {path} ({reason}); give a csv file")
