"""Shading: light, shadow, glass and haze on the visible faces of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_world.modelling.mesh import Mesh
from sample_world.rendering.camera import Camera
from sample_world.rendering.light import Light
from sample_world.rendering.sampling import read_textures, sample_image
from sample_world.rendering.shadows import sunlit
from sample_world.rendering.sky import Sky
from sample_world.rendering.zbuffer import Buffers, map_rows, plane_rows

_TO_LINEAR = ((np.arange(256, dtype=np.float32) / 255) ** 2.2).astype(np.float32)


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
    picture = np.empty((3, height * width), np.float32)
    faces = buffers.face.ravel()
    back = np.flatnonzero(faces < 0)
    if len(back):
        picture[:, back] = _shade_sky(sky, camera, back)
    shown = np.flatnonzero(faces >= 0)
    if len(shown):
        noise = np.random.default_rng([light.seed, 5]).random((3, 64, 64), dtype=np.float32)
        scene = _Scene(mesh, casters, camera, light, sky, middle, noise)
        picture[:, shown] = _shade_faces(scene, _visible_pixels(scene, buffers, shown))
    return np.ascontiguousarray(picture.reshape(3, height, width).transpose(1, 2, 0))


def _directions(camera: Camera, index: np.ndarray) -> list[np.ndarray]:
    """Return the viewing rays of depth 1 of pixels (flat indices [n]): x, y and z [n] each."""
    rays = (camera.rotation.T @ camera.pixel_matrix()).astype(np.float32)
    px = (index % camera.size[0]).astype(np.float32)
    py = (index // camera.size[0]).astype(np.float32)
    return [rays[k, 0] * px + rays[k, 1] * py + rays[k, 2] for k in range(3)]


def _shade_sky(sky: Sky, camera: Camera, back: np.ndarray) -> np.ndarray:
    """Return linear RGB [3, n] of the pixels `back` (flat indices), which show nothing else."""
    width, height = camera.size
    # The sky is smooth: worked out for every second pixel, each way, and repeated.
    half = (back // width // 2) * width + back % width // 2
    needed = np.zeros(height * width, bool)
    needed[half] = True
    coarse = np.flatnonzero(needed)
    x, y, z = _directions(camera, (coarse // width * 2) * width + coarse % width * 2)
    length = 1 / np.sqrt(x * x + y * y + z * z)
    number = np.empty(height * width, np.int32)
    number[coarse] = np.arange(len(coarse), dtype=np.int32)
    return sky.colour(x * length, y * length, z * length)[:, number[half]]


@dataclass(frozen=True)
class _Scene:
    """What is shaded; see `shade_picture`. noise [3, 64, 64] is repeated over the picture."""

    mesh: Mesh
    casters: Mesh
    camera: Camera
    light: Light
    sky: Sky
    middle: np.ndarray
    noise: np.ndarray

    def noise_at(self, layer: int, index: np.ndarray) -> np.ndarray:
        """Return noise, 0 … 1, for pixels (flat indices [n])."""
        width = self.camera.size[0]
        return self.noise[layer].ravel()[(index // width % 64) * 64 + index % width % 64]


@dataclass(frozen=True)
class _Pixels:
    """The n pixels that show a face: which, and what is seen there.

    shown [n] are flat indices, face [n] the faces; ray is x, y and z [n] of the viewing ray, depth
    [n] in metres along the camera's axis, world [3, n] the places; colour and detail as in Texture.
    """

    shown: np.ndarray
    face: np.ndarray
    ray: list[np.ndarray]
    depth: np.ndarray
    world: np.ndarray
    colour: np.ndarray
    detail: np.ndarray

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Return the values [F] of faces for each pixel, float32 [n]."""
        return values.astype(np.float32)[self.face]


