"""The sky of a picture: gradient, glow, clouds and distant hills."""

from __future__ import annotations

import functools

import numpy as np

from sample_world.drawing.noise import fractal_noise
from sample_world.rendering.light import Light
from sample_world.rendering.sampling import sample_image


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
