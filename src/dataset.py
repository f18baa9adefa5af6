"""The retrieval protocol: ground truth in the Oxford5k / Paris6k layout, and the metrics.

A query `all_souls_1` is four text files: `all_souls_1_query.txt` with the query image and the box
of the landmark in it, and `_good.txt`, `_ok.txt`, `_junk.txt` with one image name a line. A
protocol turns the three lists into positives and ignored ("junk") images; everything else is
negative. New protocols are new functions from `Query` to `Judgement`.

The metrics are those of the Oxford Buildings benchmark (Philbin et al., CVPR 2007) and of Revisited
Oxford and Paris (Radenović et al., CVPR 2018): ignored images are taken out of the ranked list,
average precision is the area under the precision-recall curve by the trapezoid rule.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np

from src.atomic_files import PathLike
from src.errors import UserError

LOG = logging.getLogger(__name__)

#: The ranks at which precision and recall are reported, as far as there are that many images.
REPORTED_RANKS = (10, 20, 30, 40, 50, 60, 70, 80, 90)
#: Oxford5k writes its query images with this in front of their names.
QUERY_PREFIX = "oxc1_"
_LISTS = ("good", "ok", "junk")


@dataclass(frozen=True)
class Query:
    """One query and what is known about the images.

    Attributes:
        label: what its files are named after, "all_souls_1".
        name: the query image, "all_souls_000013".
        image: index of the query image in the list of all images.
        box: (left, top, right, bottom) of the landmark in the query image, pixels.
        good, ok, junk: sorted int64 indices of the images in each list that exist.
    """

    label: str
    name: str
    image: int
    box: tuple[float, float, float, float]
    good: np.ndarray
    ok: np.ndarray
    junk: np.ndarray


@dataclass(frozen=True)
class GroundTruth:
    """All queries, sorted by label.

    Attributes:
        queries: the queries.
        image_count: number of images that the indices in the queries refer to.
        missing: names that stand in a list although there is no such image, sorted.
    """

    queries: tuple[Query, ...]
    image_count: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """What counts for one query: disjoint, sorted indices of images; all others are negative."""

    positives: np.ndarray
    junk: np.ndarray


@dataclass(frozen=True)
class Metrics:
    """Results under one protocol; everything between 0 and 1.

    A query without positives has NaN in its row and is left out of the means.

    Attributes:
        mean_average_precision: mAP.
        ranks: int64 [K], the ranks of `mean_precisions` and `mean_recalls`.
        mean_precisions, mean_recalls: float64 [K].
        average_precisions: float64 [queries].
        precisions, recalls: float64 [queries, K].
    """

    mean_average_precision: float
    ranks: np.ndarray
    mean_precisions: np.ndarray
    mean_recalls: np.ndarray
    average_precisions: np.ndarray
    precisions: np.ndarray
    recalls: np.ndarray


# ---------------------------------------------------------------- reading the ground truth


def read_ground_truth(folder: PathLike, image_names: Sequence[str]) -> GroundTruth:
    """Read the `*_query.txt`, `*_good.txt`, `*_ok.txt` and `*_junk.txt` files of a folder.

    Args:
        folder: where the text files are.
        image_names: the names (file stems) of all images, in the order of the index.

    Raises:
        UserError: when the folder holds no query, a list is missing, a line is malformed, or a
            query image is not among `image_names`. Other names without an image are counted,
            logged and returned in `missing`: data sets lose photos.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no ground truth folder {folder}")
    query_files = sorted(folder.glob("[!.]*_query.txt"))
    if not query_files:
        raise UserError(f"the ground truth folder {folder} holds no *_query.txt file")
    position = {name: index for index, name in enumerate(image_names)}
    missing: set[str] = set()
    queries = []
    for path in query_files:
        label = path.name[: -len("_query.txt")]
        name, box = _read_query(path, position)
        lists = {}
        for kind in _LISTS:
            names = _read_names(folder / f"{label}_{kind}.txt")
            missing.update(name for name in names if name not in position)
            found = {position[name] for name in names if name in position}
            lists[kind] = np.array(sorted(found), dtype=np.int64)
        queries.append(Query(label, name, position[name], box, **lists))
    if missing:
        LOG.warning(
            "%d image(s) named in the ground truth %s do not exist and are left out, such as %s",
            len(missing),
            folder,
            ", ".join(sorted(missing)[:3]),
        )
    return GroundTruth(tuple(queries), len(position), tuple(sorted(missing)))


def _read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines that are not blank, split at blanks, with their numbers from 1."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"the ground truth file {path} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the ground truth file {path}: {error}") from None
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


