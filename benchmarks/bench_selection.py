"""Time the choice of features: the best 1,000 among 40,000 receptive fields.

    python3 benchmarks/bench_selection.py [--boxes 40000] [--keep 1000] [--repeats 20]

The fields are those of a pyramid of equal levels, the scores random. Besides the choice by score
alone, which is what extraction does by default, non-maximum suppression is timed at several
thresholds, beside that of OpenCV; both must keep the same boxes.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from src.box_list_np import BoxList
from src.box_list_ops_np import non_max_suppression, top_by_score
from src.common.errors import run_command
from src.delf_config import DelfConfig
from src.extract_utils_np import LevelSize, receptive_boxes, to_photo_pixels


def receptive_fields(count: int) -> BoxList:
    """Return `count` receptive fields over a photo of 1024×1024 pixels, at seven scales."""
    config = DelfConfig()
    side = int(np.ceil(np.sqrt(count / len(config.image_scales))))
    cells = receptive_boxes(side, side, config.receptive_field, config.stride, config.padding)
    levels = [
        to_photo_pixels(cells, LevelSize(scale, *[side * 32] * 2), *[round(side * 32 / scale)] * 2)
        for scale in config.image_scales
    ]
    return BoxList(np.concatenate(levels)[:count])


def median_ms(function: Callable[[], Any], repeats: int) -> float:
    """Return the median duration of some calls, in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description="Time the choice of features.")
    parser.add_argument("--boxes", type=int, default=40_000)
    parser.add_argument("--keep", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    boxes = receptive_fields(arguments.boxes)
    scores = np.random.default_rng(0).random(len(boxes), np.float32)
    by_score = median_ms(lambda: top_by_score(scores, arguments.keep), arguments.repeats)
    print(f"{len(boxes)} boxes, {arguments.keep} to keep")
    print(f"by score alone            {by_score:8.2f} ms")
    corners = boxes.boxes.astype(np.float64)
    sides = np.hstack((corners[:, 1::-1], corners[:, 3:1:-1] - corners[:, 1::-1]))
    for threshold in (0.95, 0.8, 0.5, 0.3):
        kept = non_max_suppression(boxes, scores, threshold, arguments.keep)
        ours = median_ms(
            lambda t=threshold: non_max_suppression(boxes, scores, t, arguments.keep),
            max(1, arguments.repeats // 4),
        )
        start = time.perf_counter()
        theirs = np.ravel(cv2.dnn.NMSBoxes(sides, scores, 0.0, threshold))[: arguments.keep]
        opencv = (time.perf_counter() - start) * 1000
        same = "same boxes" if np.array_equal(theirs, kept) else "OTHER BOXES"
        print(
            f"suppression, IoU {threshold:4.2f}     {ours:8.2f} ms, {len(kept)} kept; "
            f"OpenCV {opencv:.0f} ms, {same}"
        )


if __name__ == "__main__":
    run_command(main)
