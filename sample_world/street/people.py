"""People."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sample_world.drawing.colours import Colour, shade, vary
from sample_world.drawing.palettes import CLOTHES
from sample_world.street.sprite import CutOut, Sprite

_WIDTH, _HEIGHT = 0.95, 1.85
_MIDDLE = _WIDTH / 2
_SKIN: tuple[Colour, ...] = ((0.87, 0.68, 0.56), (0.72, 0.52, 0.4), (0.46, 0.31, 0.23))
_HAIR: tuple[Colour, ...] = (
    (0.12, 0.09, 0.07),
    (0.42, 0.28, 0.14),
    (0.7, 0.58, 0.34),
    (0.6, 0.6, 0.6),
)


@dataclass(frozen=True)
class _Looks:
    """The colours of a person."""

    skin: Colour
    top: Colour
    bottom: Colour
    hair: Colour


def person(rng: np.random.Generator) -> Sprite:
    """Draw somebody standing or walking, seen from the front or the back."""
    cutout = CutOut.blank(rng, _WIDTH, _HEIGHT, 120, (0.3, 0.3, 0.3))
    skin = vary(rng, _SKIN[int(rng.integers(3))], 0.06)
    top, bottom = (vary(rng, CLOTHES[int(rng.integers(len(CLOTHES)))], 0.1) for _ in range(2))
    hair = vary(rng, _HAIR[int(rng.integers(4))], 0.1)
    looks = _Looks(skin, top, shade(bottom, 0.75), hair)
    _draw_legs(cutout, looks)
    _draw_arms(cutout, looks)
    _draw_trunk_and_head(cutout, looks)
    if rng.random() < 0.4:
        bag = shade(CLOTHES[int(rng.integers(len(CLOTHES)))], 0.8)
        cutout.mass(_tapering(1.0, 1.4, 0.15, 0.14), bag)
    solid = (cutout.alpha > 0).astype(np.float32)
    cutout.canvas.relief[:] = cv2.GaussianBlur(solid, (0, 0), 5) * 0.25
    return cutout.sprite(weathering=0.04)


def _tapering(low: float, high: float, foot: float, top: float) -> np.ndarray:
    """Return an outline [4, 2] around the middle, half as wide as `foot` and `top`."""
    return np.array(
        [
            [_MIDDLE - foot, low],
            [_MIDDLE + foot, low],
            [_MIDDLE + top, high],
            [_MIDDLE - top, high],
        ]
    )


def _draw_legs(cutout: CutOut, looks: _Looks) -> None:
    """Draw legs and shoes, and sometimes a skirt over them."""
    rng = cutout.canvas.rng
    stride = rng.uniform(0.02, 0.2)
    skirt = rng.random() < 0.3
    for side in (-1, 1):
        foot = _MIDDLE + side * stride
        hip = [_MIDDLE + side * 0.08, 0.9]
        knee = [_MIDDLE + side * (0.08 + stride * 0.4), 0.48]
        colour = looks.skin if skirt else shade(looks.bottom, 1 + 0.12 * side)
        cutout.limb([hip, knee, [foot, 0.08]], 0.14, colour)
        cutout.limb([[foot - 0.03, 0.04], [foot + 0.07, 0.04]], 0.09, (0.13, 0.11, 0.1))
    if skirt:
        cutout.mass(_tapering(0.5, 0.98, 0.26, 0.15), looks.bottom)


def _draw_arms(cutout: CutOut, looks: _Looks) -> None:
    """Draw sleeves and hands."""
    swing = cutout.canvas.rng.uniform(-0.15, 0.2)
    for side in (-1, 1):
        shoulder = [_MIDDLE + side * 0.22, 1.42]
        elbow = [_MIDDLE + side * 0.29, 1.15]
        wrist = [_MIDDLE + side * (0.24 + swing * side), 0.9]
        hand = [_MIDDLE + side * (0.23 + swing * side), 0.85]
        cutout.limb([shoulder, elbow, wrist], 0.1, shade(looks.top, 0.9))
        cutout.limb([wrist, hand], 0.08, looks.skin)


def _draw_trunk_and_head(cutout: CutOut, looks: _Looks) -> None:
    """Draw trunk, neck and head; from behind, the head is all hair."""
    trunk = [(-0.17, 0.85), (0.17, 0.85), (0.24, 1.42), (0.12, 1.5), (-0.12, 1.5), (-0.24, 1.42)]
    cutout.mass(np.array([[_MIDDLE + x, y] for x, y in trunk]), looks.top)
    cutout.limb([[_MIDDLE, 1.48], [_MIDDLE, 1.58]], 0.09, shade(looks.skin, 0.85))
    back = cutout.canvas.rng.random() < 0.5
    face = looks.hair if back else looks.skin
    angles = np.linspace(0, 2 * np.pi, 20)
    for radius, level, tone in ((0.115, 1.66, looks.hair), (0.095, 1.635, face)):
        x, y = _MIDDLE + radius * np.cos(angles), level + radius * 1.12 * np.sin(angles)
        cutout.mass(np.stack([x, y], 1), tone)
