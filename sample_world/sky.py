"""Light and sky of the sample world: sun, haze, clouds and hills, by the hour and the weather."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from sample_world.textures import fractal_noise

# As often as they stand here; by day and in clear air first.
MOODS = ("clear", "clear", "fair", "fair", "overcast", "golden", "haze", "evening")

_REMAP_ROW = 256


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
    elevation = np.deg2rad(
        {
            "golden": rng.uniform(9, 20),
            "evening": rng.uniform(4, 8),
            "haze": rng.uniform(20, 45),
        }.get(mood, rng.uniform(26, 62))
    )
    azimuth = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.75:
        # Mostly behind the photographer, who stands in the south (negative y), and to one side.
        azimuth = -np.pi / 2 + rng.choice([-1, 1]) * rng.uniform(0.35, 1.35)
    sun = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    warmth = float(np.clip((np.deg2rad(38) - elevation) / np.deg2rad(38), 0, 1))
    sun_colour = np.array([3.6, 3.45 - 0.95 * warmth, 3.15 - 2.0 * warmth])
    zenith = np.array([0.13, 0.29, 0.68]) * rng.uniform(0.8, 1.15)
    horizon = np.array([0.66, 0.79, 0.93])
    cover = {
        "clear": rng.uniform(0.05, 0.3),
        "fair": rng.uniform(0.35, 0.6),
        "golden": rng.uniform(0.25, 0.6),
        "overcast": rng.uniform(0.9, 1.1),
        "haze": rng.uniform(0.2, 0.5),
        "evening": rng.uniform(0.2, 0.65),
    }[mood]
    ambient = np.array([0.42, 0.52, 0.72])
    haze, evening = float(rng.uniform(0.0002, 0.0008)), 0.0
    if mood == "golden":
        horizon = np.array([0.98, 0.72, 0.48])
        zenith = np.array([0.19, 0.31, 0.6])
        ambient = np.array([0.36, 0.37, 0.5])
        haze = float(rng.uniform(0.0003, 0.001))
    elif mood == "overcast":
        grey = rng.uniform(0.65, 0.95)
        sun_colour = sun_colour * rng.uniform(0.02, 0.14)
        zenith, horizon = np.full(3, 0.62 * grey), np.array([0.82, 0.85, 0.88]) * grey
        ambient = np.array([0.95, 1.0, 1.08]) * grey
        haze = float(rng.uniform(0.0003, 0.0012))
    elif mood == "haze":
        sun_colour = sun_colour * 0.8
        zenith, horizon = np.array([0.36, 0.5, 0.7]), np.array([0.86, 0.88, 0.88])
        haze = float(rng.uniform(0.0011, 0.0025))
    elif mood == "evening":
        evening = float(rng.uniform(0.65, 1.0))
        # After sunset the sun's own light is gone; a faint warm glow remains at its side.
        sun_colour = np.array([0.22, 0.13, 0.11])
        zenith = np.array([0.02, 0.05, 0.16]) * rng.uniform(0.7, 1.2)
        afterglow = float(rng.uniform(0, 1))  # from blue dusk to a red horizon
        horizon = np.array([0.11, 0.15, 0.26]) + afterglow * np.array([0.27, 0.09, -0.05])
        ambient = np.array([0.08, 0.11, 0.19])
        haze = float(rng.uniform(0.0003, 0.0008))
    bounce = (sun_colour * sun[2] * 0.14 + ambient * 0.3) * np.array([1.05, 1.0, 0.9])
    return Light(
        sun=sun,
        sun_colour=sun_colour,
        zenith=zenith,
        horizon=horizon,
        ambient=ambient,
        bounce=bounce,
        haze=haze,
        evening=evening,
        cloud_cover=float(cover),
        cloud_scale=float(rng.uniform(0.7, 1.5)),
        hills=float(rng.choice([0.0, 0.6, 1.0, 1.6])),
        seed=int(rng.integers(1 << 30)),
    )


def sample_image(image: np.ndarray, map_x: np.ndarray, map_y: np.ndarray) -> np.ndarray:
    """Read an image at many points (1-D arrays of columns and rows), wrapping at its borders."""
    count = len(map_x)
    padding = -count % _REMAP_ROW
    if padding:
        map_x = np.concatenate([map_x, np.zeros(padding, np.float32)])
        map_y = np.concatenate([map_y, np.zeros(padding, np.float32)])
    shape = (-1, _REMAP_ROW)
    found = cv2.remap(
        image, map_x.reshape(shape), map_y.reshape(shape), cv2.INTER_LINEAR, None, cv2.BORDER_WRAP
    )
    return found.reshape(-1, *image.shape[2:])[:count]


@functools.lru_cache(maxsize=8)
def _sky_noise(number: int, side: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return one of the cloud fields [side, side], a forest's mottling, and three ridge lines."""
    rng = np.random.default_rng([number, 71])
    clouds = fractal_noise(rng, side, side, cells=5, octaves=6)
    ridges = [fractal_noise(rng, 2, 2048, cells=9 + 7 * layer, octaves=7)[0] for layer in range(3)]
    return clouds, fractal_noise(rng, 256, 1024, cells=90, octaves=4), ridges


