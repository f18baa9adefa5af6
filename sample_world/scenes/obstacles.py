"""Hiding a part of the landmark: behind trees, a house, a bus, a crowd, or beyond the frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sample_world.modelling.mesh import Mesh
from sample_world.rendering.camera import Camera
from sample_world.scenes.place import Place
from sample_world.street.props import Props

_KINDS = ("tree",) * 4 + ("house",) * 3 + ("frame",) * 2 + ("bus", "crowd")


def obstruct(
    rng: np.random.Generator,
    props: Props,
    place: Place,
    landmark: Mesh,
    camera: Camera,
    goal: float,
) -> Camera:
    """Hide all but about `goal` of the landmark: trees, a house, a bus, a crowd, or the frame.

    Adds to `place`; returns the camera, which looks aside where the frame does the hiding.
    """
    kind = str(rng.choice(_KINDS))
    if kind == "frame":
        return _look_aside(rng, landmark, camera, goal)
    low, high = _silhouette(landmark, camera)
    span = np.maximum(high - low, 1.0)
    hide = 1 - goal
    side = float(rng.choice([-1, 1]))
    if side > 0:
        first, last = high[0] - span[0] * hide, high[0]
    else:
        first, last = low[0], low[0] + span[0] * hide
    strip = _Strip(camera, first, last, side, span[1], hide)
    {"tree": _trees, "house": _house, "bus": _bus, "crowd": _crowd}[kind](rng, props, place, strip)
    return camera


def _silhouette(landmark: Mesh, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (low, high) of the landmark's box in the picture, edges ignored."""
    before = camera.to_camera(landmark.points)[:, 2] > 0.5
    flat = camera.project(landmark.points[before])
    return flat.min(0), flat.max(0)


def _look_aside(rng: np.random.Generator, landmark: Mesh, camera: Camera, goal: float) -> Camera:
    """Return a camera whose picture holds a part, turned and sometimes zoomed in."""
    low, high = _silhouette(landmark, camera)
    span = np.maximum(high - low, 1.0)
    if rng.random() < 0.5:
        # Nearer by zoom: the picture holds a part.
        pixels = camera.size[0] * camera.size[1]
        zoom = float(np.sqrt(pixels / max(1.0, float(np.prod(span))) / max(goal, 0.05)))
        zoom = float(np.clip(zoom, 1.0, 4.0))
        camera = replace(camera, focal=camera.focal * zoom)
        low, high = _silhouette(landmark, camera)
        span = high - low
    direction = rng.choice([-1, 1])
    # Turning by the angle that takes the hidden share beyond the edge.
    edge = camera.size[0] if direction > 0 else 0.0
    wanted = low[0] + span[0] * (goal if direction > 0 else 1 - goal)
    shift = float(edge - wanted)
    angle = np.arctan2(shift, camera.focal)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    return replace(camera, rotation=camera.rotation @ turned.T)


@dataclass(frozen=True)
class _Strip:
    """What of the picture is to be covered: columns first … last of a landmark `tall` pixels high.

    side says at which end of the landmark they are, hide which share of it they hold.
    """

    camera: Camera
    first: float
    last: float
    side: float
    tall: float
    hide: float

    @property
    def width(self) -> float:
        """Its width in pixels."""
        return self.last - self.first

    @property
    def reach(self) -> float:
        """How far the landmark's middle is away."""
        return float(np.linalg.norm(self.camera.position[:2]))

    @property
    def forward(self) -> np.ndarray:
        """Where the camera looks, level [3]."""
        forward = self.camera.rotation[2].copy()
        forward[2] = 0
        return forward / np.linalg.norm(forward)

    @property
    def right(self) -> np.ndarray:
        """What lies to the right of the camera [2]."""
        forward = self.forward
        return np.array([-forward[1], forward[0]]) * -1.0

    def ground(self, column: float, distance: float) -> tuple[float, float]:
        """Return the place on the ground seen at a column of the picture, that far away."""
        camera = self.camera
        aside = (column - camera.centre[0]) / camera.focal * distance
        spot = camera.position[:2] + self.forward[:2] * distance + self.right * aside
        return float(spot[0]), float(spot[1])


def _trees(rng: np.random.Generator, props: Props, place: Place, strip: _Strip) -> None:
    count, focal = int(rng.integers(1, 4)), strip.camera.focal
    for k in range(count):
        sprite = props.trees[int(rng.integers(len(props.trees)))]
        column = strip.first + strip.width * (k + 0.5) / count
        wide = strip.width / count
        # As near as makes its crown cover its part of the picture.
        distance = focal * sprite.width * 0.8 / max(8.0, wide)
        distance = float(np.clip(distance, 7.0, strip.reach * 0.6))
        scale = float(np.clip(wide * distance / focal / (sprite.width * 0.75), 0.7, 1.8))
        x, y = strip.ground(column, distance * float(rng.uniform(0.85, 1.1)))
        place.stand(rng, sprite, x, y, scale)


def _house(rng: np.random.Generator, props: Props, place: Place, strip: _Strip) -> None:
    house, focal = props.houses[int(rng.integers(len(props.houses)))], strip.camera.focal
    distance = focal * house.width / max(10.0, strip.width)
    distance = float(np.clip(distance, 16.0, strip.reach * 0.6))
    half = focal * house.width * 0.5 / distance
    column = strip.first + half if strip.side > 0 else strip.last - half
    x, y = strip.ground(column, distance + house.depth)
    forward = strip.forward
    turn = np.arctan2(forward[1], forward[0]) - np.pi / 2 + float(rng.normal(0, 0.12))
    place.solids.append(house.mesh.placed(x, y, 0, turn))


def _bus(rng: np.random.Generator, props: Props, place: Place, strip: _Strip) -> None:
    distance = strip.camera.focal * 3.1 / max(10.0, strip.tall * (0.3 + 0.7 * strip.hide))
    distance = float(np.clip(distance, 5.0, strip.reach * 0.5))
    right = strip.right
    turn = np.arctan2(right[1], right[0]) + float(rng.normal(0, 0.15))
    mesh = props.buses[int(rng.integers(len(props.buses)))]
    x, y = strip.ground((strip.first + strip.last) / 2, distance + 1.2)
    place.solids.append(mesh.placed(x, y, 0, turn))


def _crowd(rng: np.random.Generator, props: Props, place: Place, strip: _Strip) -> None:
    for _ in range(int(6 + 16 * strip.hide)):
        distance = float(rng.uniform(3.2, 8.0))
        x, y = strip.ground(float(rng.uniform(strip.first, strip.last)), distance)
        person = props.people[int(rng.integers(len(props.people)))]
        place.stand(rng, person, x, y, float(rng.uniform(0.9, 1.05)))
