"""Shadows of the sun: the scene as the sun sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_world.modelling.mesh import Mesh
from sample_world.rendering.camera import Camera
from sample_world.rendering.light import Light
from sample_world.rendering.zbuffer import Buffers, fill

# A coarse map for the scene and a fine one for what lies before the camera, each with its side in
# pixels and how many metres it reaches around its middle.
_FAR = (800, 115.0)
_NEAR = (512, 24.0)


def sunlit(
    casters: Mesh,
    light: Light,
    camera: Camera,
    middle: np.ndarray,
    points: tuple[np.ndarray, np.ndarray],
    jitter: list[np.ndarray],
    extra: np.ndarray,
) -> np.ndarray:
    """Return 1 where points see the sun, 0 where something is between, float32 [n].

    `points` are places [3, n] and the normals [3, n] of the surfaces they lie on; `middle` [3] is
    that of the scene. `jitter` shifts the columns and rows read, in texels; `extra` [n] is how many
    metres more a thing must be nearer to shade a point.
    """
    far, known = _lit(_shadow_map(casters, light, middle, _FAR), *points, jitter, extra)
    far = np.where(known, far, 1)
    before = camera.position + camera.rotation[2] * _NEAR[1] * 0.8
    before[2] = 0
    near, known = _lit(_shadow_map(casters, light, before, _NEAR), *points, jitter, extra)
    return np.where(known, near, far)


@dataclass(frozen=True)
class _ShadowMap:
    """Nearness to the sun [s, s], and the affine map from the world to (column, row, nearness).

    `slack` is how much nearer, in metres, something must be to throw a shadow; `texel` is the size
    of a pixel of the map in metres.
    """

    depth: np.ndarray
    axes: np.ndarray
    offset: np.ndarray
    slack: float
    texel: float


def _shadow_map(
    mesh: Mesh, light: Light, middle: np.ndarray, size: tuple[int, float]
) -> _ShadowMap:
    """Return the scene as the sun sees it: an orthographic z-buffer around `middle` [3]."""
    side, reach = size
    towards = light.sun / np.linalg.norm(light.sun)
    right = np.cross([0.0, 0.0, 1.0], towards)
    right /= np.linalg.norm(right)
    up = np.cross(towards, right)
    scale = side / (2 * reach)
    axes = np.stack([right * scale, -up * scale, towards])
    offset = np.array([side / 2, side / 2, 1000.0]) - (axes * middle).sum(1)
    seen = (mesh.points[:, None, :] * axes[None]).sum(2) + offset
    facing = (mesh.normals * towards).sum(1)
    low = np.minimum.reduceat(seen, mesh.starts)
    high = np.maximum.reduceat(seen, mesh.starts)
    inside = (high[:, :2] > 0).all(1) & (low[:, :2] < side).all(1)
    extent = (high[:, :2] - low[:, :2]).max(1)
    # The ground throws no shadow, and faces seen edge on cover nothing.
    chosen = inside & (extent < 300 * scale) & (extent > 0.5)
    chosen &= (facing > 0.02) | (mesh.two_sided & (np.abs(facing) > 0.02))
    basis = np.stack([axes[0] / scale**2, axes[1] / scale**2, axes[2]])

    planes, maps = _plane_rows(mesh, seen, facing, basis, offset)
    bounds = np.concatenate([low[:, :2], high[:, :2]], 1)
    polygons = [
        (
            face,
            seen[mesh.starts[face] : mesh.starts[face] + mesh.counts[face], :2],
            tuple(bounds[face].tolist()),
        )
        for face in np.flatnonzero(chosen).tolist()
    ]
    buffers = Buffers.empty(side, side)
    nearest = high[:, 2].astype(np.float32)
    fill(buffers, mesh, polygons, planes, nearest, maps, divide=False)
    return _ShadowMap(
        buffers.depth,
        axes.astype(np.float32),
        offset.astype(np.float32),
        0.1 + 0.5 / scale,
        1 / scale,
    )


def _plane_rows(
    mesh: Mesh, seen: np.ndarray, facing: np.ndarray, basis: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return nearness and texture coordinates of each face as affine functions of the texel.

    All are [F, 3]. `seen` [P, 3] are the points in texels and nearness, `facing` [F] the cosines
    with the sun; `basis` [3, 3] and `offset` [3] take texels and nearness back to the world.
    """
    safe = np.where(np.abs(facing) < 1e-6, 1e-6, facing)
    normal_along = (mesh.normals[:, None, :] * basis[None]).sum(2)
    anchor = seen[mesh.starts]
    planes = np.empty((mesh.face_count, 3))
    planes[:, :2] = -normal_along[:, :2] / safe[:, None]
    planes[:, 2] = anchor[:, 2] - (planes[:, :2] * anchor[:, :2]).sum(1)
    maps = []
    for affine in (mesh.u_map, mesh.v_map):
        along = (affine[:, None, :3] * basis[None]).sum(2)
        constant = affine[:, 3] - (along * offset).sum(1)
        flat = along[:, :2] + along[:, 2:] * planes[:, :2]
        maps.append(np.concatenate([flat, (constant + along[:, 2] * planes[:, 2])[:, None]], 1))
    return planes, (maps[0], maps[1])


def _lit(
    shadows: _ShadowMap,
    world: np.ndarray,
    outward: np.ndarray,
    jitter: list[np.ndarray],
    extra: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return 1 where points [3, n] see the sun, 0 where something is between; and which are known.

    `outward` [3, n] are the normals of the surfaces they lie on, `extra` [n] how many metres more a
    thing must be nearer to shade them. Points outside the map are not known.
    """
    # A texel of the map is a patch of a slanted surface: step off it, lest it shade itself.
    world = world + outward * np.float32(1.2 * shadows.texel)
    side = shadows.depth.shape[0]
    axes, offset = shadows.axes, shadows.offset
    column, row, near = (
        axes[k, 0] * world[0] + axes[k, 1] * world[1] + axes[k, 2] * world[2] + offset[k]
        for k in range(3)
    )
    known = (column > 2) & (column < side - 3) & (row > 2) & (row < side - 3)
    column = np.clip(column + jitter[0], 0, side - 1).astype(np.int32)
    row = np.clip(row + jitter[1], 0, side - 1).astype(np.int32)
    blocker = shadows.depth.ravel()[row * side + column]
    return (blocker < near + extra + np.float32(shadows.slack)).astype(np.float32), known