def _visible_pixels(scene: _Scene, buffers: Buffers, shown: np.ndarray) -> _Pixels:
    """Return the pixels `shown` (flat indices) with their textures read."""
    mesh, camera = scene.mesh, scene.camera
    face = buffers.face.ravel()[shown]
    px = (shown % camera.size[0]).astype(np.float32)
    py = (shown // camera.size[0]).astype(np.float32)
    planes = plane_rows(mesh, camera)
    u_rows = map_rows(mesh, camera, planes, "u_map")
    v_rows = map_rows(mesh, camera, planes, "v_map")
    # The clamped value of the z-buffer, so that rims of faces do not run away from the camera.
    depth = 1 / np.maximum(buffers.depth.ravel()[shown], 1e-5)

    def gather(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32)[face]

    ua, ub, va, vb = (gather(r[:, k]) for r in (u_rows, v_rows) for k in (0, 1))
    u = (ua * px + ub * py + gather(u_rows[:, 2])) * depth
    v = (va * px + vb * py + gather(v_rows[:, 2])) * depth
    wa, wb = gather(planes[:, 0]), gather(planes[:, 1])
    area = np.abs(((ua - u * wa) * (vb - v * wb) - (ub - u * wb) * (va - v * wa)) * depth * depth)
    dither = scene.noise_at(0, shown) - np.float32(0.5)
    colour, detail = read_textures(mesh, face, u, v, np.log2(area + 1e-20), dither)
    ray = _directions(camera, shown)
    world = np.stack([ray[k] * depth + np.float32(camera.position[k]) for k in range(3)])
    return _Pixels(shown, face, ray, depth, world, colour, detail)


def _shade_faces(scene: _Scene, pixels: _Pixels) -> np.ndarray:
    """Return linear RGB [3, n] of pixels."""
    mesh, light = scene.mesh, scene.light
    normals = _BentNormals(mesh, scene.camera, pixels)
    facing_sun = np.clip(normals.cosine(light.sun), 0, 1)
    upness = normals.cosine(np.array([0.0, 0.0, 1.0])) * 0.5 + 0.5
    if light.sun_colour.max() > 0.05:
        _cast_shadows(scene, pixels, normals.flat, facing_sun)
    occlusion = pixels.detail[:, 3].astype(np.float32) / 255
    occlusion = _shade_ground(scene, pixels, facing_sun, occlusion)
    result = np.empty((3, len(pixels.shown)), np.float32)
    for channel in range(3):
        base = _TO_LINEAR[pixels.colour[:, channel]] * pixels.gather(mesh.tint[:, channel])
        sky_light = light.ambient[channel] * upness + light.bounce[channel] * (1 - upness)
        result[channel] = base * (
            np.float32(light.sun_colour[channel]) * facing_sun + sky_light * occlusion
        )
    _add_glass(result, light, scene.sky, pixels, normals.flat)
    glow = mesh.glow * light.evening
    if glow.any():
        lamp = pixels.gather(glow)
        for channel, strength in enumerate((1.0, 0.72, 0.36)):
            result[channel] += lamp * strength
    ray = pixels.ray
    distance = pixels.depth * np.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
    veil = np.exp(-light.haze * distance)
    for channel in range(3):
        result[channel] = result[channel] * veil + light.horizon[channel] * (1 - veil)
    return result


class _BentNormals:
    """The normals of visible faces as the relief of their textures bends them.

    `flat` [F, 3] are those of the faces; two-sided faces (leaves, flags) turn to whoever looks.
    """

    def __init__(self, mesh: Mesh, camera: Camera, pixels: _Pixels) -> None:
        outward = ((camera.position - mesh.points[mesh.starts]) * mesh.normals).sum(1)
        turned = np.where(mesh.two_sided & (outward < 0), -1.0, 1.0)
        self.flat = mesh.normals * turned[:, None]
        self.pixels = pixels
        across = (pixels.detail[:, 0].astype(np.float32) - 128) / 120
        up = (pixels.detail[:, 1].astype(np.float32) - 128) / 120
        straight = np.sqrt(np.clip(1 - across**2 - up**2, 0.04, 1))
        self.bends = (straight, across, up)
        tangent, upward = (
            axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
            for axis in (mesh.u_map[:, :3], mesh.v_map[:, :3])
        )
        self.axes = (self.flat, tangent, upward)

    def cosine(self, direction: np.ndarray) -> np.ndarray:
        """Return the cosines [n] with a direction [3]."""
        ahead, across, up = (
            bend * self.pixels.gather((axis * direction).sum(1))
            for bend, axis in zip(self.bends, self.axes)
        )
        return ahead + across + up


def _cast_shadows(
    scene: _Scene, pixels: _Pixels, normals: np.ndarray, facing_sun: np.ndarray
) -> None:
    """Take the sun away, in place, where something stands between."""
    mesh = scene.mesh
    chosen = np.flatnonzero(facing_sun > 0)
    face, index = pixels.face[chosen], pixels.shown[chosen]
    # Half a texel either way blurs the edges of shadows.
    jitter = [(scene.noise_at(1 + k, index) - 0.5) * np.float32(1.1) for k in range(2)]
    # Cut-outs stand across themselves, as the sun sees them: they must not cut their own light.
    flat = np.array([texture.alpha is not None for texture in mesh.textures])[mesh.texture]
    extra = (3.0 * flat).astype(np.float32)[face]
    points = (pixels.world[:, chosen], normals.astype(np.float32).T[:, face])
    facing_sun[chosen] *= sunlit(
        scene.casters, scene.light, scene.camera, scene.middle, points, jitter, extra
    )


def _shade_ground(
    scene: _Scene, pixels: _Pixels, facing_sun: np.ndarray, occlusion: np.ndarray
) -> np.ndarray:
    """Return the occlusion with that by the ground; stains the ground (facing_sun in place)."""
    world = pixels.world
    # Near the ground walls see less sky; the light that comes up from the ground makes up for some.
    low = 1 - 0.4 * np.exp(-np.clip(world[2], 0, 50) / 2.5)
    level = pixels.gather(scene.mesh.normals[:, 2]) > 0.9
    occlusion = occlusion * np.where(level, 1.0, low).astype(np.float32)
    ground = np.flatnonzero(level & (world[2] < 0.2))
    if len(ground):
        # Large, soft stains keep the repeating pavement from looking the same everywhere.
        stain = sample_image(
            scene.sky.clouds,
            np.mod(world[0][ground] * 9, Sky.SIDE).astype(np.float32),
            np.mod(world[1][ground] * 9, Sky.SIDE).astype(np.float32),
        )
        worn = np.ones(len(pixels.shown), np.float32)
        worn[ground] = np.clip(1 + 0.09 * stain, 0.7, 1.25)
        facing_sun *= worn
        occlusion *= worn
    return occlusion


def _add_glass(
    result: np.ndarray, light: Light, sky: Sky, pixels: _Pixels, normals: np.ndarray
) -> None:
    """Let panes mirror the sky and, in the evening, shine."""
    glass = pixels.detail[:, 2]
    panes = np.flatnonzero(glass > 20)
    if not len(panes):
        return
    normal = normals.astype(np.float32)[pixels.face[panes]].T
    view = np.stack([axis[panes] for axis in pixels.ray])
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
