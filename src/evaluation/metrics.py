"""The metrics of retrieval: average precision, precision and recall of ranked lists.

They are those of the Oxford Buildings benchmark (Philbin et al., CVPR 2007) and of Revisited Oxford
and Paris (Radenović et al., CVPR 2018): ignored images are taken out of the ranked list, average
precision is the area under the precision-recall curve by the trapezoid rule.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from src.common.errors import UserError
from src.dataset import EASY_MEDIUM_HARD, REPORTED_RANKS, GroundTruth, Judge, Judgement

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metrics:
    """Results under one setup of a protocol; everything between 0 and 1.

    A query without positives has NaN in its row and is left out of the means.

    Attributes:
        mean_average_precision: mAP.
        ranks: int64 [K], the ranks of `mean_precisions` and `mean_recalls`.
        mean_precisions, mean_recalls: float64 [K].
        average_precisions: float64 [queries].
        positives: int64 [queries], how many there are.
        precisions, recalls: float64 [queries, K].
    """

    mean_average_precision: float
    ranks: np.ndarray
    mean_precisions: np.ndarray
    mean_recalls: np.ndarray
    average_precisions: np.ndarray
    positives: np.ndarray
    precisions: np.ndarray
    recalls: np.ndarray

    @property
    def without_positives(self) -> int:
        """Number of queries that are left out of the means."""
        return int((self.positives == 0).sum())


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
    setups: Mapping[str, Judge] = EASY_MEDIUM_HARD,
    reported_ranks: Sequence[int] = REPORTED_RANKS,
) -> dict[str, Metrics]:
    """Compute the metrics of ranked lists under each setup of a protocol.

    Args:
        ranks: int [queries, images], for each query all image indices, best first.
        ground_truth: the queries, in the order of the rows.
        setups: name → rule.
        reported_ranks: where precision and recall are measured, as far as there are that many
            images.

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
    if not all((np.sort(row) == np.arange(wanted[1])).all() for row in ranks):
        raise UserError("a ranked list does not hold every image once; run the retrieval again")
    reported = np.array([k for k in reported_ranks if k <= wanted[1]], dtype=np.int64)
    results = {}
    for name, judge in setups.items():
        judgements = [judge(query) for query in ground_truth.queries]
        results[name] = _evaluate_setup(ranks, judgements, reported)
        if results[name].without_positives:
            LOG.warning(
                "%s: %d of %d queries have no positives and are left out of the mean",
                name,
                results[name].without_positives,
                len(judgements),
            )
    return results


def _evaluate_setup(
    ranks: np.ndarray, judgements: Sequence[Judgement], reported: np.ndarray
) -> Metrics:
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
    positives = np.array([len(judgement.positives) for judgement in judgements], dtype=np.int64)
    judged = positives > 0
    nothing = np.full(len(reported), np.nan)
    return Metrics(
        float(average_precisions[judged].mean()) if judged.any() else np.nan,
        reported,
        precisions[judged].mean(axis=0) if judged.any() else nothing,
        recalls[judged].mean(axis=0) if judged.any() else nothing,
        average_precisions,
        positives,
        precisions,
        recalls,
    )
