"""What an evaluation says: the table `mAP.txt`, `mAP.json` with every query, and one line.

The table of the levels has a fixed form that other programs read. The tables of the other protocols
are like it: a heading, `mAP`, the precisions where they report any, and how many queries the means
are over. In the file a line stands before the table that says where the PCA came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError, raise_if_of_system
from src.common.regular_files import read_regular
from src.evaluation.metrics import Metrics
from src.evaluation.protocols import Benchmark

JSON_FORMAT = 1
COMMENT = "# "  # begins a line of `mAP.txt` that is no part of the table


def format_map_text(results: Mapping[str, Metrics]) -> str:
    """Return the table of the levels: the setups by name, percentages to two decimals."""
    lines = []
    for name in sorted(results):
        metrics = results[name]
        lines += [
            name,
            _map_line(metrics),
            _ranked_line("mP", metrics.ranks, metrics.mean_precisions),
            _ranked_line("mR", metrics.ranks, metrics.mean_recalls),
        ]
    return "\n".join(lines) + "\n"


def format_table(benchmark: Benchmark, results: Mapping[str, Metrics]) -> str:
    """Return the text of `mAP.txt` for the protocol of `benchmark`.

    Args:
        benchmark: what was asked.
        results: setup → metrics.
    """
    if benchmark.protocol.recall:
        return format_map_text({benchmark.title(name): m for name, m in results.items()})
    lines = []
    for name, metrics in results.items():
        lines += [benchmark.title(name), _map_line(metrics)]
        if len(metrics.ranks):
            lines.append(_ranked_line("mP", metrics.ranks, metrics.mean_precisions))
        count = len(metrics.positives)
        lines.append(f"  queries={count - metrics.without_positives} of {count}")
    return "\n".join(lines) + "\n"


def summary_line(benchmark: Benchmark, results: Mapping[str, Metrics]) -> str:
    """Return in one line which protocol it was, over how many queries and images."""
    without = [
        f"{metrics.without_positives} ({name})"
        for name, metrics in results.items()
        if metrics.without_positives
    ]
    truth = benchmark.ground_truth
    return (
        f"{benchmark.protocol.name} protocol, queries "
        f"{'cropped to their boxes' if benchmark.crop else 'not cropped'} and "
        f"{'not ' if benchmark.protocol.in_pickle else ''}in the index: "
        f"{len(truth.queries)} queries, {len(benchmark.images)} images "
        f"({benchmark.distractors} of them distractors), {len(truth.missing)} listed images "
        f"missing, {', '.join(without) or 'no'} queries without positives"
    )


def as_json(benchmark: Benchmark, results: Mapping[str, Metrics]) -> dict[str, Any]:
    """Return all results as JSON values, shares between 0 and 1, null where there is none.

    `queries` lists label, photo and box in the order of the ranked lists; each of `setups` has
    the means, and by query `positives`, `AP`, `P` and `R` (at `ranks`).
    """
    queries = benchmark.ground_truth.queries
    return {
        "format": JSON_FORMAT,
        "protocol": benchmark.protocol.name,
        "crop_queries": benchmark.crop,
        "queries_in_index": not benchmark.protocol.in_pickle,
        "images": len(benchmark.images),
        "distractors": benchmark.distractors,
        "missing": list(benchmark.ground_truth.missing),
        "queries": [
            {"label": query.label, "photo": query.name, "box": list(query.box)} for query in queries
        ],
        "setups": {
            name: {
                "title": benchmark.title(name),
                "mAP": _number(metrics.mean_average_precision),
                "queries_without_positives": metrics.without_positives,
                "ranks": metrics.ranks.tolist(),
                "mP": _numbers(metrics.mean_precisions),
                "mR": _numbers(metrics.mean_recalls),
                "queries": {
                    query.label: {
                        "positives": int(metrics.positives[row]),
                        "AP": _number(metrics.average_precisions[row]),
                        "P": _numbers(metrics.precisions[row]),
                        "R": _numbers(metrics.recalls[row]),
                    }
                    for row, query in enumerate(queries)
                },
            }
            for name, metrics in results.items()
        },
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _numbers(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values]


def _map_line(metrics: Metrics) -> str:
    return f"  mAP={round(metrics.mean_average_precision * 100, 2)}"


def _ranked_line(name: str, ranks: np.ndarray, shares: np.ndarray) -> str:
    return f"  {name}@k{_bracketed(ranks)} {_bracketed(_percentages(shares))}"


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
        heading → {"mAP": percent, "ranks": [k …], "mP": [percent …], "mR": [percent …]}, and
        {"queries": queries in the means, "of": all} in tables other than the levels'; what a table
        does not report is not there.

    Raises:
        UserError: when the file is missing or a line is not of the format.
    """
    path = Path(path)
    try:
        lines = read_regular(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read the results {path}: {error}") from None
    results: dict[str, dict[str, float | list[float]]] = {}
    for number, line in enumerate(lines, 1):
        try:
            if line.startswith(COMMENT):
                continue
            if line and not line[0].isspace():
                current = results.setdefault(line.strip(), {})
            elif line.startswith("  mAP="):
                current["mAP"] = float(line[len("  mAP=") :])
            elif line.startswith("  queries="):
                counts = line[len("  queries=") :].split(" of ")
                current["queries"], current["of"] = map(int, counts)
            elif line.startswith(("  mP@k[", "  mR@k[")):
                left, right = line.split("] [")
                current["ranks"] = [int(word) for word in left.split("[")[1].split()]
                current[line[2:4]] = [float(word) for word in right.rstrip("]").split()]
            elif line.strip():
                raise ValueError
        except (ValueError, UnboundLocalError, IndexError):
            raise UserError(f"{path}, line {number}: not a line of mAP.txt: {line!r}") from None
    return results