def _read_query(
    path: Path, position: Mapping[str, int]
) -> tuple[str, tuple[float, float, float, float]]:
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
    if name not in position and name.startswith(QUERY_PREFIX):
        name = name[len(QUERY_PREFIX) :]
    if name not in position:
        raise UserError(
            f"{path}, line {number}: the query image {name} is not among the images; "
            "give the folder that holds it, or remove the query's four files"
        )
    return name, (left, top, right, bottom)


# ---------------------------------------------------------------- protocols


def _judgement(positives: Sequence[np.ndarray], junk: Sequence[np.ndarray]) -> Judgement:
    """Join the lists; an image that would be both positive and junk is ignored."""
    ignored = np.unique(np.concatenate(junk))
    return Judgement(np.setdiff1d(np.concatenate(positives), ignored), ignored)


def judge_easy(query: Query) -> Judgement:
    """Good images and the query itself are positive; ok and junk ones are ignored.

    Where good holds nothing but the query (all of Paris6k), the ok list takes its place and the
    query is ignored: then easy equals hard.
    """
    itself = np.array([query.image])
    if not np.setdiff1d(query.good, itself).size:
        return judge_hard(query)
    return _judgement([query.good, itself], [query.ok, query.junk])


def judge_medium(query: Query) -> Judgement:
    """Good and ok images and the query itself are positive; junk ones are ignored."""
    return _judgement([query.good, query.ok, np.array([query.image])], [query.junk])


def judge_hard(query: Query) -> Judgement:
    """Ok images are positive; good and junk ones and the query itself are ignored."""
    return _judgement([query.ok], [query.good, query.junk, np.array([query.image])])


#: The table of `mAP.txt`: the query is not cropped and stays in the index.
EASY_MEDIUM_HARD: dict[str, Callable[[Query], Judgement]] = {
    "easy": judge_easy,
    "medium": judge_medium,
    "hard": judge_hard,
}


# ---------------------------------------------------------------- metrics


def ranks_without_junk(ranked: np.ndarray, judgement: Judgement) -> np.ndarray:
    """Return the ranks of the positives, from 0, sorted, in the list without its junk.

    Args:
        ranked: int [images], image indices, best first.
        judgement: positives and junk.
    """
    kept = ranked[~np.isin(ranked, judgement.junk)]
    return np.flatnonzero(np.isin(kept, judgement.positives))


def average_precision(ranks_of_positives: Sequence[int] | np.ndarray, n_positives: int) -> float:
    """Return the area under the precision-recall curve by the trapezoid rule.

    The i-th positive (from 0) at rank r adds the mean of the precision before it, i / r (1 at the
    very top), and with it, (i + 1) / (r + 1), times the step in recall 1 / n_positives. Never
    above 1, and 1 only when all positives stand first.

    Args:
        ranks_of_positives: ranks of the positives that were found, from 0, without junk.
        n_positives: number of positives there are, at least 1.

    Raises:
        ValueError: when ranks repeat or are negative, or more are found than there are.
    """
    ranks = np.sort(np.asarray(ranks_of_positives, dtype=np.int64))
    if n_positives < max(1, len(ranks)):
        raise ValueError(f"{len(ranks)} positives found, {n_positives} expected")
    if (ranks < 0).any() or (np.diff(ranks) == 0).any():
        raise ValueError("ranks are counted from 0, and no two images share one")
    found = np.arange(len(ranks))
    before = np.where(ranks == 0, 1.0, found / np.maximum(ranks, 1))
    after = (found + 1) / (ranks + 1)
    return float((before + after).sum() / (2 * n_positives))


