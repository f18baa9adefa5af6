"""How much of the landmark a picture shows, and where."""

from __future__ import annotations

import numpy as np

from sample_world.modelling.mesh import LANDMARK, Mesh
from sample_world.rendering.camera import Camera
from sample_world.rendering.zbuffer import NEAR, Buffers, clip_near, rasterise

GOOD_FRACTION = 0.75
OK_FRACTION = 0.25

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def visibility_class(visible: float) -> str:
    """Return the Oxford class of a visible share: good above 75 %, ok above 25 %, else junk."""
    if visible > GOOD_FRACTION:
        return "good"
    return "ok" if visible > OK_FRACTION else "junk"


def measure(
    scene: Mesh, landmark: Mesh, camera: Camera, buffers: Buffers
) -> tuple[float, Box | None]:
    """Return the visible share of the landmark and its box in the camera's pixels.

    The share is what the picture shows of the landmark over what it would cover with nothing in
    front of it and no edge of the picture.
    """
    mask = landmark_mask(scene, buffers)
    whole = full_area(landmark, camera)
    shown = int(mask.sum())
    if not shown or whole <= 0:
        return 0.0, None
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))
    return min(1.0, shown / whole), box


def landmark_mask(mesh: Mesh, buffers: Buffers) -> np.ndarray:
    """Return where a picture shows the landmark, bool [h, w]."""
    owners = np.append(mesh.owner, -1)  # index -1 is the sky
    return owners[buffers.face] == LANDMARK


def full_area(mesh: Mesh, camera: Camera, most_pixels: int = 400_000) -> float:
    """Return the pixels a landmark would cover with nothing before it and no edge of the picture.

    `mesh` is that of the landmark alone. The area counts in pixels of the camera's own picture.
    """
    seen = camera.to_camera(mesh.points)
    if seen[:, 2].min() >= NEAR:
        points = seen
    else:
        polygons = [clip_near(seen[s : s + c], NEAR) for s, c in zip(mesh.starts, mesh.counts)]
        points = np.concatenate(polygons)
    if not len(points):
        return 0.0
    flat = points[:, :2] / points[:, 2:] * camera.focal
    # What lies almost sideways of the camera would stretch without end.
    flat = np.clip(flat, -6 * camera.focal, 6 * camera.focal)
    low, high = flat.min(0) - 1, flat.max(0) + 1
    scale = min(1.0, float(np.sqrt(most_pixels / max(1.0, np.prod(high - low)))))
    size = tuple(int(np.ceil(side * scale)) + 1 for side in high - low)
    wide = Camera(
        camera.position,
        camera.rotation,
        camera.focal * scale,
        (float(-low[0] * scale), float(-low[1] * scale)),
        size,
    )
    return float((rasterise(mesh, wide).face >= 0).sum()) / scale**2
