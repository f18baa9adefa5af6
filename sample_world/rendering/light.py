"""Light by the hour and the weather: sun, colours of the sky, haze."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

# As often as they stand here; by day and in clear air first.
MOODS = ("clear", "clear", "fair", "fair", "overcast", "golden", "haze", "evening")


@dataclass(frozen=True)
class Light:
    """What lights a scene, in linear RGB: see `choose_light`.

    sun [3] points at the sun; haze is the fog's density a metre; `evening` (0 … 1) lights windows
    and lamps; cloud_cover 0 … 1; seed draws the clouds and hills.
    """

    sun: np.ndarray
    sun_colour: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    ambient: np.ndarray
    bounce: np.ndarray
    haze: float
    evening: float
    cloud_cover: float
    cloud_scale: float
    hills: float
    seed: int


def choose_light(rng: np.random.Generator, moods: tuple[str, ...] = MOODS) -> Light:
    """Return the light of an hour, of one of the moods: noon, low sun, overcast, haze, evening."""
    mood = str(rng.choice(moods))
    sun, warmth = _place_sun(rng, mood)
    sun_colour = np.array([3.6, 3.45 - 0.95 * warmth, 3.15 - 2.0 * warmth])
    zenith = np.array([0.13, 0.29, 0.68]) * rng.uniform(0.8, 1.15)
    cover = _cloud_cover(rng, mood)
    air = _Air(
        sun_colour=sun_colour,
        zenith=zenith,
        horizon=np.array([0.66, 0.79, 0.93]),
        ambient=np.array([0.42, 0.52, 0.72]),
        haze=float(rng.uniform(0.0002, 0.0008)),
        evening=0.0,
    )
    if mood in _AIR_OF_MOOD:
        air = _AIR_OF_MOOD[mood](rng, air)
    bounce = (air.sun_colour * sun[2] * 0.14 + air.ambient * 0.3) * np.array([1.05, 1.0, 0.9])
    return Light(
        sun=sun,
        sun_colour=air.sun_colour,
        zenith=air.zenith,
        horizon=air.horizon,
        ambient=air.ambient,
        bounce=bounce,
        haze=air.haze,
        evening=air.evening,
        cloud_cover=cover,
        cloud_scale=float(rng.uniform(0.7, 1.5)),
        hills=float(rng.choice([0.0, 0.6, 1.0, 1.6])),
        seed=int(rng.integers(1 << 30)),
    )


def _place_sun(rng: np.random.Generator, mood: str) -> tuple[np.ndarray, float]:
    """Return the direction [3] of the sun, and how warm (0 … 1) its height makes its light."""
    heights = {
        "golden": rng.uniform(9, 20),
        "evening": rng.uniform(4, 8),
        "haze": rng.uniform(20, 45),
    }
    elevation = np.deg2rad(heights.get(mood, rng.uniform(26, 62)))
    azimuth = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.75:
        # Mostly behind the photographer, who stands in the south (negative y), and to one side.
        azimuth = -np.pi / 2 + rng.choice([-1, 1]) * rng.uniform(0.35, 1.35)
    x, y = np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth)
    warmth = float(np.clip((np.deg2rad(38) - elevation) / np.deg2rad(38), 0, 1))
    return np.array([x, y, np.sin(elevation)]), warmth


def _cloud_cover(rng: np.random.Generator, mood: str) -> float:
    """Return the share of the sky under clouds; every mood draws, whichever is asked for."""
    covers = {
        "clear": rng.uniform(0.05, 0.3),
        "fair": rng.uniform(0.35, 0.6),
        "golden": rng.uniform(0.25, 0.6),
        "overcast": rng.uniform(0.9, 1.1),
        "haze": rng.uniform(0.2, 0.5),
        "evening": rng.uniform(0.2, 0.65),
    }
    return float(covers[mood])


@dataclass(frozen=True)
class _Air:
    """What the mood decides; see `Light`."""

    sun_colour: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    ambient: np.ndarray
    haze: float
    evening: float


def _golden(rng: np.random.Generator, air: _Air) -> _Air:
    return replace(
        air,
        horizon=np.array([0.98, 0.72, 0.48]),
        zenith=np.array([0.19, 0.31, 0.6]),
        ambient=np.array([0.36, 0.37, 0.5]),
        haze=float(rng.uniform(0.0003, 0.001)),
    )


def _overcast(rng: np.random.Generator, air: _Air) -> _Air:
    grey = rng.uniform(0.65, 0.95)
    return replace(
        air,
        sun_colour=air.sun_colour * rng.uniform(0.02, 0.14),
        zenith=np.full(3, 0.62 * grey),
        horizon=np.array([0.82, 0.85, 0.88]) * grey,
        ambient=np.array([0.95, 1.0, 1.08]) * grey,
        haze=float(rng.uniform(0.0003, 0.0012)),
    )


def _hazy(rng: np.random.Generator, air: _Air) -> _Air:
    return replace(
        air,
        sun_colour=air.sun_colour * 0.8,
        zenith=np.array([0.36, 0.5, 0.7]),
        horizon=np.array([0.86, 0.88, 0.88]),
        haze=float(rng.uniform(0.0011, 0.0025)),
    )


def _evening(rng: np.random.Generator, air: _Air) -> _Air:
    lit = float(rng.uniform(0.65, 1.0))
    zenith = np.array([0.02, 0.05, 0.16]) * rng.uniform(0.7, 1.2)
    afterglow = float(rng.uniform(0, 1))  # from blue dusk to a red horizon
    return replace(
        air,
        # After sunset the sun's own light is gone; a faint warm glow remains at its side.
        sun_colour=np.array([0.22, 0.13, 0.11]),
        zenith=zenith,
        horizon=np.array([0.11, 0.15, 0.26]) + afterglow * np.array([0.27, 0.09, -0.05]),
        ambient=np.array([0.08, 0.11, 0.19]),
        haze=float(rng.uniform(0.0003, 0.0008)),
        evening=lit,
    )


_AIR_OF_MOOD = {"golden": _golden, "overcast": _overcast, "haze": _hazy, "evening": _evening}
