"""Smooth noise: the patches of plaster, the streaks of rain, clouds and grass."""

from __future__ import annotations

import cv2
import numpy as np


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    cells: float = 4.0,
    octaves: int = 4,
    stretch: float = 1.0,
) -> np.ndarray:
    """Return smooth tileable noise, float32 [height, width], zero mean, about unit deviation.

    `cells` is the number of bumps of the coarsest octave along the longer side; `stretch` above 1
    draws the bumps out vertically.
    """
    longest = max(height, width)
    if longest >= 256 and cells * 2**octaves * 4 <= longest:
        # Nothing in it is so fine that half the resolution would not do.
        half = fractal_noise(rng, (height + 1) // 2, (width + 1) // 2, cells, octaves, stretch)
        return cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        rows = max(2, round(cells * height / longest * 2**octave / stretch))
        columns = max(2, round(cells * width / longest * 2**octave))
        if rows > height or columns > width:
            break
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        padded = np.pad(grid, 2, mode="wrap")
        step_y, step_x = height / rows, width / columns
        size = (round(step_x * (columns + 4)), round(step_y * (rows + 4)))
        fine = cv2.resize(padded, size, interpolation=cv2.INTER_CUBIC)
        y0, x0 = round(2 * step_y), round(2 * step_x)
        total += fine[y0 : y0 + height, x0 : x0 + width] * np.float32(0.55**octave)
    return total / max(1e-6, float(total.std()))
