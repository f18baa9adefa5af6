"""A finished texture: colour, normals, glass and occlusion in mip levels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Texture:
    """A picture with its mip levels, finest first.

    `colour` holds uint8 [h,w,3] RGB (sRGB), `detail` uint8 [h,w,4]: tangent-space normal x and y
    (128 is zero), glass (0 none, else how readily the pane is lit in the evening) and ambient
    occlusion. `alpha` holds uint8 [h,w] or None where the texture is solid. `repeat` says whether
    coordinates outside [0, 1] wrap around.
    """

    colour: tuple[np.ndarray, ...]
    detail: tuple[np.ndarray, ...]
    alpha: tuple[np.ndarray, ...] | None
    repeat: bool


def mip_levels(image: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the image and its halvings by area averaging, down to about 4 pixels."""
    levels = [np.ascontiguousarray(image)]
    while min(levels[-1].shape[:2]) >= 8 and len(levels) < 8:
        height, width = levels[-1].shape[:2]
        size = (max(1, width // 2), max(1, height // 2))
        levels.append(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA))
    return tuple(levels)
