"""Score predictions for the retrieval or the recognition task of Google Landmarks v2.

python3 src/evaluation/gldv2_score.py retrieval --solution retrieval_solution_v2.1.csv ranks.csv
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from model_utils.bounds import number
from src.common.errors import UserError, run_command
from src.evaluation import gldv2_tasks as tasks


def score_retrieval(
    predictions: Path, solution: Path, index: Path | None = None, test: Path | None = None
) -> str:
    """Return the lines of mAP@100 of each part.

    Args:
        predictions: id,images, or query,rank,photo,score.
        solution: `retrieval_solution_v2.1.csv`.
        index, test: `index.csv` and `test.csv`, to see that all belongs together.

    Raises:
        UserError: a file is something else, or they do not belong together.
    """
    truth = tasks.read_solution(solution, "images")
    found = tasks.read_found(predictions)
    tasks.check_queries(found, truth, tasks.read_ids(test) if test else None, predictions)
    if index:
        tasks.check_photos(found, tasks.read_ids(index), predictions)
    return _told("mAP@100", truth, found, tasks.mean_average_precision)


def score_recognition(
    predictions: Path,
    solution: Path,
    labels: Path | None = None,
    neighbours: int = 5,
    test: Path | None = None,
) -> str:
    """Return the lines of µAP of each part.

    Args:
        predictions: id,landmarks; with `labels` ranks: query,rank,photo,score.
        solution: `recognition_solution_v2.1.csv`.
        labels: `train.csv`; landmarks are predicted by those of the nearest photos.
        neighbours: how many of these count.
        test: `test.csv`, to see that all belongs together.

    Raises:
        UserError: a file is something else, or they do not belong together.
    """
    truth = tasks.read_solution(solution, "landmarks")
    if labels is None:
        predicted = tasks.read_predicted(predictions)
    else:
        ranked = tasks.read_ranks(predictions)
        predicted = tasks.landmarks_of_neighbours(ranked, tasks.read_labels(labels), neighbours)
    tasks.check_queries(predicted, truth, tasks.read_ids(test) if test else None, predictions)
    return _told("µAP", truth, predicted, tasks.global_average_precision)


def _told(metric: str, solution: tasks.Solution, predictions: Mapping, score) -> str:
    lines = []
    for part in tasks.PARTS:
        truth: Mapping[str, Collection[str]] = solution.truths[part]
        value = score(predictions, truth)
        if not truth or math.isnan(value):
            continue
        with_truth = sum(map(bool, truth.values()))
        answered = sum(query in predictions for query in truth)
        lines.append(
            f"{part:<8} {metric} = {100 * value:.2f}  ({len(truth)} test photos, {with_truth} "
            f"with a landmark, {answered} with a prediction)"
        )
    if not lines:
        raise UserError(f"{solution.path} has no test photo that shows a landmark")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Score the predictions that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="task", required=True)
    retrieval = kinds.add_parser("retrieval", help="mAP@100")
    retrieval.add_argument("--index", type=Path, help="index.csv: its photos only may be found")
    recognition = kinds.add_parser("recognition", help="µAP, also called GAP")
    recognition.add_argument(
        "--labels", type=Path, help="train.csv: the predictions are ranks among its photos"
    )
    recognition.add_argument(
        "--neighbours",
        type=number(int, "neighbours", min=1),
        default=5,
        help="nearest photos that vote for their landmark (%(default)s)",
    )
    for kind, columns in ((retrieval, "id,images"), (recognition, "id,landmarks")):
        kind.add_argument(
            "predictions", type=Path, help=f"csv: {columns}, or query,rank,photo,score"
        )
        kind.add_argument("--solution", type=Path, required=True, help="of the task, v2.1")
        kind.add_argument("--test", type=Path, help="test.csv: its photos only may be asked for")
    args = parser.parse_args(arguments)
    if args.task == "retrieval":
        print(score_retrieval(args.predictions, args.solution, args.index, args.test))
    else:
        print(
            score_recognition(
                args.predictions, args.solution, args.labels, args.neighbours, args.test
            )
        )


if __name__ == "__main__":
    run_command(main)
