"""A place that is being furnished, and the view of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_world.drawing.texture import Texture
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import Mesh, join
from sample_world.street.sprite import Sprite


@dataclass
class Place:
    """A scene as it grows: solid meshes, and cut-outs with where they stand."""

    solids: list[Mesh]
    sprites: list[tuple[Sprite, float, float, float, tuple[float, float, float], bool]]
    taken: list[tuple[float, float, float]]

    def free(self, x: float, y: float, radius: float) -> bool:
        """Say whether a circle on the ground touches nothing placed so far."""
        return all(np.hypot(x - a, y - b) > radius + r for a, b, r in self.taken)

    def stand(
        self, rng: np.random.Generator, sprite: Sprite, x: float, y: float, scale: float = 1.0
    ) -> None:
        """Add a cut-out at a place, a little different each time."""
        brightness = float(rng.uniform(0.8, 1.2))
        hue = float(rng.normal(0, 0.05))
        tint = (brightness * (1 + hue), brightness, brightness * (1 - hue))
        self.sprites.append((sprite, x, y, scale, tint, bool(rng.random() < 0.5)))

    def cover(self, x0: float, y0: float, x1: float, y1: float, z: float, texture: Texture) -> None:
        """Lay ground over a rectangle, z above what lies there."""
        b = MeshBuilder()
        b.tiled([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], texture, (8.0, 8.0))
        self.solids.append(b.build().placed())

    def mesh(self, towards: np.ndarray) -> Mesh:
        """Return everything, cut-outs turned towards a point."""
        flat = [
            sprite.facing(x, y, towards, scale, tint, mirror)
            for sprite, x, y, scale, tint, mirror in self.sprites
        ]
        return join([*self.solids, *flat])


@dataclass(frozen=True)
class View:
    """A line of sight over the ground, in metres.

    eye and goal [2] are its ends; direction and across [2] are of unit length, along it and to its
    left. extent is half the width and depth that are kept free around the origin.
    """

    eye: np.ndarray
    goal: np.ndarray
    length: float
    direction: np.ndarray
    across: np.ndarray
    extent: tuple[float, float]

    @staticmethod
    def between(eye: np.ndarray, goal: np.ndarray, extent: tuple[float, float]) -> View:
        """Return the view from eye to goal."""
        direction = goal - eye
        length = float(np.linalg.norm(direction))
        direction = direction / max(length, 1e-6)
        across = np.array([-direction[1], direction[0]])
        return View(eye, goal, length, direction, across, extent)

    @property
    def reach(self) -> float:
        """The larger half side of what is kept free."""
        return max(self.extent)

    def clearance(self, x: float, y: float) -> tuple[float, float]:
        """Return how far a place is from the line, and how far it must be there to be clear."""
        along = self.goal - self.eye
        point = np.array([x, y])
        share = float(np.clip((point - self.eye) @ along / max(1e-9, along @ along), 0, 1))
        distance = float(np.linalg.norm(point - self.eye - share * along))
        return distance, 2.0 + share * self.reach * 1.05

    def from_eye(self, x: float, y: float) -> float:
        """Return how far a place is from the camera."""
        return np.hypot(x - self.eye[0], y - self.eye[1])

    def outside(self, x: float, y: float, gap: float) -> bool:
        """Say whether a place is more than a gap away from what is kept free."""
        return abs(x) > self.extent[0] + gap or abs(y) > self.extent[1] + gap