def precision_at(ranks_of_positives: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the precision among the first k images for each k of `ranks`.

    As in Revisited Oxford and Paris, k does not go beyond the last positive: a query with few
    positives is not punished for the negatives that must follow them. (By the plain definition
    the precision at 90 of a query with ten positives could not pass 0.11.)

    Args:
        ranks_of_positives: from 0, without junk, all of them.
        ranks: int [K], counted from 1.
    """
    if not len(ranks_of_positives):
        return np.zeros(len(ranks))
    cut = np.minimum(ranks, np.max(ranks_of_positives) + 1)
    return (ranks_of_positives[:, None] < cut).sum(axis=0) / cut


def recall_at(ranks_of_positives: np.ndarray, n_positives: int, ranks: np.ndarray) -> np.ndarray:
    """Return the share of the positives among the first k images for each k of `ranks`."""
    return (ranks_of_positives[:, None] < ranks).sum(axis=0) / n_positives


def evaluate(
    ranks: np.ndarray,
    ground_truth: GroundTruth,
    protocols: Mapping[str, Callable[[Query], Judgement]] = EASY_MEDIUM_HARD,
) -> dict[str, Metrics]:
    """Compute the metrics of ranked lists under each protocol.

    Args:
        ranks: int [queries, images], for each query all image indices, best first.
        ground_truth: the queries, in the order of the rows.
        protocols: name → rule.

    Raises:
        UserError: when `ranks` does not belong to this ground truth: another number of queries or
            images, or a row that is not a permutation of all images.
    """
    ranks = np.asarray(ranks)
    wanted = (len(ground_truth.queries), ground_truth.image_count)
    if ranks.shape != wanted:
        raise UserError(
            f"the ranks are for {' queries and '.join(map(str, ranks.shape))} images, the ground "
            f"truth for {wanted[0]} queries and {wanted[1]} images; run the retrieval again"
        )
    if not (np.sort(ranks, axis=1) == np.arange(wanted[1])).all():
        raise UserError("a ranked list does not hold every image once; run the retrieval again")
    results = {}
    for name, judge in protocols.items():
        judgements = [judge(query) for query in ground_truth.queries]
        results[name] = _evaluate_protocol(ranks, judgements)
        without = sum(not judgement.positives.size for judgement in judgements)
        if without:
            LOG.warning(
                "%s: %d of %d queries have no positives and are left out of the mean",
                name,
                without,
                len(judgements),
            )
    return results


def _evaluate_protocol(ranks: np.ndarray, judgements: Sequence[Judgement]) -> Metrics:
    reported = np.array([k for k in REPORTED_RANKS if k <= ranks.shape[1]], dtype=np.int64)
    average_precisions = np.full(len(ranks), np.nan)
    precisions = np.full((len(ranks), len(reported)), np.nan)
    recalls = np.full((len(ranks), len(reported)), np.nan)
    for row, (ranked, judgement) in enumerate(zip(ranks, judgements)):
        n_positives = len(judgement.positives)
        if n_positives:
            found = ranks_without_junk(ranked, judgement)
            average_precisions[row] = average_precision(found, n_positives)
            precisions[row] = precision_at(found, reported)
            recalls[row] = recall_at(found, n_positives, reported)
    judged = ~np.isnan(average_precisions)
    if not judged.any():
        nothing = np.full(len(reported), np.nan)
        return Metrics(np.nan, reported, nothing, nothing, average_precisions, precisions, recalls)
    return Metrics(
        float(average_precisions[judged].mean()),
        reported,
        precisions[judged].mean(axis=0),
        recalls[judged].mean(axis=0),
        average_precisions,
        precisions,
        recalls,
    )


# ---------------------------------------------------------------- mAP.txt


def format_map_text(results: Mapping[str, Metrics]) -> str:
    """Return the text of `mAP.txt`: the protocols by name, percentages to two decimals."""
    lines = []
    for name in sorted(results):
        metrics = results[name]
        ranks = _bracketed(metrics.ranks)
        lines += [
            name,
            f"  mAP={round(metrics.mean_average_precision * 100, 2)}",
            f"  mP@k{ranks} {_bracketed(_percentages(metrics.mean_precisions))}",
            f"  mR@k{ranks} {_bracketed(_percentages(metrics.mean_recalls))}",
        ]
    return "\n".join(lines) + "\n"


def _percentages(shares: np.ndarray) -> np.ndarray:
    return np.around(shares * 100, decimals=2)


def _bracketed(array: np.ndarray) -> str:
    """Print as NumPy does (aligned columns), on one line whatever the print options are."""
    with np.printoptions(
        precision=8, floatmode="maxprec", suppress=True, legacy=False, formatter=None, sign="-"
    ):
        return np.array2string(array, max_line_width=10_000, threshold=10_000)


def read_map_text(path: PathLike) -> dict[str, dict[str, float | list[float]]]:
    """Read an `mAP.txt` back.

    Returns:
        protocol → {"mAP": percent, "ranks": [k …], "mP": [percent …], "mR": [percent …]}.

    Raises:
        UserError: when the file is missing or a line is not of the format.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the results {path}: {error}") from None
    results: dict[str, dict[str, float | list[float]]] = {}
    for number, line in enumerate(lines, 1):
        try:
            if line and not line[0].isspace():
                current = results.setdefault(line.strip(), {})
            elif line.startswith("  mAP="):
                current["mAP"] = float(line[len("  mAP=") :])
            elif line.startswith(("  mP@k[", "  mR@k[")):
                left, right = line.split("] [")
                current["ranks"] = [int(word) for word in left.split("[")[1].split()]
                current[line[2:4]] = [float(word) for word in right.rstrip("]").split()]
            elif line.strip():
                raise ValueError
        except (ValueError, UnboundLocalError, IndexError):
            raise UserError(f"{path}, line {number}: not a line of mAP.txt: {line!r}") from None
    return results
