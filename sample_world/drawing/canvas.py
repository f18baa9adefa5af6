"""The canvas textures are drawn on: shapes in metres with colour, relief and glass.

The origin is at the lower left. Beside its colour each point has a height over the wall, from which
`Canvas.finish` derives normals and the darkening of recesses, so that the renderer can light the
same facade from any side.
"""

from __future__ import annotations

import cv2
import numpy as np

from sample_world.drawing.colours import Colour
from sample_world.drawing.noise import fractal_noise
from sample_world.drawing.outlines import ring
from sample_world.drawing.texture import Texture, mip_levels

SUBPIXEL_BITS = 4
MAX_TEXTURE_SIDE = 1400

Region = tuple[float, float, float, float]


class Canvas:
    """A wall to draw on, `width` × `height` metres at about `density` pixels a metre."""

    def __init__(
        self,
        rng: np.random.Generator,
        width: float,
        height: float,
        density: float = 26.0,
        colour: Colour = (0.7, 0.68, 0.62),
    ) -> None:
        self.rng = rng
        self.width = float(width)
        self.height = float(height)
        self.density = min(density, MAX_TEXTURE_SIDE / max(width, height))
        columns = max(16, round(self.width * self.density))
        rows = max(16, round(self.height * self.density))
        self.scale = (columns / self.width, rows / self.height)
        self.colour = np.empty((rows, columns, 3), np.uint8)
        self.colour[:] = np.round(np.array(colour) * 255)
        self.relief = np.zeros((rows, columns), np.float32)
        self.glass = np.zeros((rows, columns), np.uint8)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return points [n, 2] in metres as fixed-point pixel coordinates for OpenCV."""
        points = np.asarray(points, np.float64)
        x = points[:, 0] * self.scale[0] - 0.5
        y = (self.height - points[:, 1]) * self.scale[1] - 0.5
        return np.round(np.stack([x, y], 1) * (1 << SUBPIXEL_BITS)).astype(np.int32)

    def polygon(
        self,
        points: np.ndarray,
        colour: Colour | None = None,
        relief: float | None = None,
        glass: int | None = None,
    ) -> None:
        """Fill a polygon: colour (anti-aliased), height over the wall in metres, glass value."""
        pixels = [self.pixels(points)]
        if colour is not None:
            value = tuple(round(c * 255) for c in colour)
            cv2.fillPoly(self.colour, pixels, value, cv2.LINE_AA, SUBPIXEL_BITS)
        if relief is not None:
            cv2.fillPoly(self.relief, pixels, float(relief), cv2.LINE_8, SUBPIXEL_BITS)
        if glass is not None:
            cv2.fillPoly(self.glass, pixels, int(glass), cv2.LINE_8, SUBPIXEL_BITS)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, **paint) -> None:
        """Fill an upright rectangle; see `polygon` for the paint."""
        self.polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), **paint)

    def disc(self, cx: float, cy: float, radius: float, **paint) -> None:
        """Fill a circle; see `polygon` for the paint."""
        self.polygon(ring(cx, cy, radius, 40, endpoint=False), **paint)

    def trapezoid(
        self,
        cx: float,
        levels: tuple[float, float],
        halves: tuple[float, float],
        lean: float = 0.0,
        **paint,
    ) -> None:
        """Fill a trapezoid between two levels, half as wide as `halves` say at its foot and top.

        Its top is shifted by `lean`; see `polygon` for the paint.
        """
        low, high = levels
        foot, top = halves
        outline = [[cx - foot, low], [cx + foot, low], [cx + top + lean, high]]
        self.polygon(np.array([*outline, [cx - top + lean, high]]), **paint)

    def line(
        self,
        points: np.ndarray,
        thickness: float,
        colour: Colour | None = None,
        relief: float | None = None,
        glass: int | None = None,
        closed: bool = False,
    ) -> None:
        """Draw a line through points, `thickness` in metres."""
        pixels = [self.pixels(points)]
        width = max(1, round(thickness * self.scale[0]))
        if colour is not None:
            value = tuple(round(c * 255) for c in colour)
            cv2.polylines(self.colour, pixels, closed, value, width, cv2.LINE_AA, SUBPIXEL_BITS)
        if relief is not None:
            cv2.polylines(
                self.relief, pixels, closed, float(relief), width, cv2.LINE_8, SUBPIXEL_BITS
            )
        if glass is not None:
            cv2.polylines(self.glass, pixels, closed, glass, width, cv2.LINE_8, SUBPIXEL_BITS)

    def text(self, text: str, cx: float, cy: float, height: float, colour: Colour) -> None:
        """Write a line of text, centred, `height` metres tall."""
        font, pixels = cv2.FONT_HERSHEY_DUPLEX, height * self.scale[1]
        (width, tall), _ = cv2.getTextSize(text, font, 1.0, 1)
        size = pixels / tall
        origin = (
            round(cx * self.scale[0] - width * size / 2),
            round((self.height - cy) * self.scale[1] + pixels / 2),
        )
        value = tuple(round(c * 255) for c in colour)
        cv2.putText(
            self.colour, text, origin, font, size, value, max(1, round(size * 1.6)), cv2.LINE_AA
        )

    def region(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice]:
        """Return the rows and columns of an upright rectangle, cut off at the canvas's edges."""
        rows, columns = self.relief.shape
        left, right = (int(np.clip(round(x * self.scale[0]), 0, columns)) for x in (x0, x1))
        top, bottom = (
            int(np.clip(round((self.height - y) * self.scale[1]), 0, rows)) for y in (y1, y0)
        )
        return slice(top, bottom), slice(left, right)

    def finish(
        self,
        weathering: float = 0.08,
        repeat: bool = False,
        alpha: np.ndarray | None = None,
        bump: float = 1.0,
    ) -> Texture:
        """Return the texture: weathered colour, normals and occlusion out of the relief.

        `weathering` is the depth of stains and streaks, `bump` exaggerates the relief and `alpha`
        (uint8 [h, w]) cuts the texture out.
        """
        colour = self._weathered(weathering)
        relief = cv2.GaussianBlur(self.relief, (0, 0), 0.8)
        occlusion = self._occlusion(relief, repeat)
        slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) / 8 * self.density * bump
        slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3) / 8 * self.density * bump
        length = np.sqrt(1 + slope_x**2 + slope_y**2)
        detail = np.empty((*relief.shape, 4), np.uint8)
        detail[..., 0] = np.clip(128 - 120 * slope_x / length, 0, 255)
        # Image rows run downwards, the texture's second axis upwards.
        detail[..., 1] = np.clip(128 + 120 * slope_y / length, 0, 255)
        detail[..., 2] = self.glass
        detail[..., 3] = np.round(occlusion * 255)
        return Texture(
            mip_levels(colour),
            mip_levels(detail),
            None if alpha is None else mip_levels(alpha),
            repeat,
        )

    def _weathered(self, weathering: float) -> np.ndarray:
        """Return the colour, uint8 [h, w, 3], with stains, streaks and grain; less on glass."""
        rows, columns = self.relief.shape
        colour = self.colour.astype(np.float32)
        if weathering > 0:
            patches = fractal_noise(self.rng, rows, columns, cells=3, octaves=5)
            streaks = fractal_noise(self.rng, rows, columns, cells=24, octaves=3, stretch=7)
            grain = self.rng.standard_normal((rows, columns), dtype=np.float32)
            factor = 1 + weathering * (
                0.55 * patches + 0.4 * np.minimum(streaks, 0.5) + 0.3 * grain
            )
            factor = np.where(self.glass > 0, 1 + (factor - 1) * 0.3, factor)
            colour *= factor[..., None]
        return np.clip(colour, 3, 252).astype(np.uint8)

    def _occlusion(self, relief: np.ndarray, repeat: bool) -> np.ndarray:
        """Return how much of the sky each point sees, float32 [h, w], 1 on open wall."""
        rows = len(relief)
        # Recesses see less of the sky: their surroundings stand out above them.
        wide = cv2.GaussianBlur(relief, (0, 0), max(1.0, 0.35 * self.density))
        occlusion = 1 - 1.3 * np.clip(wide - relief, 0, 0.5)
        for reach in (0.12, 0.3, 0.7):
            shift = max(1, round(reach * self.density))
            if shift >= rows:
                continue
            above = np.empty_like(relief)
            above[shift:] = relief[:-shift]
            above[:shift] = relief[:shift] if not repeat else relief[-shift:]
            occlusion -= 0.32 * np.clip((above - relief) / (reach + 0.15), 0, 1)
        return np.clip(occlusion, 0.25, 1.0)
