"""Taking a photo: of a landmark of which a share is visible, or a view without any."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sample_world.modelling.mesh import Mesh, join
from sample_world.rendering.camera import Camera
from sample_world.rendering.film import Film, choose_film, develop
from sample_world.rendering.light import MOODS, Light, choose_light
from sample_world.rendering.shading import shade_picture
from sample_world.rendering.zbuffer import Buffers, rasterise
from sample_world.scenes.framing import choose_camera
from sample_world.scenes.obstacles import obstruct
from sample_world.scenes.place import Place
from sample_world.scenes.surroundings import lay_out
from sample_world.scenes.visibility import Box, measure
from sample_world.street.props import Props

SUPERSAMPLING = 1.5
# The share of a landmark that photos of each class aim at, away from the limits of the class.
_AIMS = {"query": (0.85, 1.01), "good": (0.8, 1.01), "ok": (0.31, 0.68), "junk": (0.04, 0.21)}
_TRIES = 10


@dataclass(frozen=True)
class Photo:
    """A finished picture: uint8 RGB [h, w, 3], share of the landmark that is visible, and its box.

    The box is (left, top, right, bottom) in pixels around what is visible of the landmark, with
    right and bottom one past the last pixel, or None where nothing of it is seen.
    """

    picture: np.ndarray
    visible: float
    box: Box | None


def take_photo(
    landmark: Mesh, props: Props, size: tuple[int, int], wanted: str, seed: list[int]
) -> Photo:
    """Return a photo of a landmark of which as much is visible as the class `wanted` says.

    `wanted` (good, ok or junk; query is a good one from near by and by day) is what the composition
    aims at; the visible share in the result is measured on the finished picture.
    """
    rng = np.random.default_rng(seed)
    light = choose_light(rng, MOODS[:5] if wanted == "query" else MOODS)
    film = choose_film(rng)
    place, camera = _compose(rng, landmark, props, size, wanted)
    scene = join([landmark, place.mesh(camera.position)])
    casters = join([landmark, place.mesh(light.sun * 1e4)])
    middle = np.array([*(camera.position[:2] * 0.3), 5.0])
    picture, fine, buffers = _take(scene, casters, camera, light, film, middle)
    visible, box = measure(scene, landmark, fine, buffers)
    if box is not None:
        box = (
            float(np.floor(box[0] / SUPERSAMPLING)),
            float(np.floor(box[1] / SUPERSAMPLING)),
            float(np.ceil(box[2] / SUPERSAMPLING)),
            float(np.ceil(box[3] / SUPERSAMPLING)),
        )
    return Photo(picture, visible, box)


def _compose(
    rng: np.random.Generator, landmark: Mesh, props: Props, size: tuple[int, int], wanted: str
) -> tuple[Place, Camera]:
    """Return surroundings and camera: of some tries the one nearest to the wanted visibility."""
    half = np.abs(landmark.points[:, :2]).max(0)
    extent = (float(half[0]), float(half[1]))
    setting = str(rng.choice(["city", "city", "square", "park"]))
    low, high = _AIMS[wanted]
    best: tuple[float, Place, Camera] | None = None
    for _ in range(_TRIES):
        camera = choose_camera(rng, landmark, size, farthest=1.8 if wanted == "query" else 4.0)
        place = lay_out(rng, props, extent, camera.position[:2], np.zeros(2), setting)
        if wanted in ("ok", "junk"):
            camera = obstruct(rng, props, place, landmark, camera, float(rng.uniform(low, high)))
        scene = join([landmark, place.mesh(camera.position)])
        small = camera.scaled(140 / max(size))
        visible, _ = measure(scene, landmark, small, rasterise(scene, small))
        miss = max(low - visible, visible - high, 0.0)
        if best is None or miss < best[0]:
            best = (miss, place, camera)
        if miss == 0:
            break
    return best[1:]


def take_view(props: Props, size: tuple[int, int], kind: str, seed: list[int]) -> np.ndarray:
    """Return a photo without any landmark, uint8 RGB [h, w, 3]: a street or a park."""
    rng = np.random.default_rng(seed)
    light, film = choose_light(rng), choose_film(rng)
    turn = rng.uniform(0, 2 * np.pi)
    distance = float(rng.uniform(35, 80))
    eye = np.array([np.sin(turn) * distance, -np.cos(turn) * distance])
    camera = Camera.looking(
        np.array([*eye, float(rng.choice([1.65, 1.75, 4.0]))]),
        np.array([0.0, 0.0, float(rng.uniform(2, 7))]),
        float(rng.uniform(0.65, 1.6)) * max(size),
        size,
        float(rng.normal(0, 0.012)),
    )
    place = lay_out(rng, props, (3.0, 3.0), eye, np.zeros(2), kind)
    if kind == "park" or rng.random() < 0.5:
        for _ in range(int(rng.integers(2, 7))):
            x, y = rng.normal(0, 10, 2)
            sprite = props.trees[int(rng.integers(len(props.trees)))]
            place.stand(rng, sprite, float(x), float(y), float(rng.uniform(0.7, 1.3)))
    scene = place.mesh(camera.position)
    casters = place.mesh(light.sun * 1e4)
    return _take(scene, casters, camera, light, film, np.array([*(eye * 0.3), 5.0]))[0]


def _take(
    scene: Mesh, casters: Mesh, camera: Camera, light: Light, film: Film, middle: np.ndarray
) -> tuple[np.ndarray, Camera, Buffers]:
    fine = camera.scaled(SUPERSAMPLING)
    buffers = rasterise(scene, fine)
    picture = shade_picture(scene, casters, fine, buffers, light, middle)
    picture = cv2.resize(np.minimum(picture, 8), camera.size, interpolation=cv2.INTER_AREA)
    return develop(picture, film), fine, buffers
