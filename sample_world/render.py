"""The renderer of the sample world: perspective z-buffer, textures, sun shadows.

Faces are flat, so inverse depth, and texture coordinates divided by depth, are affine functions of
the pixel. The z-buffer keeps for each pixel its nearest face; everything else is worked out
afterwards for visible pixels alone (deferred shading).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from sample_world.mesh import LANDMARK, Mesh
from sample_world.sky import Light, Sky, sample_image
from sample_world.textures import Texture

NEAR = 0.25  # metres in front of the camera where faces are cut off
# Sun shadows: a coarse map for the scene and a fine one for what lies before the camera, each with
# its side in pixels and how many metres it reaches around its middle.
FAR_SHADOWS = (800, 115.0)
NEAR_SHADOWS = (512, 24.0)
_TO_LINEAR = ((np.arange(256, dtype=np.float32) / 255) ** 2.2).astype(np.float32)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. Pixel centres have whole coordinates, as in OpenCV.

    position [3] in metres; rotation [3, 3] from world axes to camera axes (x right, y down, z
    forward); focal length and principal point in pixels; size (width, height) in pixels.
    """

    position: np.ndarray
    rotation: np.ndarray
    focal: float
    centre: tuple[float, float]
    size: tuple[int, int]

    @staticmethod
    def looking(
        position: np.ndarray,
        target: np.ndarray,
        focal: float,
        size: tuple[int, int],
        roll: float = 0.0,
    ) -> Camera:
        """Return a camera that sees `target` in the middle of its picture; roll in radians."""
        position = np.asarray(position, np.float64)
        forward = np.asarray(target, np.float64) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        cos, sin = np.cos(roll), np.sin(roll)
        rotation = np.stack([cos * right + sin * down, cos * down - sin * right, forward])
        return Camera(
            position, rotation, focal, ((size[0] - 1) / 2, (size[1] - 1) / 2), (size[0], size[1])
        )

    def scaled(self, factor: float) -> Camera:
        """Return the camera of a picture with `factor` times the pixels along each side."""
        width, height = (max(1, round(side * factor)) for side in self.size)
        centre = tuple((c + 0.5) * factor - 0.5 for c in self.centre)
        return Camera(self.position, self.rotation, self.focal * factor, centre, (width, height))

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Return points [n, 3] in camera axes."""
        moved = points - self.position
        return (moved[:, None, :] * self.rotation[None]).sum(2)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the pixel coordinates [n, 2] of points [n, 3] in front of the camera."""
        seen = self.to_camera(np.asarray(points, np.float64))
        return seen[:, :2] / seen[:, 2:] * self.focal + np.array(self.centre)

    def pixel_matrix(self) -> np.ndarray:
        """Return [3, 3] taking (x, y, 1) of a pixel to its viewing ray with depth 1."""
        return np.array(
            [
                [1 / self.focal, 0, -self.centre[0] / self.focal],
                [0, 1 / self.focal, -self.centre[1] / self.focal],
                [0, 0, 1],
            ]
        )


@dataclass(frozen=True)
class Buffers:
    """depth float32 [h, w]: nearness (larger is nearer); face int32 [h, w]: index or -1."""

    depth: np.ndarray
    face: np.ndarray


def _plane_rows(mesh: Mesh, camera: Camera) -> np.ndarray:
    """Return [F, 3]: inverse depth of each face's plane as an affine function of the pixel."""
    normals = (mesh.normals[:, None, :] * camera.rotation[None]).sum(2)
    anchors = camera.to_camera(mesh.points[mesh.starts])
    distance = (normals * anchors).sum(1)
    distance = np.where(np.abs(distance) < 1e-9, 1e-9, distance)
    return (normals[:, :, None] * camera.pixel_matrix()[None]).sum(1) / distance[:, None]


def _map_rows(mesh: Mesh, camera: Camera, planes: np.ndarray, which: str) -> np.ndarray:
    """Return [F, 3]: a texture coordinate over depth as an affine function of the pixel."""
    affine = getattr(mesh, which)
    gradient = (affine[:, None, :3] * camera.rotation[None]).sum(2)
    offset = affine[:, 3] + (affine[:, :3] * camera.position).sum(1)
    rays = (gradient[:, :, None] * camera.pixel_matrix()[None]).sum(1)
    return rays + offset[:, None] * planes


def _clip_near(polygon: np.ndarray, near: float) -> np.ndarray:
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


