"""Trees, bushes and hedges."""

from __future__ import annotations

import cv2
import numpy as np

from sample_world.drawing.canvas import SUBPIXEL_BITS
from sample_world.drawing.colours import Colour, shade, vary
from sample_world.drawing.texture import Texture
from sample_world.street.sprite import CutOut, Sprite

# Width and height in metres, the share of the height that is bare trunk, the size of a leaf.
_FORMS = {
    "round": (8.5, 10.5, 0.34, 0.16),
    "tall": (4.2, 13.0, 0.14, 0.12),
    "conifer": (6.0, 13.0, 0.1, 0.13),
    "wide": (12.0, 9.5, 0.26, 0.17),
}

_Blobs = list[tuple[float, float, float]]  # x, y and radius of round masses of leaves


def tree(rng: np.random.Generator, form: str, colour: Colour) -> Sprite:
    """Draw a tree: round, tall (a poplar), conifer or wide."""
    width, height, bare, leaf = _FORMS[form]
    cutout = CutOut.blank(rng, width, height, 44, shade(colour, 0.5))
    bark = vary(rng, (0.27, 0.22, 0.17), 0.12)
    middle, trunk = width / 2, height * bare
    bend = rng.normal(0, 0.15)
    cutout.limb([[middle, 0], [middle + bend, trunk], [middle, height * 0.7]], 0.42, bark)
    if form in ("round", "wide"):
        blobs = _crown(cutout, trunk, bark)
    elif form == "tall":
        blobs = _spindle(rng, width, height, trunk)
    else:
        blobs = _cone(width, height, trunk)
    rounds = np.array(blobs)
    rounds[:, 0] = np.clip(rounds[:, 0], rounds[:, 2], width - rounds[:, 2])
    rounds[:, 1] = np.minimum(rounds[:, 1], height - rounds[:, 2])
    _foliage(cutout, rounds, colour, leaf, 2600)
    return cutout.sprite(bump=0.55)


def _crown(cutout: CutOut, trunk: float, bark: Colour) -> _Blobs:
    """Return the masses of a broad crown; draws a branch to each."""
    rng, width, height = cutout.canvas.rng, cutout.canvas.width, cutout.canvas.height
    middle, blobs = width / 2, []
    for _ in range(16):
        angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        x = middle + reach * np.cos(angle) * width * 0.33
        y = trunk + (height - trunk) * (0.5 + 0.34 * reach * np.sin(angle))
        blobs.append((x, y, rng.uniform(0.13, 0.2) * min(width, height)))
        cutout.limb([[middle, trunk * 0.9], [x, y]], 0.16, bark)
    return blobs


def _spindle(rng: np.random.Generator, width: float, height: float, trunk: float) -> _Blobs:
    """Return the masses of a crown that is narrow at both ends."""
    blobs = []
    for t in np.linspace(0.08, 0.94, 13):
        half = width * 0.36 * np.sin(np.pi * min(1.0, 0.12 + t)) ** 0.6
        for _ in range(2):
            x = width / 2 + rng.normal(0, half * 0.4)
            blobs.append((x, trunk + (height - trunk) * t, max(0.3, half * 0.62)))
    return blobs


def _cone(width: float, height: float, trunk: float) -> _Blobs:
    """Return the masses of a crown that tapers, its branches hanging at their ends."""
    blobs = []
    for t in np.linspace(0.0, 0.97, 15):
        half = width * 0.44 * (1 - t) + 0.12
        for side in (-1, -0.3, 0.4, 1):
            x = width / 2 + side * half * 0.62
            y = trunk + (height - trunk) * t - abs(side) * 0.4
            blobs.append((x, y, max(0.16, half * 0.4)))
    return blobs


