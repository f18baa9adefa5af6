"""Draw how a training went: loss, validation accuracy, learning rate and speed over the steps."""

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
import logging
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from src.common.atomic_files import PathLike, atomic_path
from src.common.errors import UserError, run_command
from src.training.metrics_log import read_metrics

LOG = logging.getLogger(__name__)

_SIZE = (11.0, 7.0)  # inches
_DPI = 120
_INK = "#333333"
_COLOURS = {
    "loss": "#1f5fa8",
    "validation_accuracy": "#2c8a4b",
    "learning_rate": "#8a5a9e",
    "photos_per_second": "#b3611b",
}
_TITLES = {
    "loss": "loss",
    "validation_accuracy": "validation top-1",
    "learning_rate": "learning rate",
    "photos_per_second": "photos/s",
}
# Standard deviation of the smoothing: a share of the curve, narrow enough to keep its bends, but
# at least so many points.
_SMOOTHING, _SMOOTHING_POINTS = 1 / 50, 1.2
_FEW = 8  # fewer points are not smoothed
_MARKED = 40  # up to so many points are marked each
_LOSS_SHOWN = 99  # percentile of the recorded losses that the axis reaches to


def smoothed(values: np.ndarray) -> np.ndarray:
    """Return a curve's averages with Gaussian weights around each point, of the same length.

    At the ends the average is over what there is. A few values stay as they are.
    """
    count = len(values)
    if count < _FEW:
        return values.copy()
    sigma = max(_SMOOTHING * count, _SMOOTHING_POINTS)
    radius = min(int(np.ceil(3 * sigma)), (count - 1) // 2)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = np.convolve(np.ones(count), kernel, mode="same")
    return np.convolve(values, kernel, mode="same") / weights


def draw_curve(metrics: PathLike, picture: PathLike, title: str) -> Path:
    """Draw the records of a training as a PNG: the loss large, the rest below it.

    Args:
        metrics: what `MetricsLog` wrote. Drawn are `loss`, `validation_accuracy`, `learning_rate`
            and `photos_per_second`, those that were recorded; said are `epoch` and `data_wait`
            (the share of the time waited for data).
        picture: the PNG to write.
        title: its heading.

    Returns:
        The path of the picture.

    Raises:
        UserError: the metrics are missing, damaged or empty, or the picture's name is no PNG.
    """
    picture = Path(picture)
    if picture.suffix.lower() != ".png":
        raise UserError(f"{picture} is not the name of a PNG; let it end with .png")
    records = read_metrics(metrics)
    if not records:
        raise UserError(f"{metrics} holds no record yet; nothing was drawn")
    figure = _figure(records, title)
    with atomic_path(picture) as temporary:
        # The object API with its own canvas: no window system and no state shared with a caller.
        FigureCanvasAgg(figure).print_png(temporary)
    return picture


def _figure(records: list[dict[str, Any]], title: str) -> Figure:
    curves = {name: _curve(records, name) for name in _TITLES}
    below = [name for name in curves if name != "loss" and len(curves[name][0])]
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    grid = figure.add_gridspec(2, max(1, len(below)), height_ratios=(5, 3) if below else (1, 0.01))
    figure.suptitle(title, fontsize=15, color=_INK, parse_math=False)
    steps = [record["step"] for record in records]
    reach = min(steps), max(steps)
    loss = figure.add_subplot(grid[0, :])
    _draw_loss(loss, *curves["loss"])
    loss.set_title(_reached(records), loc="right", fontsize=10, color=_INK)
    _finish(loss, "loss", reach)
    for column, name in enumerate(below):
        axes = figure.add_subplot(grid[1, column])
        steps, values = curves[name]
        if name == "photos_per_second":
            _draw_noisy(axes, name, steps, values)
        else:
            axes.plot(steps, values, color=_COLOURS[name], linewidth=1.8, **_marks(len(steps)))
        _DRESS[name](axes, values)
        _finish(axes, name, reach)
        if name == "photos_per_second":
            _say_waiting(axes, records)
    return figure


def _curve(records: list[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which a figure was recorded, and the figures."""
    pairs = [(r["step"], r[name]) for r in records if isinstance(r.get(name), (int, float))]
    steps, values = zip(*pairs) if pairs else ((), ())
    return np.array(steps, float), np.array(values, float)


def _marks(count: int) -> dict[str, Any]:
    return {"marker": "o", "markersize": 4, "clip_on": False} if count <= _MARKED else {}


def _draw_noisy(axes: Axes, name: str, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Draw a curve faintly and its averages clearly; return the averages."""
    colour, calm = _COLOURS[name], smoothed(values)
    if len(values) < _FEW:
        axes.plot(steps, values, color=colour, linewidth=2, **_marks(len(steps)))
        return calm
    dots = {**_marks(len(steps)), "clip_on": True}  # what lies beyond the axis stays hidden
    axes.plot(steps, values, color=colour, alpha=0.3, linewidth=1, label="as recorded", **dots)
    axes.plot(steps, calm, color=colour, linewidth=2.2, label="smoothed")
    return calm


def _draw_loss(axes: Axes, steps: np.ndarray, values: np.ndarray) -> None:
    if not len(values):
        axes.text(0.5, 0.5, "no loss was recorded", ha="center", transform=axes.transAxes)
        return
    calm = _draw_noisy(axes, "loss", steps, values)
    # A single step far off does not press the curve flat.
    top = 1.08 * max(calm.max(), np.percentile(values, _LOSS_SHOWN))
    axes.set_ylim(min(0.0, values.min()), top if top > 0 else 1.0)
    if len(axes.lines) > 1:
        axes.legend(loc="upper right", frameon=False, labelcolor=_INK)


def _dress_accuracy(axes: Axes, values: np.ndarray) -> None:
    axes.set_ylim(0.0, min(1.0, 1.25 * values.max()) or 1.0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    best = int(values.argmax())
    axes.annotate(
        f"{values[best]:.1%}",
        (axes.lines[0].get_xdata()[best], values[best]),
        xytext=(4, -16),
        textcoords="offset points",
        ha="right",
        color=_COLOURS["validation_accuracy"],
    )


def _dress_rate(axes: Axes, values: np.ndarray) -> None:
    axes.set_ylim(0.0, 1.1 * values.max() or 1.0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:.4g}"))


def _dress_speed(axes: Axes, values: np.ndarray) -> None:
    axes.set_ylim(0.0, 1.15 * values.max() or 1.0)


_DRESS = {
    "validation_accuracy": _dress_accuracy,
    "learning_rate": _dress_rate,
    "photos_per_second": _dress_speed,
}


def _say_waiting(axes: Axes, records: list[dict[str, Any]]) -> None:
    """Write below the speed how much of the time went by waiting for data."""
    _, shares = _curve(records, "data_wait")
    if len(shares):
        axes.text(
            *(0.04, 0.07, f"{shares.mean():.1%} of the time waiting for data"),
            transform=axes.transAxes,
            fontsize=9,
            color=_INK,
        )


def _reached(records: list[dict[str, Any]]) -> str:
    """Return in a few words where the training stands."""
    words = [f"step {max(record['step'] for record in records):,}"]
    epochs = [record["epoch"] for record in records if record.get("epoch") is not None]
    if epochs:
        words.append(f"epoch {max(epochs)}")
    _, losses = _curve(records, "loss")
    if len(losses):
        words.append(f"smoothed loss {smoothed(losses)[-1]:.3g}")
    return " · ".join(words)


def _finish(axes: Axes, name: str, reach: tuple[int, int]) -> None:
    axes.set_title(_TITLES[name], loc="left", fontsize=11, color=_COLOURS[name], weight="bold")
    # All panels show the same steps, so that one can look from one to another.
    margin = max(0.02 * (reach[1] - reach[0]), 1.0)
    axes.set_xlim(reach[0] - margin, reach[1] + margin)
    ticks = 10 if name == "loss" else 4
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.set_xlabel("step", color=_INK)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)


def main() -> None:
    """Draw the curve of a training from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", required=True, help="the train_<stage>.jsonl of a training")
    parser.add_argument("--output", default="training_curve.png", help="PNG (default: %(default)s)")
    parser.add_argument("--title", help="heading (default: the path of the metrics)")
    arguments = parser.parse_args()
    title = arguments.title or arguments.metrics
    LOG.info("drawn: %s", draw_curve(arguments.metrics, arguments.output, title))


if __name__ == "__main__":
    run_command(main)
