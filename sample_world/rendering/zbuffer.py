"""The z-buffer: which face each pixel of a picture shows.

Faces are flat, so inverse depth, and texture coordinates divided by depth, are affine functions of
the pixel. The z-buffer keeps for each pixel its nearest face; everything else is worked out
afterwards for visible pixels alone (deferred shading).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from sample_world.drawing.texture import Texture
from sample_world.modelling.mesh import Mesh
from sample_world.rendering.camera import Camera

NEAR = 0.25  # metres in front of the camera where faces are cut off


@dataclass(frozen=True)
class Buffers:
    """depth float32 [h, w]: nearness (larger is nearer); face int32 [h, w]: index or -1."""

    depth: np.ndarray
    face: np.ndarray

    @staticmethod
    def empty(height: int, width: int) -> Buffers:
        """Return buffers that show nothing yet."""
        depth = np.zeros((height, width), np.float32)
        return Buffers(depth, np.full((height, width), -1, np.int32))


def plane_rows(mesh: Mesh, camera: Camera) -> np.ndarray:
    """Return [F, 3]: inverse depth of each face's plane as an affine function of the pixel."""
    normals = (mesh.normals[:, None, :] * camera.rotation[None]).sum(2)
    anchors = camera.to_camera(mesh.points[mesh.starts])
    distance = (normals * anchors).sum(1)
    distance = np.where(np.abs(distance) < 1e-9, 1e-9, distance)
    return (normals[:, :, None] * camera.pixel_matrix()[None]).sum(1) / distance[:, None]


def map_rows(mesh: Mesh, camera: Camera, planes: np.ndarray, which: str) -> np.ndarray:
    """Return [F, 3]: a texture coordinate over depth as an affine function of the pixel."""
    affine = getattr(mesh, which)
    gradient = (affine[:, None, :3] * camera.rotation[None]).sum(2)
    offset = affine[:, 3] + (affine[:, :3] * camera.position).sum(1)
    rays = (gradient[:, :, None] * camera.pixel_matrix()[None]).sum(1)
    return rays + offset[:, None] * planes


def clip_near(polygon: np.ndarray, near: float) -> np.ndarray:
    """Return the part of a convex polygon [n, 3] in camera axes whose depth is at least `near`."""
    kept = []
    for first, second in zip(polygon, np.roll(polygon, -1, 0)):
        if first[2] >= near:
            kept.append(first)
        if (first[2] >= near) != (second[2] >= near):
            share = (near - first[2]) / (second[2] - first[2])
            kept.append(first + share * (second - first))
    return np.array(kept).reshape(-1, 3)


