"""Where a pixel is: the conventions of other programs, decided here and nowhere else.

Ours is (y, x) with whole numbers at the centres of pixels: the centre of the top left pixel is
(0, 0). hloc's is the same in the order (x, y); it adds half a pixel itself when it hands its
keypoints to COLMAP (`import_features`). COLMAP's origin is the corner of the top left pixel, whose
centre is (0.5, 0.5); kapture passes keypoints to COLMAP and back unchanged, so its is COLMAP's.
"""

from __future__ import annotations

import numpy as np

#: What is added to (x, y) of pixel centres for an origin in the corner of the top left pixel.
CORNER_OFFSET = 0.5


def to_centres(locations: np.ndarray) -> np.ndarray:
    """Return float32 [N, 2], (x, y) by the centres of pixels (hloc), of our (y, x)."""
    return np.ascontiguousarray(locations[:, ::-1], dtype=np.float32)


def from_centres(points: np.ndarray) -> np.ndarray:
    """Return our (y, x), float32 [N, 2], of (x, y) by the centres of pixels (hloc)."""
    return np.ascontiguousarray(points[:, ::-1], dtype=np.float32)


def to_corner(locations: np.ndarray) -> np.ndarray:
    """Return float32 [N, 2], (x, y) from the corner of the photo (COLMAP), of our (y, x)."""
    return to_centres(locations) + np.float32(CORNER_OFFSET)


def from_corner(points: np.ndarray) -> np.ndarray:
    """Return our (y, x), float32 [N, 2], of (x, y) from the corner of the photo (COLMAP)."""
    return from_centres(points) - np.float32(CORNER_OFFSET)


def affine_from_corner(affine: np.ndarray) -> np.ndarray:
    """Return an affine map between photos as a homography from their corners.

    Args:
        affine: float64 [2, 3], maps (x, y, 1) of the first photo to (x, y) of the second, by the
            centres of pixels.

    Returns:
        float64 [3, 3], the same map of points as COLMAP counts them.
    """
    shift = np.array([[1, 0, CORNER_OFFSET], [0, 1, CORNER_OFFSET], [0, 0, 1]])
    return shift @ np.vstack([affine, [0, 0, 1]]) @ np.linalg.inv(shift)
