"""Flat cut-outs that turn to whoever looks: trees, bushes, people."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from sample_world.drawing.canvas import SUBPIXEL_BITS, Canvas
from sample_world.drawing.colours import Colour
from sample_world.drawing.texture import Texture
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import Mesh


@dataclass(frozen=True)
class Sprite:
    """A flat cut-out that always faces the camera, `width` × `height` metres."""

    texture: Texture
    width: float
    height: float

    @functools.cached_property
    def upright(self) -> tuple[Mesh, Mesh]:
        """The cut-out at the origin, looking towards negative y, and its mirror image."""
        half, meshes = self.width / 2, []
        for span in ((0.0, 0.0, 1.0, 1.0), (1.0, 0.0, 0.0, 1.0)):
            b = MeshBuilder()
            b.wall((-half, 0), (half, 0), -0.03, self.height, self.texture, span, two_sided=True)
            meshes.append(b.build())
        return meshes[0], meshes[1]

    def facing(
        self,
        x: float,
        y: float,
        towards: np.ndarray,
        scale: float = 1.0,
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
        mirror: bool = False,
    ) -> Mesh:
        """Return the sprite standing at x, y, turned towards a point [2 or 3]."""
        turn = float(np.arctan2(towards[1] - y, towards[0] - x)) + np.pi / 2
        return self.upright[mirror].placed(x, y, 0.0, turn, scale, tint)


@dataclass(frozen=True)
class CutOut:
    """A canvas of which only what is drawn remains; alpha is uint8 [h, w]."""

    canvas: Canvas
    alpha: np.ndarray

    @staticmethod
    def blank(
        rng: np.random.Generator, width: float, height: float, density: float, colour: Colour
    ) -> CutOut:
        """Return an empty one, of a colour that shows at the edges of what is drawn."""
        canvas = Canvas(rng, width, height, density, colour)
        return CutOut(canvas, np.zeros(canvas.relief.shape, np.uint8))

    def limb(self, points: list[list[float]], thick: float, colour: Colour) -> None:
        """Draw a branch, an arm or a leg along points, `thick` metres."""
        pixels = [self.canvas.pixels(np.array(points))]
        width = max(1, round(thick * self.canvas.scale[0]))
        value = tuple(round(c * 255) for c in colour)
        for image, paint in ((self.canvas.colour, value), (self.alpha, 255)):
            cv2.polylines(image, pixels, False, paint, width, cv2.LINE_AA, SUBPIXEL_BITS)

    def mass(self, points: np.ndarray, colour: Colour) -> None:
        """Fill an outline [n, 2]."""
        self.canvas.polygon(points, colour=colour)
        pixels = [self.canvas.pixels(points)]
        cv2.fillPoly(self.alpha, pixels, 255, cv2.LINE_AA, SUBPIXEL_BITS)

    def sprite(self, weathering: float = 0.0, bump: float = 1.0) -> Sprite:
        """Return the finished sprite, of the canvas's size."""
        texture = self.canvas.finish(weathering, alpha=self.alpha, bump=bump)
        return Sprite(texture, self.canvas.width, self.canvas.height)
