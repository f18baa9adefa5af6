"""A pinhole camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. Pixel centres have whole coordinates, as in OpenCV.

    position [3] in metres; rotation [3, 3] from world axes to camera axes (x right, y down, z
    forward); focal length and principal point in pixels; size (width, height) in pixels.
    """

    position: np.ndarray
    rotation: np.ndarray
    focal: float
    centre: tuple[float, float]
    size: tuple[int, int]

    @staticmethod
    def looking(
        position: np.ndarray,
        target: np.ndarray,
        focal: float,
        size: tuple[int, int],
        roll: float = 0.0,
    ) -> Camera:
        """Return a camera that sees `target` in the middle of its picture; roll in radians."""
        position = np.asarray(position, np.float64)
        forward = np.asarray(target, np.float64) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        cos, sin = np.cos(roll), np.sin(roll)
        rotation = np.stack([cos * right + sin * down, cos * down - sin * right, forward])
        return Camera(
            position, rotation, focal, ((size[0] - 1) / 2, (size[1] - 1) / 2), (size[0], size[1])
        )

    def scaled(self, factor: float) -> Camera:
        """Return the camera of a picture with `factor` times the pixels along each side."""
        width, height = (max(1, round(side * factor)) for side in self.size)
        centre = tuple((c + 0.5) * factor - 0.5 for c in self.centre)
        return Camera(self.position, self.rotation, self.focal * factor, centre, (width, height))

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Return points [n, 3] in camera axes."""
        moved = points - self.position
        return (moved[:, None, :] * self.rotation[None]).sum(2)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the pixel coordinates [n, 2] of points [n, 3] in front of the camera."""
        seen = self.to_camera(np.asarray(points, np.float64))
        return seen[:, :2] / seen[:, 2:] * self.focal + np.array(self.centre)

    def pixel_matrix(self) -> np.ndarray:
        """Return [3, 3] taking (x, y, 1) of a pixel to its viewing ray with depth 1."""
        return np.array(
            [
                [1 / self.focal, 0, -self.centre[0] / self.focal],
                [0, 1 / self.focal, -self.centre[1] / self.focal],
                [0, 0, 1],
            ]
        )