def _clip_frame(polygon: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the part of a convex polygon [n, 2] in pixels that lies near the picture.

    OpenCV draws in fixed point, which vertices far outside would overflow.
    """
    limits = ((0, -9.0, 1.0), (0, width + 9.0, -1.0), (1, -9.0, 1.0), (1, height + 9.0, -1.0))
    for axis, limit, sign in limits:
        inside = (polygon[:, axis] - limit) * sign
        kept = []
        for k in range(len(polygon)):
            after = (k + 1) % len(polygon)
            if inside[k] >= 0:
                kept.append(polygon[k])
            if (inside[k] >= 0) != (inside[after] >= 0):
                share = inside[k] / (inside[k] - inside[after])
                kept.append(polygon[k] + share * (polygon[after] - polygon[k]))
        if len(kept) < 3:
            return np.zeros((0, 2))
        polygon = np.array(kept)
    return polygon


def _alpha_mask(
    texture: Texture,
    rows_u: np.ndarray,
    rows_v: np.ndarray,
    plane: np.ndarray | None,
    xs: np.ndarray,
    ys: np.ndarray,
) -> np.ndarray:
    """Return where a cut-out texture is solid over a window of pixels, bool [h, w]."""
    u = np.add.outer(rows_u[1] * ys + rows_u[2], rows_u[0] * xs)
    v = np.add.outer(rows_v[1] * ys + rows_v[2], rows_v[0] * xs)
    if plane is not None:
        inverse = np.add.outer(plane[1] * ys + plane[2], plane[0] * xs)
        u, v = u / inverse, v / inverse
    height, width = texture.alpha[0].shape
    texels = max(
        float(np.abs(u[:, -1] - u[:, 0]).max()) * width / max(1, len(xs) - 1),
        float(np.abs(v[-1] - v[0]).max()) * height / max(1, len(ys) - 1),
    )
    level = int(np.clip(np.round(np.log2(max(texels, 1e-6))), 0, len(texture.alpha) - 1))
    alpha = texture.alpha[level]
    height, width = alpha.shape
    map_x = (u * width - 0.5).astype(np.float32)
    map_y = ((1 - v) * height - 0.5).astype(np.float32)
    found = cv2.remap(alpha, map_x, map_y, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, 0)
    return found > 110


def fill(
    buffers: Buffers,
    mesh: Mesh,
    polygons: list[tuple[int, np.ndarray, tuple[float, float, float, float]]],
    planes: np.ndarray,
    nearest: np.ndarray,
    maps: tuple[np.ndarray, np.ndarray],
    divide: bool,
) -> None:
    """Draw projected polygons (face, pixels [n, 2], bounds) into the z-buffer."""
    rows, columns = buffers.depth.shape
    all_x = np.arange(columns, dtype=np.float32)
    all_y = np.arange(rows, dtype=np.float32)
    planes32 = planes.astype(np.float32)
    for face, pixels, bounds in polygons:
        if min(bounds) < -10_000 or max(bounds) > 10_000:
            pixels = _clip_frame(pixels, columns, rows)
            if not len(pixels):
                continue
            bounds = (*pixels.min(0), *pixels.max(0))
        x0, y0 = max(0, math.floor(bounds[0])), max(0, math.floor(bounds[1]))
        x1, y1 = min(columns - 1, math.ceil(bounds[2])), min(rows - 1, math.ceil(bounds[3]))
        if x0 > x1 or y0 > y1:
            continue
        mask = np.zeros((y1 - y0 + 1, x1 - x0 + 1), np.uint8)
        fixed = np.round((pixels - (x0, y0)) * 16).astype(np.int32)
        cv2.fillConvexPoly(mask, fixed, 1, cv2.LINE_8, 4)
        xs, ys = all_x[x0 : x1 + 1], all_y[y0 : y1 + 1]
        a, b, c = planes32[face]
        depth = np.add.outer(b * ys + c, a * xs)
        # Pixels on the rim may lie beyond the face: its plane must not run on towards us there.
        np.minimum(depth, nearest[face], out=depth)
        window = buffers.depth[y0 : y1 + 1, x0 : x1 + 1]
        closer = depth > window
        closer &= mask.view(bool)
        texture = mesh.textures[mesh.texture[face]]
        if texture.alpha is not None and closer.any():
            plane = planes[face] if divide else None
            closer &= _alpha_mask(texture, maps[0][face], maps[1][face], plane, xs, ys)
        np.copyto(window, depth, where=closer)
        np.copyto(buffers.face[y0 : y1 + 1, x0 : x1 + 1], np.int32(face), where=closer)


def rasterise(mesh: Mesh, camera: Camera) -> Buffers:
    """Return which face each pixel shows, nearest first, and its inverse depth (1/m)."""
    width, height = camera.size
    buffers = Buffers.empty(height, width)
    seen = camera.to_camera(mesh.points)
    planes = plane_rows(mesh, camera)
    depth_low = np.minimum.reduceat(seen[:, 2], mesh.starts)
    depth_high = np.maximum.reduceat(seen[:, 2], mesh.starts)
    front = ((camera.position - mesh.points[mesh.starts]) * mesh.normals).sum(1) > 0
    facing = (front | mesh.two_sided) & (depth_high > NEAR)
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = seen[:, :2] / seen[:, 2:] * camera.focal + np.array(camera.centre)
    whole = depth_low > NEAR
    x_low = np.minimum.reduceat(pixels[:, 0], mesh.starts)
    x_high = np.maximum.reduceat(pixels[:, 0], mesh.starts)
    y_low = np.minimum.reduceat(pixels[:, 1], mesh.starts)
    y_high = np.maximum.reduceat(pixels[:, 1], mesh.starts)
    inside = (x_high > -1) & (x_low < width) & (y_high > -1) & (y_low < height)
    bounds = np.stack([x_low, y_low, x_high, y_high], 1)
    polygons = []
    for face in np.flatnonzero(facing & (inside | ~whole)).tolist():
        start, count = mesh.starts[face], mesh.counts[face]
        if whole[face]:
            polygons.append((face, pixels[start : start + count], tuple(bounds[face].tolist())))
            continue
        clipped = clip_near(seen[start : start + count], NEAR)
        if len(clipped) >= 3:
            flat = clipped[:, :2] / clipped[:, 2:] * camera.focal + np.array(camera.centre)
            polygons.append((face, flat, (*flat.min(0).tolist(), *flat.max(0).tolist())))
    nearest = (1 / np.maximum(depth_low, NEAR)).astype(np.float32)
    maps = tuple(map_rows(mesh, camera, planes, which) for which in ("u_map", "v_map"))
    fill(buffers, mesh, polygons, planes, nearest, maps, divide=True)
    return buffers
