"""The camera of the sample world: how light becomes a picture, with the flaws of lens and film."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Film:
    """How a camera turns light into a picture: exposure in stops, colour balance, flaws."""

    exposure: float
    balance: np.ndarray
    saturation: float
    contrast: float
    vignette: float
    softness: float
    noise: float
    bloom: float
    seed: int


def choose_film(rng: np.random.Generator) -> Film:
    """Return a camera's manner: exposure, colour temperature, grain and the like."""
    warm = rng.normal(0, 0.05)
    return Film(
        exposure=float(rng.normal(0.0, 0.25)),
        balance=np.array([1 + warm, 1.0, 1 - warm]),
        saturation=float(rng.uniform(0.88, 1.12)),
        contrast=float(rng.uniform(1.0, 1.15)),
        vignette=float(rng.uniform(0.1, 0.5)),
        softness=float(rng.choice([0.0, 0.35, 0.5, 0.75])),
        noise=float(rng.choice([0.006, 0.009, 0.013, 0.02])),
        bloom=float(rng.uniform(0.15, 0.45)),
        seed=int(rng.integers(1 << 30)),
    )


@functools.lru_cache(maxsize=1)
def _grain_tile() -> np.ndarray:
    """Return film grain, float32 [640, 640, 3]: partly the same in all channels."""
    rng = np.random.default_rng(9)
    grain = rng.standard_normal((640, 640, 4), dtype=np.float32)
    return 0.8 * grain[..., 3:] + 0.45 * grain[..., :3]


def _grain(seed: int, height: int, width: int) -> np.ndarray:
    """Return a piece of the grain, float32 [height, width, 3], its own for each seed."""
    tile = _grain_tile()
    y, x = np.random.default_rng(seed).integers(0, 640, 2)
    rows = (np.arange(height) + y) % 640
    columns = (np.arange(width) + x) % 640
    return tile[rows[:, None], columns[None, :]]


def develop(picture: np.ndarray, film: Film) -> np.ndarray:
    """Return an 8-bit RGB picture of linear light [h, w, 3]: lens, exposure, film curve, noise."""
    height, width = picture.shape[:2]
    luminance = picture @ np.array([0.21, 0.71, 0.08], np.float32)
    # Exposed for the brighter parts, as cameras do, though not all the way: evenings stay dark.
    key = float(np.percentile(luminance[::3, ::3], 80))
    gain = 2.0**film.exposure * 0.62 / max(key, 1e-3) ** 0.68
    light = np.clip(picture * (film.balance.astype(np.float32) * np.float32(gain)), 0, 12)
    if film.bloom > 0:
        small = cv2.resize(light, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
        glow = cv2.GaussianBlur(np.clip(small - 0.9, 0, 3), (0, 0), width / 140)
        light += film.bloom * cv2.resize(glow, (width, height))
    ys = (np.arange(height, dtype=np.float32) - height / 2) / (width / 2)
    xs = (np.arange(width, dtype=np.float32) - width / 2) / (width / 2)
    light *= (1 - film.vignette * np.add.outer(ys**2, xs**2) * 0.5)[..., None]
    if film.softness > 0.05:
        light = cv2.GaussianBlur(light, (0, 0), film.softness)
    # A filmic curve (rational fit of the kind used in cinema): soft toe, soft shoulder.
    curve = (light * (2.51 * light + 0.03)) / (light * (2.43 * light + 0.59) + 0.14)
    display = np.clip(curve, 0, 1) ** np.float32(1 / 2.2)
    grey = (display @ np.array([0.3, 0.59, 0.11], np.float32))[..., None]
    display = grey + (display - grey) * np.float32(film.saturation)
    display = (display - 0.46) * np.float32(film.contrast) + np.float32(0.46)
    level = film.noise * (1.25 - np.clip(display, 0, 1))
    display += level * _grain(film.seed, height, width)
    return np.clip(display * 255 + 0.5, 0, 255).astype(np.uint8)