def bush(rng: np.random.Generator, colour: Colour, flowers: Colour | None) -> Sprite:
    """Draw a bush, in flower or not."""
    cutout = CutOut.blank(rng, 3.2, 1.7, 70, shade(colour, 0.5))
    blobs = np.array(
        [[x, rng.uniform(0.4, 1.0), rng.uniform(0.35, 0.55)] for x in np.linspace(0.55, 2.65, 8)]
    )
    _foliage(cutout, blobs, colour, 0.075, 1100)
    if flowers is not None:
        for _ in range(60):
            x, y = rng.uniform(0.4, 2.8), rng.uniform(0.2, 1.3)
            cutout.canvas.disc(x, y, 0.045, colour=vary(rng, flowers, 0.1))
    return cutout.sprite(bump=0.5)


def hedge(rng: np.random.Generator) -> Texture:
    """Draw a repeating piece of clipped hedge without gaps, 4 m square."""
    cutout = CutOut.blank(rng, 4, 4, 50, (0.12, 0.2, 0.07))
    blobs = [rng.uniform(0, 4, 40), rng.uniform(0, 4, 40), rng.uniform(0.4, 0.6, 40)]
    _foliage(cutout, np.stack(blobs, 1), (0.24, 0.33, 0.14), 0.085, 2600)
    return cutout.canvas.finish(0.0, repeat=True)


def _foliage(cutout: CutOut, blobs: np.ndarray, colour: Colour, leaf: float, count: int) -> None:
    """Fill round masses (x, y, radius rows) with leaves, darker below and inside."""
    canvas = cutout.canvas
    sx, sy = canvas.scale
    order = np.argsort(blobs[:, 1] + blobs[:, 2])
    share = blobs[:, 2] ** 2 / (blobs[:, 2] ** 2).sum()
    for x, y, radius in blobs[order]:
        centre = (round(x * sx), round((canvas.height - y) * sy))
        cv2.circle(canvas.relief, centre, max(1, round(radius * sx * 0.8)), float(radius * 0.7), -1)
    canvas.relief[:] = cv2.GaussianBlur(canvas.relief, (0, 0), 0.4 * sx)
    layers = np.dstack([canvas.colour, cutout.alpha])
    for index in order:
        leaves = max(12, round(count * share[index]))
        _fill_with_leaves(cutout, layers, blobs[index], colour, leaf, leaves)
    canvas.colour[:], cutout.alpha[:] = layers[..., :3], layers[..., 3]


def _fill_with_leaves(
    cutout: CutOut, layers: np.ndarray, blob: np.ndarray, colour: Colour, leaf: float, leaves: int
) -> None:
    """Draw the leaves of one mass, the lowest first, into colour and alpha [h, w, 4] at once."""
    rng, height = cutout.canvas.rng, cutout.canvas.height
    sx, sy = cutout.canvas.scale
    x, y, radius = blob
    angle = rng.uniform(0, 2 * np.pi, leaves)
    reach = radius * np.sqrt(rng.random(leaves)) * rng.uniform(0.85, 1.12, leaves)
    px, py = x + reach * np.cos(angle), y + reach * np.sin(angle) * 0.85
    rank = np.argsort(py + rng.normal(0, radius * 0.3, leaves))
    # The upper leaves of a mass catch the light; below and inside it is dark.
    tone = 0.68 + 0.46 * (py - y) / radius + 0.18 * (y / height) + rng.normal(0, 0.13, leaves)
    size = leaf * rng.uniform(0.6, 1.3, leaves)
    turn = rng.uniform(0, np.pi, leaves)
    hue = rng.normal(0, 0.03, leaves)
    values = np.array(colour) * tone[:, None] + hue[:, None] * np.array([1, 0, -0.4])
    values = np.concatenate([np.clip(values, 0.01, 0.95), np.ones((leaves, 1))], 1) * 255
    corners = np.arange(7) * 2 * np.pi / 7
    along, aside = np.cos(corners) * size[:, None], np.sin(corners) * 0.55 * size[:, None]
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    columns = (px[:, None] + along * cos - aside * sin) * sx
    rows = (height - py[:, None] - along * sin - aside * cos) * sy
    outlines = np.round(np.stack([columns, rows], 2) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    for k in rank:
        cv2.fillConvexPoly(layers, outlines[k], values[k].tolist(), cv2.LINE_AA, SUBPIXEL_BITS)
