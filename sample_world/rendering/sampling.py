"""Reading images and textures at many points at once."""

from __future__ import annotations

import cv2
import numpy as np

from sample_world.modelling.mesh import Mesh

_REMAP_ROW = 256


def sample_image(image: np.ndarray, map_x: np.ndarray, map_y: np.ndarray) -> np.ndarray:
    """Read an image at many points (1-D arrays of columns and rows), wrapping at its borders."""
    count = len(map_x)
    padding = -count % _REMAP_ROW
    if padding:
        map_x = np.concatenate([map_x, np.zeros(padding, np.float32)])
        map_y = np.concatenate([map_y, np.zeros(padding, np.float32)])
    shape = (-1, _REMAP_ROW)
    found = cv2.remap(
        image, map_x.reshape(shape), map_y.reshape(shape), cv2.INTER_LINEAR, None, cv2.BORDER_WRAP
    )
    return found.reshape(-1, *image.shape[2:])[:count]


def read_textures(
    mesh: Mesh,
    face: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    texels: np.ndarray,
    dither: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return colour uint8 [n, 3] and detail uint8 [n, 4] at texture coordinates.

    `texels` is log2 of the texture-coordinate area a pixel covers (before the texture's size);
    the level is chosen with a dither, so that no seam shows where levels change.
    """
    number = mesh.texture[face]
    areas = np.array([np.log2(t.colour[0].shape[0] * t.colour[0].shape[1]) for t in mesh.textures])
    deepest = np.array([len(t.colour) - 1 for t in mesh.textures], np.float32)
    level = 0.5 * (texels + areas.astype(np.float32)[number]) - 0.35 + dither
    level = np.clip(np.round(level), 0, deepest[number]).astype(np.int32)
    key = (number * 8 + level).astype(np.uint16)
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    cuts = np.flatnonzero(np.diff(sorted_key)) + 1
    colour = np.empty((len(face), 3), np.uint8)
    detail = np.empty((len(face), 4), np.uint8)
    if not len(order):
        return colour, detail
    for part in np.split(order, cuts):
        texture = mesh.textures[int(number[part[0]])]
        which = int(level[part[0]])
        fine_colour, fine_detail = texture.colour[which], texture.detail[which]
        height, width = fine_colour.shape[:2]
        pu, pv = u[part], v[part]
        if texture.repeat:
            pu, pv = pu - np.floor(pu), pv - np.floor(pv)
            map_x = (pu * width - 0.5).astype(np.float32)
            map_y = ((1 - pv) * height - 0.5).astype(np.float32)
        else:
            map_x = np.clip(pu * width - 0.5, 0, width - 1).astype(np.float32)
            map_y = np.clip((1 - pv) * height - 0.5, 0, height - 1).astype(np.float32)
        colour[part] = sample_image(fine_colour, map_x, map_y)
        detail[part] = sample_image(fine_detail, map_x, map_y)
    return colour, detail
