"""Precision-recall curves of ranked lists: the polygons whose area is the average precision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from src.common.atomic_files import PathLike, atomic_path

Curve = tuple[np.ndarray, np.ndarray]  # recalls, precisions; both float64 [2 × positives]

#: Colours that people with any colour vision tell apart (Okabe and Ito), and line styles beside.
_STYLES = (
    ("#0072b2", "-"),
    ("#d55e00", "--"),
    ("#009e73", "-."),
    ("#cc79a7", ":"),
    ("#56b4e9", (0, (5, 1))),
    ("#e69f00", (0, (1, 1))),
)
_DOTS_PER_INCH = 110
#: Counted up when curves are drawn differently, so that old ones are drawn again.
VERSION = 1


def precision_recall(ranks_of_positives: Sequence[int] | np.ndarray, n_positives: int) -> Curve:
    """Return the polygon that `dataset.average_precision` is the area under.

    Each positive is a piece of it: recall grows by 1 / n_positives while the precision goes from
    that before the positive (1 at the very top) to that with it. Between two positives recall
    stays and precision falls. Where fewer positives are found than there are, the polygon ends
    before recall 1.

    Args:
        ranks_of_positives: ranks of the positives that were found, from 0, without junk.
        n_positives: number of positives there are, at least 1.

    Returns:
        recalls, precisions: float64 [2 × positives found].
    """
    ranks = np.sort(np.asarray(ranks_of_positives, dtype=np.int64))
    found = np.arange(len(ranks))
    before = np.where(ranks == 0, 1.0, found / np.maximum(ranks, 1))
    after = (found + 1) / (ranks + 1)
    recalls = np.stack([found, found + 1], axis=1).ravel() / n_positives
    return recalls, np.stack([before, after], axis=1).ravel()


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean precision of curves at each recall; its area is the mean of their areas.

    The recalls are all those at which one of the curves bends. As the curves jump there, each of
    them comes twice, with the precisions before and after; a curve that has ended counts as 0.
    """
    if not curves:
        return np.zeros(0), np.zeros(0)
    bends = np.unique(np.concatenate([[0.0], *(recalls for recalls, _ in curves)]))
    starts, ends = bends[:-1], bends[1:]
    middles = (starts + ends) / 2
    total = np.zeros((len(middles), 2))
    for recalls, precisions in curves:
        # No bend lies inside an interval: one piece of the curve covers it, or none.
        piece = np.searchsorted(recalls[1::2], middles)
        inside = piece < len(recalls) // 2
        left, right = recalls[2 * piece[inside]], recalls[2 * piece[inside] + 1]
        first, last = precisions[2 * piece[inside]], precisions[2 * piece[inside] + 1]
        slope = (last - first) / (right - left)
        total[inside, 0] += first + slope * (starts[inside] - left)
        total[inside, 1] += first + slope * (ends[inside] - left)
    return np.stack([starts, ends], axis=1).ravel(), total.ravel() / len(curves)


def area(curve: Curve) -> float:
    """Return the area under a curve, by the trapezoid rule."""
    recalls, precisions = curve
    return float((np.diff(recalls) * (precisions[1:] + precisions[:-1]) / 2).sum())


def draw_protocol(path: PathLike, title: str, curves: Sequence[Curve]) -> None:
    """Draw the curve of each query of a protocol, thin, and their mean (PNG).

    A picture that shows the same already is kept.
    """
    content = _fingerprint([title], curves)
    if _is_drawn(path, content):
        return
    figure, axes = _axes((6.0, 4.6))
    for recalls, precisions in curves:
        axes.plot(recalls, precisions, color="#777777", linewidth=0.6, alpha=0.35)
    mean = mean_curve(curves)
    if curves:
        axes.plot(*mean, color=_STYLES[0][0], linewidth=2.4, label=f"mean, mAP {area(mean):.2%}")
        axes.plot([], [], color="#777777", linewidth=0.8, label="each query")
        axes.legend(loc="lower left", framealpha=0.9)
    else:
        axes.text(0.5, 0.5, "no query has positives", ha="center", color="#777777")
    axes.set_title(title)
    _save(figure, path, content)


def draw_query(path: PathLike, curves: Mapping[str, Curve]) -> None:
    """Draw the curves of one query, a line for each protocol (PNG); see `draw_protocol`."""
    content = _fingerprint(list(curves), list(curves.values()))
    if _is_drawn(path, content):
        return
    figure, axes = _axes((3.6, 2.9))
    for number, (name, curve) in enumerate(curves.items()):
        colour, style = _STYLES[number % len(_STYLES)]
        label = f"{name}, AP {area(curve):.2%}"
        axes.plot(*curve, color=colour, linestyle=style, linewidth=1.8, label=label)
    if curves:
        axes.legend(loc="lower left", fontsize=8, framealpha=0.9)
    _save(figure, path, content)


def _axes(inches: tuple[float, float]) -> tuple[Figure, object]:
    figure = Figure(figsize=inches, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="recall", ylabel="precision")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: PathLike, content: str) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None, "Comment": content})


def _fingerprint(names: Sequence[str], curves: Sequence[Curve]) -> str:
    digest = hashlib.sha256(f"{VERSION}\0{names}".encode())
    for curve in curves:
        digest.update(repr([array.tolist() for array in curve]).encode())
    return digest.hexdigest()


def _is_drawn(path: PathLike, content: str) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.info.get("Comment") == content
    except (OSError, ValueError):
        return False