def _fill(
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
    buffers = Buffers(np.zeros((height, width), np.float32), np.full((height, width), -1, np.int32))
    seen = camera.to_camera(mesh.points)
    planes = _plane_rows(mesh, camera)
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
        clipped = _clip_near(seen[start : start + count], NEAR)
        if len(clipped) >= 3:
            flat = clipped[:, :2] / clipped[:, 2:] * camera.focal + np.array(camera.centre)
            polygons.append((face, flat, (*flat.min(0).tolist(), *flat.max(0).tolist())))
    nearest = (1 / np.maximum(depth_low, NEAR)).astype(np.float32)
    maps = tuple(_map_rows(mesh, camera, planes, which) for which in ("u_map", "v_map"))
    _fill(buffers, mesh, polygons, planes, nearest, maps, divide=True)
    return buffers


@dataclass(frozen=True)
class ShadowMap:
    """Nearness to the sun [s, s], and the affine map from the world to (column, row, nearness).

    `slack` is how much nearer, in metres, something must be to throw a shadow; `texel` is the size
    of a pixel of the map in metres.
    """

    depth: np.ndarray
    axes: np.ndarray
    offset: np.ndarray
    slack: float
    texel: float


def shadow_map(
    mesh: Mesh, light: Light, middle: np.ndarray, size: tuple[int, float] = FAR_SHADOWS
) -> ShadowMap:
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

    def rows(gradient: np.ndarray, constant: np.ndarray) -> np.ndarray:
        """Restrict affine functions of the world to the faces' planes, over (column, row)."""
        along = (gradient[:, None, :] * basis[None]).sum(2)
        return along, constant - (along * offset).sum(1)

    safe = np.where(np.abs(facing) < 1e-6, 1e-6, facing)
    normal_along = (mesh.normals[:, None, :] * basis[None]).sum(2)
    anchor = seen[mesh.starts]
    planes = np.empty((mesh.face_count, 3))
    planes[:, :2] = -normal_along[:, :2] / safe[:, None]
    planes[:, 2] = anchor[:, 2] - (planes[:, :2] * anchor[:, :2]).sum(1)
    maps = []
    for affine in (mesh.u_map, mesh.v_map):
        along, constant = rows(affine[:, :3], affine[:, 3])
        flat = along[:, :2] + along[:, 2:] * planes[:, :2]
        maps.append(np.concatenate([flat, (constant + along[:, 2] * planes[:, 2])[:, None]], 1))
    bounds = np.concatenate([low[:, :2], high[:, :2]], 1)
    polygons = [
        (
            face,
            seen[mesh.starts[face] : mesh.starts[face] + mesh.counts[face], :2],
            tuple(bounds[face].tolist()),
        )
        for face in np.flatnonzero(chosen).tolist()
    ]
    buffers = Buffers(
        np.zeros((side, side), np.float32),
        np.full((side, side), -1, np.int32),
    )
    nearest = high[:, 2].astype(np.float32)
    _fill(buffers, mesh, polygons, planes, nearest, (maps[0], maps[1]), divide=False)
    return ShadowMap(
        buffers.depth,
        axes.astype(np.float32),
        offset.astype(np.float32),
        0.1 + 0.5 / scale,
        1 / scale,
    )


def _lit_by_sun(
    shadows: ShadowMap,
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


def _read_textures(
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


def shade_picture(
    mesh: Mesh,
    casters: Mesh,
    camera: Camera,
    buffers: Buffers,
    light: Light,
    middle: np.ndarray,
) -> np.ndarray:
    """Return the lit picture, linear RGB float32 [h, w, 3].

    `casters` throw the shadows, around `middle` [3]: the scene with cut-outs turned to the sun.
    """
    width, height = camera.size
    sky = Sky(light)
    rng = np.random.default_rng([light.seed, 5])
    noise = rng.random((3, 64, 64), dtype=np.float32)
    tiles = (height // 64 + 1, width // 64 + 1)
    dither = np.tile(noise[0], tiles)[:height, :width].ravel() - np.float32(0.5)
    picture = np.empty((3, height * width), np.float32)
    faces = buffers.face.ravel()

    back = np.flatnonzero(faces < 0)
    rays = camera.pixel_matrix() @ np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    world_rays = (camera.rotation.T @ rays).astype(np.float32)  # pixel (x, y, 1) -> world ray

    def directions(index: np.ndarray) -> list[np.ndarray]:
        px = (index % width).astype(np.float32)
        py = (index // width).astype(np.float32)
        return [world_rays[k, 0] * px + world_rays[k, 1] * py + world_rays[k, 2] for k in range(3)]

    if len(back):
        # The sky is smooth: worked out for every second pixel, each way, and repeated.
        half = (back // width // 2) * width + back % width // 2
        needed = np.zeros(height * width, bool)
        needed[half] = True
        coarse = np.flatnonzero(needed)
        x, y, z = directions((coarse // width * 2) * width + coarse % width * 2)
        length = 1 / np.sqrt(x * x + y * y + z * z)
        number = np.empty(height * width, np.int32)
        number[coarse] = np.arange(len(coarse), dtype=np.int32)
        picture[:, back] = sky.colour(x * length, y * length, z * length)[:, number[half]]

    shown = np.flatnonzero(faces >= 0)
    if len(shown):
        picture[:, shown] = _shade_faces(
            mesh,
            casters,
            camera,
            buffers,
            light,
            sky,
            middle,
            shown,
            directions(shown),
            dither[shown],
            noise,
        )
    return np.ascontiguousarray(picture.reshape(3, height, width).transpose(1, 2, 0))


def _shade_faces(
    mesh: Mesh,
    casters: Mesh,
    camera: Camera,
    buffers: Buffers,
    light: Light,
    sky: Sky,
    middle: np.ndarray,
    shown: np.ndarray,
    ray: list[np.ndarray],
    dither: np.ndarray,
    noise: np.ndarray,
) -> np.ndarray:
    """Return linear RGB [3, n] of the pixels `shown` (flat indices), whose rays are given."""
    width = camera.size[0]
    face = buffers.face.ravel()[shown]
    px = (shown % width).astype(np.float32)
    py = (shown // width).astype(np.float32)
    planes = _plane_rows(mesh, camera)
    u_rows = _map_rows(mesh, camera, planes, "u_map")
    v_rows = _map_rows(mesh, camera, planes, "v_map")
    # The clamped value of the z-buffer, so that rims of faces do not run away from the camera.
    inverse = np.maximum(buffers.depth.ravel()[shown], 1e-5)
    depth = 1 / inverse

    def gather(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32)[face]

    ua, ub, va, vb = (gather(r[:, k]) for r in (u_rows, v_rows) for k in (0, 1))
    u = (ua * px + ub * py + gather(u_rows[:, 2])) * depth
    v = (va * px + vb * py + gather(v_rows[:, 2])) * depth
    wa, wb = gather(planes[:, 0]), gather(planes[:, 1])
    area = np.abs(((ua - u * wa) * (vb - v * wb) - (ub - u * wb) * (va - v * wa)) * depth * depth)
    colour, detail = _read_textures(mesh, face, u, v, np.log2(area + 1e-20), dither)
    del ua, ub, va, vb, u, v, wa, wb, area

    world = np.stack([ray[k] * depth + np.float32(camera.position[k]) for k in range(3)])
    bent_x = (detail[:, 0].astype(np.float32) - 128) / 120
    bent_y = (detail[:, 1].astype(np.float32) - 128) / 120
    straight = np.sqrt(np.clip(1 - bent_x**2 - bent_y**2, 0.04, 1))
    occlusion = detail[:, 3].astype(np.float32) / 255

    # Two-sided faces (leaves, flags) turn towards whoever looks.
    flip = np.where(
        mesh.two_sided & (((camera.position - mesh.points[mesh.starts]) * mesh.normals).sum(1) < 0),
        -1.0,
        1.0,
    )
    normals = mesh.normals * flip[:, None]

    def unit(vectors: np.ndarray) -> np.ndarray:
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    tangent, upward = unit(mesh.u_map[:, :3]), unit(mesh.v_map[:, :3])

    def against(vector: np.ndarray) -> np.ndarray:
        """Return the cosine of the bent normals with a direction."""
        return (
            straight * gather((normals * vector).sum(1))
            + bent_x * gather((tangent * vector).sum(1))
            + bent_y * gather((upward * vector).sum(1))
        )

    facing_sun = np.clip(against(light.sun), 0, 1)
    upness = against(np.array([0.0, 0.0, 1.0])) * 0.5 + 0.5
    if light.sun_colour.max() > 0.05:
        sun_seen = np.flatnonzero(facing_sun > 0)
        index = shown[sun_seen]
        place = (index // width % 64) * 64 + index % width % 64
        # Half a texel either way blurs the edges of shadows.
        jitter = [(noise[1 + k].ravel()[place] - 0.5) * np.float32(1.1) for k in range(2)]
        spots = world[:, sun_seen]
        outward = normals.astype(np.float32).T[:, face[sun_seen]]
        # Cut-outs stand across themselves, as the sun sees them: they must not cut their own light.
        flat = np.array([texture.alpha is not None for texture in mesh.textures])[mesh.texture]
        extra = (3.0 * flat).astype(np.float32)[face[sun_seen]]
        lit, known = _lit_by_sun(shadow_map(casters, light, middle), spots, outward, jitter, extra)
        lit = np.where(known, lit, 1)
        before = camera.position + camera.rotation[2] * NEAR_SHADOWS[1] * 0.8
        before[2] = 0
        close = shadow_map(casters, light, before, NEAR_SHADOWS)
        fine, known = _lit_by_sun(close, spots, outward, jitter, extra)
        facing_sun[sun_seen] *= np.where(known, fine, lit)
    # Near the ground walls see less sky; the light that comes up from the ground makes up for some.
    low = 1 - 0.4 * np.exp(-np.clip(world[2], 0, 50) / 2.5)
    level = gather(mesh.normals[:, 2]) > 0.9
    low = np.where(level, 1.0, low).astype(np.float32)
    occlusion = occlusion * low
    ground = np.flatnonzero(level & (world[2] < 0.2))
    if len(ground):
        # Large, soft stains keep the repeating pavement from looking the same everywhere.
        stain = sample_image(
            sky.clouds,
            np.mod(world[0][ground] * 9, Sky.SIDE).astype(np.float32),
            np.mod(world[1][ground] * 9, Sky.SIDE).astype(np.float32),
        )
        worn = np.ones(len(shown), np.float32)
        worn[ground] = np.clip(1 + 0.09 * stain, 0.7, 1.25)
        facing_sun *= worn
        occlusion *= worn
    result = np.empty((3, len(shown)), np.float32)
    for channel in range(3):
        base = _TO_LINEAR[colour[:, channel]] * gather(mesh.tint[:, channel])
        sky_light = light.ambient[channel] * upness + light.bounce[channel] * (1 - upness)
        result[channel] = base * (
            np.float32(light.sun_colour[channel]) * facing_sun + sky_light * occlusion
        )
    _add_glass(result, mesh, light, sky, face, detail[:, 2], ray, normals)
    glow = mesh.glow * light.evening
    if glow.any():
        lamp = gather(glow)
        for channel, strength in enumerate((1.0, 0.72, 0.36)):
            result[channel] += lamp * strength
    distance = depth * np.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
    veil = np.exp(-light.haze * distance)
    for channel in range(3):
        result[channel] = result[channel] * veil + light.horizon[channel] * (1 - veil)
    return result


def _add_glass(
    result: np.ndarray,
    mesh: Mesh,
    light: Light,
    sky: Sky,
    face: np.ndarray,
    glass: np.ndarray,
    ray: list[np.ndarray],
    normals: np.ndarray,
) -> None:
    """Let panes mirror the sky and, in the evening, shine."""
    panes = np.flatnonzero(glass > 20)
    if not len(panes):
        return
    normal = normals.astype(np.float32)[face[panes]].T
    view = np.stack([axis[panes] for axis in ray])
    view /= np.sqrt((view**2).sum(0))
    toward = (view * normal).sum(0)
    mirrored = view - 2 * toward * normal
    # Old panes are not quite flat: each shows another piece of sky.
    mirrored[2] += (glass[panes].astype(np.float32) / 255 - 0.5) * 0.35
    fresnel = 0.1 + 0.75 * (1 - np.abs(toward)) ** 3
    seen = sky.colour(mirrored[0], mirrored[1], np.abs(mirrored[2]), hills=False)
    seen = np.where(mirrored[2] > 0, seen, seen * 0.35)
    lit = np.clip((glass[panes].astype(np.float32) - (245 - 150 * light.evening)) / 60, 0, 1)
    lit = lit * np.float32(light.evening)
    for channel, warm in enumerate((1.25, 0.78, 0.34)):
        values = result[channel, panes] * (1 - fresnel) + seen[channel] * fresnel
        result[channel, panes] = values + lit * warm * 0.75


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
        polygons = [_clip_near(seen[s : s + c], NEAR) for s, c in zip(mesh.starts, mesh.counts)]
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