class Sky:
    """The sky of one picture: gradient, sun glow, clouds and distant hills, by direction."""

    SIDE = 512

    def __init__(self, light: Light) -> None:
        self.light = light
        self.shift = np.random.default_rng(light.seed).random(2).astype(np.float32) * self.SIDE
        self.clouds, self.forest, ridges = _sky_noise(light.seed % 8, self.SIDE)
        self.ridges = [
            (light.hills * height * (1 + 0.45 * ridge)).astype(np.float32)
            for height, ridge in zip((0.055, 0.04, 0.022), ridges)
        ]

    def colour(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, hills: bool = True) -> np.ndarray:
        """Return linear RGB [3, n] of the sky seen along unit directions x, y, z [n] each."""
        light = self.light
        above = np.clip(z, 0.0, 1.0)
        t = 1 - np.exp(-above * 3.2)
        glow = np.clip(x * light.sun[0] + y * light.sun[1] + z * light.sun[2], 0, 1)
        result = np.empty((3, len(x)), np.float32)
        halo = 0.35 * glow**8 + 1.2 * glow**90 + 6.0 * glow**1800
        halo = halo * np.float32(1 - 0.85 * light.cloud_cover)
        for channel in range(3):
            low, high = light.horizon[channel], light.zenith[channel]
            result[channel] = low + (high - low) * t + light.sun_colour[channel] * 0.16 * halo
        density, bright = self._clouds(x, y, above)
        for channel in range(3):
            lit = light.ambient[channel] * 0.75 + light.sun_colour[channel] * 0.36 * bright
            result[channel] += (lit - result[channel]) * density
        if hills and light.hills > 0:
            self._hills(result, x, y, z)
        return result

    def _clouds(
        self, x: np.ndarray, y: np.ndarray, above: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        light = self.light
        far = light.cloud_scale / (above + 0.13)
        map_x = np.mod(x * far * 120 + self.shift[0], self.SIDE).astype(np.float32)
        map_y = np.mod(y * far * 120 + self.shift[1], self.SIDE).astype(np.float32)
        noise = sample_image(self.clouds, map_x, map_y)
        towards = light.sun[:2] / (np.linalg.norm(light.sun[:2]) + 1e-6) * 9
        beyond = sample_image(
            self.clouds,
            np.mod(map_x + np.float32(towards[0]), self.SIDE),
            np.mod(map_y + np.float32(towards[1]), self.SIDE),
        )
        threshold = 1.5 - 3.2 * light.cloud_cover
        density = np.clip((noise - threshold) / 1.1, 0, 1)
        density = density * density * (3 - 2 * density)
        density = density * np.clip(above * 9 + 0.12, 0, 1) * np.float32(0.92)
        thick = np.clip((noise - threshold) / 2.6, 0, 1)
        bright = np.clip(1.05 + 0.38 * (noise - beyond) - 0.75 * thick, 0.12, 1.5)
        return density.astype(np.float32), bright.astype(np.float32)

    def _hills(self, result: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
        light = self.light
        azimuth = np.arctan2(y, x) / (2 * np.pi) + 0.5
        column = np.clip((azimuth * 2048).astype(np.int32), 0, 2047)
        texture = sample_image(
            self.forest,
            np.mod(azimuth * 1024 * 6, 1024).astype(np.float32),
            np.mod(z * 1500, 256).astype(np.float32),
        )
        greens = ((0.075, 0.11, 0.05), (0.065, 0.1, 0.045), (0.05, 0.085, 0.03))
        power = light.ambient * 0.8 + light.sun_colour * max(0.15, float(light.sun[2])) * 0.5
        for layer, ridge in enumerate(self.ridges):
            edge = np.clip((ridge[column] - z) * 700, 0, 1)
            veil = np.exp(-light.haze * (2600, 1300, 600)[layer])
            for channel in range(3):
                ground = greens[layer][channel] * power[channel] * (1 + 0.22 * texture)
                seen = light.horizon[channel] * (1 - veil) + ground * veil
                result[channel] += (seen - result[channel]) * edge
