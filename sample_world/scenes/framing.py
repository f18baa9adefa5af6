"""Where the camera stands and what its picture holds."""

from __future__ import annotations

import numpy as np

from sample_world.modelling.mesh import Mesh
from sample_world.rendering.camera import Camera


def choose_camera(
    rng: np.random.Generator,
    landmark: Mesh,
    size: tuple[int, int],
    spread: float = 60.0,
    farthest: float = 4.0,
) -> Camera:
    """Return a camera before a landmark.

    It stands up to `spread` degrees aside, at 1 to `farthest` times the distance from which a
    wide-angle lens takes everything in.
    """
    height = float(landmark.points[:, 2].max())
    half = np.abs(landmark.points[:, :2]).max(0)
    turn = np.deg2rad(rng.uniform(-spread, spread))
    aside = abs(np.cos(turn)) * half[0] + abs(np.sin(turn)) * half[1]
    width, tall = size
    # How far one must stand for a wide-angle lens to take it all in.
    span = max(height / tall, 2 * aside / width) * max(size)
    nearest = 0.85 * span + float(np.hypot(*half)) * 0.55
    distance = nearest * float(np.exp(rng.uniform(0, np.log(farthest))))
    eye_height = float(rng.choice([1.65, 1.7, 1.8, 3.5, 9.0], p=[0.3, 0.3, 0.2, 0.12, 0.08]))
    place = np.array([np.sin(turn) * distance, -np.cos(turn) * distance, eye_height])
    share = float(rng.uniform(0.5, 0.97))
    if distance > 2 * nearest:
        share = float(rng.uniform(0.3, 0.9))
    focal = share * max(size) * (distance - float(min(half))) / span
    focal = float(np.clip(focal, 0.6 * max(size), 4.0 * max(size)))
    slack = max(0.0, 1 - share)
    # The foot of the landmark comes to the lower part of the picture, if its top allows.
    metres = tall * (distance - float(min(half))) / focal
    level = max(height - metres * 0.46, min(metres * float(rng.uniform(0.14, 0.32)), height * 0.6))
    target = np.array([rng.normal(0, 0.5) * slack * aside, 0.0, level])
    return Camera.looking(place, target, focal, size, float(rng.normal(0, 0.012)))
