"""Skyscrapers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_world.buildings.style import Style
from sample_world.drawing.canvas import Canvas
from sample_world.drawing.colours import Colour, shade, vary
from sample_world.drawing.materials import metal_texture, stone_texture
from sample_world.drawing.surfaces import masonry, plaster
from sample_world.drawing.texture import Texture
from sample_world.modelling.bodies import box, frustum
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import LANDMARK, Mesh

_GLASS: tuple[Colour, ...] = (
    (0.16, 0.24, 0.32),
    (0.2, 0.26, 0.24),
    (0.3, 0.24, 0.16),
    (0.12, 0.14, 0.2),
)
_METALS: tuple[Colour, ...] = (
    (0.78, 0.79, 0.8),
    (0.3, 0.31, 0.33),
    (0.66, 0.52, 0.36),
    (0.85, 0.84, 0.8),
)


def skyscraper(rng: np.random.Generator, style: Style) -> Mesh:
    """A modern tower of glass and metal: stepped, twisted or tapered, on a podium."""
    b = MeshBuilder(LANDMARK)
    w, h = rng.uniform(13, 17), rng.uniform(52, 72)
    tint = _GLASS[int(rng.integers(4))]
    metal = vary(rng, _METALS[int(rng.integers(4))], 0.04)
    skin = _Skin(rng, tint, metal, int(rng.integers(4)))
    podium_h = rng.uniform(7, 10)
    podium = _podium(rng, style, w * 1.8, podium_h, tint, metal)
    stone = stone_texture(rng, shade(style.trim, 0.9), 1.0)
    box(b, -w * 0.9, -w * 0.8, w * 0.9, w * 0.8, 0, podium_h, podium.finish(0.05), top=stone)
    shape = int(rng.integers(4))
    if shape == 0:
        _stepped(b, skin, w, podium_h, h, stone)
    elif shape == 1:
        front = skin.curtain(w * 0.9, h - podium_h)
        radii, square = (w * 0.72, w * 0.42), np.pi / 4
        frustum(b, 0, 0, radii, (podium_h, h), 4, front, wraps=4, turn=square, cap=stone)
        top_t = metal_texture(rng, metal)
        frustum(b, 0, 0, (w * 0.42, 0), (h, h + 9), 4, top_t, (6, 6), turn=square)
    elif shape == 2:
        _twisted(b, skin, w, podium_h, h, stone)
    else:
        _twin(b, skin, style, w, podium_h, h, stone)
    return b.build()


@dataclass(frozen=True)
class _Skin:
    """The glass and metal of one tower.

    `pattern` says what breaks the rows of panes: 0 pillars, 1 blank floors, 2 blank squares,
    3 braces from side to side.
    """

    rng: np.random.Generator
    tint: Colour
    metal: Colour
    pattern: int

    def curtain(self, width: float, height: float) -> Texture:
        """Return a curtain wall."""
        rng = self.rng
        canvas = Canvas(rng, width, height)
        plaster(canvas, self.metal, 0.01)
        floor, bay = rng.uniform(1.7, 2.3), rng.uniform(1.0, 1.5)
        rows, columns = max(1, round(height / floor)), max(1, round(width / bay))
        floor, bay = height / rows, width / columns
        for row in range(rows):
            for column in range(columns):
                if not self._blank(row, column):
                    self._pane(canvas, column * bay, row * floor, bay, floor)
        if self.pattern == 0:
            for column in range(0, columns + 1, 2):
                x = column * bay
                paint = shade(self.metal, 1.1)
                canvas.rectangle(x - 0.14, 0, x + 0.14, height, colour=paint, relief=0.3)
        if self.pattern == 3:
            self._braces(canvas)
        return canvas.finish(0.03, repeat=True)

    def _blank(self, row: int, column: int) -> bool:
        if self.pattern == 2:
            return (row // 2 + column // 2) % 4 == 0
        return self.pattern == 1 and row % 8 == 7

    def _pane(self, canvas: Canvas, x: float, y: float, bay: float, floor: float) -> None:
        rng = self.rng
        tone = shade(vary(rng, self.tint, 0.03), float(rng.uniform(0.75, 1.3)))
        canvas.rectangle(
            x + 0.09,
            y + (0.5 if self.pattern != 3 else 0.12),
            x + bay - 0.06,
            y + floor - 0.08,
            colour=tone,
            relief=-0.12,
            glass=int(rng.integers(60, 255)),
        )

    def _braces(self, canvas: Canvas) -> None:
        width, step = canvas.width, canvas.width / 2
        for k in range(0, int(canvas.height / step) + 2, 2):
            low, high = k * step, (k + 2) * step
            for ends in ([[0, low], [width, high]], [[width, low], [0, high]]):
                canvas.line(np.array(ends), 0.55, shade(self.metal, 1.1), 0.3)


def _podium(
    rng: np.random.Generator, style: Style, width: float, height: float, tint: Colour, metal: Colour
) -> Canvas:
    """Draw the foot of the tower: shop windows under a name."""
    podium = Canvas(rng, width, height)
    masonry(podium, shade(style.trim, 0.9), 1.2, 2.2, 0.03)
    for x in np.arange(1.5, width - 2, 2.6):
        top = height - 2.2
        podium.rectangle(x, 0.4, x + 2.1, top, colour=tint, relief=-0.2, glass=210)
        podium.line(np.array([[x + 1.05, 0.4], [x + 1.05, top]]), 0.1, metal, -0.1, 0)
    name = str(rng.choice(["MUSEUM", "FORUM", "ATLAS", "CENTRAL", "AURORA", "METRO"]))
    podium.text(name, width / 2, height - 1.1, 1.1, shade(metal, 0.35))
    return podium


def _stepped(b: MeshBuilder, skin: _Skin, w: float, foot: float, h: float, stone: Texture) -> None:
    """Build three blocks, each narrower than the one below, and a mast."""
    z, width = foot, w
    for share in (0.45, 0.3, 0.25):
        top = z + (h - foot) * share
        front = skin.curtain(width, top - z)
        half = width / 2
        box(b, -half, -half, half, half, z, top, front, top=stone)
        z, width = top, width * skin.rng.uniform(0.66, 0.82)
    frustum(b, 0, 0, (0.7, 0.1), (z, z + 12), 6, stone, (6, 6))


def _twisted(b: MeshBuilder, skin: _Skin, w: float, foot: float, h: float, stone: Texture) -> None:
    """Build six drums that turn and taper, under a cap."""
    cap = skin.curtain(w * 0.8, (h - foot) / 2)
    z, turn, r = foot, np.pi / 8, w * 0.58
    for _ in range(6):
        top = z + (h - foot) / 6
        part = skin.curtain(w * 0.45, top - z)
        frustum(b, 0, 0, (r, r * 0.93), (z, top), 8, part, wraps=8, turn=turn, cap=stone)
        z, r, turn = top, r * 0.92, turn + np.pi / 16
    frustum(b, 0, 0, (r, r * 0.3), (z, z + 4), 8, cap, (6, 6), turn=turn)


def _twin(
    b: MeshBuilder, skin: _Skin, style: Style, w: float, foot: float, h: float, stone: Texture
) -> None:
    """Build two slabs side by side, the left one higher, with a coloured band."""
    left, right = skin.curtain(w * 0.5, h - foot), skin.curtain(w * 0.8, (h - foot) * 0.8)
    box(b, -w * 0.5, -w * 0.4, 0, w * 0.4, foot, h, left, right, stone)
    top = foot + (h - foot) * 0.8
    box(b, 0, -w * 0.32, w * 0.46, w * 0.32, foot, top, right, left, stone)
    band = Canvas(skin.rng, w, 3)
    plaster(band, style.accent, 0.02)
    band_t = band.finish(0.03)
    box(b, -w * 0.52, -w * 0.42, 0.02 * w, w * 0.42, h - 4, h - 1.5, band_t, top=stone)
