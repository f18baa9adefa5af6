"""Composing a photo of the sample world: light, place, camera, what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sample_world.film import Film, choose_film, develop
from sample_world.mesh import Mesh, MeshBuilder, join
from sample_world.props import Props, Sprite
from sample_world.render import (
    Buffers,
    Camera,
    full_area,
    landmark_mask,
    rasterise,
    shade_picture,
)
from sample_world.sky import MOODS, Light, choose_light

SUPERSAMPLING = 1.5
GOOD_FRACTION = 0.75
OK_FRACTION = 0.25
# The share of a landmark that photos of each class aim at, away from the limits of the class.
_AIMS = {"query": (0.85, 1.01), "good": (0.8, 1.01), "ok": (0.31, 0.68), "junk": (0.04, 0.21)}
_TRIES = 10
_OBSTACLES = ("tree",) * 4 + ("house",) * 3 + ("frame",) * 2 + ("bus", "crowd")


@dataclass(frozen=True)
class Photo:
    """A finished picture: uint8 RGB [h, w, 3], share of the landmark that is visible, and its box.

    The box is (left, top, right, bottom) in pixels around what is visible of the landmark, with
    right and bottom one past the last pixel, or None where nothing of it is seen.
    """

    picture: np.ndarray
    visible: float
    box: tuple[float, float, float, float] | None


def visibility_class(visible: float) -> str:
    """Return the Oxford class of a visible share: good above 75 %, ok above 25 %, else junk."""
    if visible > GOOD_FRACTION:
        return "good"
    return "ok" if visible > OK_FRACTION else "junk"


def measure(
    scene: Mesh, landmark: Mesh, camera: Camera, buffers: Buffers
) -> tuple[float, tuple[float, float, float, float] | None]:
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


# -- place -----------------------------------------------------------------------------------------


@dataclass
class Place:
    """A scene as it grows: solid meshes, and cut-outs with where they stand."""

    solids: list[Mesh]
    sprites: list[tuple[Sprite, float, float, float, tuple[float, float, float], bool]]
    taken: list[tuple[float, float, float]]

    def free(self, x: float, y: float, radius: float) -> bool:
        """Say whether a circle on the ground touches nothing placed so far."""
        return all(np.hypot(x - a, y - b) > radius + r for a, b, r in self.taken)

    def stand(
        self, rng: np.random.Generator, sprite: Sprite, x: float, y: float, scale: float = 1.0
    ) -> None:
        """Add a cut-out at a place, a little different each time."""
        brightness = float(rng.uniform(0.8, 1.2))
        hue = float(rng.normal(0, 0.05))
        tint = (brightness * (1 + hue), brightness, brightness * (1 - hue))
        self.sprites.append((sprite, x, y, scale, tint, bool(rng.random() < 0.5)))

    def mesh(self, towards: np.ndarray) -> Mesh:
        """Return everything, cut-outs turned towards a point."""
        flat = [
            sprite.facing(x, y, towards, scale, tint, mirror)
            for sprite, x, y, scale, tint, mirror in self.sprites
        ]
        return join([*self.solids, *flat])


def _patch(
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    z: float,
    texture,
    size: float = 8.0,
    turn: float = 0,
) -> Mesh:
    b = MeshBuilder()
    b.tiled([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], texture, (size, size))
    return b.build().placed(turn=turn)


def _segment_distance(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[float, float]:
    """Return how far a point is from a line segment, and where along it (0 … 1) that is."""
    along = end - start
    share = float(np.clip((point - start) @ along / max(1e-9, along @ along), 0, 1))
    return float(np.linalg.norm(point - start - share * along)), share


def lay_out(
    rng: np.random.Generator,
    props: Props,
    extent: tuple[float, float],
    eye: np.ndarray,
    goal: np.ndarray,
    setting: str,
) -> Place:
    """Return surroundings: ground, street, houses, trees, people, clear of the line of sight.

    `extent` is half the width and depth kept free around the origin, `eye` the camera's and `goal`
    the target's place on the ground [2]; `setting` is city, square or park.
    """
    place = Place([], [], [(0.0, 0.0, 0.0)])
    far = 1500.0
    reach_x, reach_y = extent
    reach = max(reach_x, reach_y)
    gras = props.grass[int(rng.integers(2))]
    stone = (*props.paving, *props.cobbles)[int(rng.integers(5))]
    base = {"park": gras, "square": stone, "city": props.asphalt}[setting]
    if setting == "city" and rng.random() < 0.7:
        base = (*props.paving, *props.cobbles)[int(rng.integers(5))]
    place.solids.append(_patch(-far, -far, far, far, 0.0, base))
    margin = float(rng.uniform(5, 11))
    if setting == "park":
        path = 2.2 + reach_x * 0.2
        place.solids.append(_patch(-path, -far / 4, path, far / 4, 0.02, stone))
    place.solids.append(
        _patch(
            -reach_x - margin, -reach_y - margin, reach_x + margin, reach_y + margin, 0.04, stone
        )
    )
    street = -reach_y - margin - float(rng.uniform(5, 9))
    has_street = setting != "park" and rng.random() < 0.75
    if has_street:
        place.solids.append(_patch(-300, street - 4, 300, street + 4, 0.03, props.asphalt))
        dash = MeshBuilder()
        for x in np.arange(-90, 90, 6.0):
            dash.tiled(
                [
                    [x, street - 0.08, 0.05],
                    [x + 3, street - 0.08, 0.05],
                    [x + 3, street + 0.08, 0.05],
                    [x, street + 0.08, 0.05],
                ],
                props.marking,
                (1, 1),
            )
        for y, side in ((street - 4.2, -1), (street + 4.0, 1)):
            dash.box(-200, y, 200, y + 0.2, 0, 0.14, props.paving[1], top=props.paving[1])
            dash.tiled(
                [
                    [-200, y + side * 1.3 - 1.1, 0.13],
                    [200, y + side * 1.3 - 1.1, 0.13],
                    [200, y + side * 1.3 + 1.1, 0.13],
                    [-200, y + side * 1.3 + 1.1, 0.13],
                ],
                props.paving[0],
                (8, 8),
            )
        place.solids.append(dash.build())
        for _ in range(int(rng.integers(1, 7))):
            x, lane = float(rng.uniform(-45, 45)), float(rng.choice([-2.0, 2.0]))
            if np.hypot(x - eye[0], street + lane - eye[1]) < 7 or not place.free(x, street, 3):
                continue
            bus = rng.random() < 0.08
            stock = props.buses if bus else props.cars
            turn = 0.0 if lane < 0 else np.pi
            place.solids.append(
                stock[int(rng.integers(len(stock)))].placed(x, street + lane, 0.03, turn)
            )
            place.taken.append((x, street + lane, 5.0 if bus else 2.6))
    direction = goal - eye
    length = float(np.linalg.norm(direction))
    direction = direction / max(length, 1e-6)
    across = np.array([-direction[1], direction[0]])

    def sight(x: float, y: float) -> tuple[float, float]:
        """Return the distance from the line of sight and the half width it needs there."""
        distance, share = _segment_distance(np.array([x, y]), eye, goal)
        return distance, 2.0 + share * reach * 1.05

    def terrace(start: np.ndarray, end: np.ndarray, share: float) -> None:
        """Build houses wall to wall along a line, leaving out what would be in the way."""
        along = (end - start) / max(1e-6, float(np.linalg.norm(end - start)))
        turn = float(np.arctan2(along[1], along[0]))
        at = 0.0
        while at < float(np.linalg.norm(end - start)):
            mesh, width, depth, _ = props.houses[int(rng.integers(len(props.houses)))]
            spot = start + along * (at + width / 2)
            at += width + (0.0 if rng.random() < 0.7 else float(rng.uniform(3, 9)))
            radius = max(width, depth) * 0.52
            x, y = float(spot[0]), float(spot[1])
            gap, need = sight(x, y)
            blocked = (
                (abs(x) < reach_x + radius + 4 and abs(y) < reach_y + radius + 4)
                or (has_street and abs(y - street) < 6 + radius)
                or gap < need + radius * 0.9
                or np.hypot(x - eye[0], y - eye[1]) < radius + 6
                or any(np.hypot(x - a, y - b) < 0.8 * (radius + r) for a, b, r in place.taken)
            )
            if blocked or rng.random() > share:
                continue
            tint = tuple(float(v) for v in rng.uniform(0.82, 1.1) * (1 + rng.normal(0, 0.03, 3)))
            place.solids.append(mesh.placed(x, y, 0, turn, tint=tint))
            place.taken.append((x, y, radius))

    dense = {"city": 0.95, "square": 0.85, "park": 0.2}[setting]
    for side in (-1, 1):
        # Two rows that open towards the goal, and one behind it, frame the view.
        near = eye + across * side * float(rng.uniform(11, 22)) + direction * 10
        edge = goal + across * side * (reach * 1.1 + float(rng.uniform(14, 30)))
        if rng.random() < dense:
            terrace(near, edge + direction * 40, dense)
        behind = goal + direction * (reach + float(rng.uniform(16, 45)))
        terrace(behind, behind + across * side * 110, dense)
        if rng.random() < dense:
            terrace(edge + across * side * 12, edge + across * side * 100, dense)
    trees = int(rng.integers(3, 18)) if setting != "park" else int(rng.integers(20, 44))
    avenue = rng.random() < 0.35
    kind = int(rng.integers(len(props.trees)))
    for number in range(trees):
        angle, away = rng.uniform(0, 2 * np.pi), reach * 0.75 + rng.uniform(5, 75)
        x, y = goal[0] + away * np.cos(angle), goal[1] + away * np.sin(angle)
        if avenue and number % 2:
            share = rng.uniform(0.2, 1.0)
            side = rng.choice([-1, 1])
            x, y = eye + direction * length * share + across * side * (5 + share * reach)
        gap, need = sight(x, y)
        if abs(x) < reach_x + 4 and abs(y) < reach_y + 4:
            continue
        if gap < need * (0.55 if avenue else 0.85) + 3 or np.hypot(x - eye[0], y - eye[1]) < 9:
            continue
        if not place.free(x, y, 2.2):
            continue
        if not avenue:
            kind = int(rng.integers(len(props.trees)))
        place.stand(rng, props.trees[kind], float(x), float(y), float(rng.uniform(0.7, 1.25)))
        place.taken.append((x, y, 1.5))
    _furnish(
        rng, props, place, eye, direction, across, length, extent, street if has_street else None
    )
    return place


def _furnish(
    rng: np.random.Generator,
    props: Props,
    place: Place,
    eye: np.ndarray,
    direction: np.ndarray,
    across: np.ndarray,
    length: float,
    extent: tuple[float, float],
    street: float | None,
) -> None:
    """Add the small things: people, lamps, benches, bushes and hedges."""

    def spot(near: float, far: float, spread: float) -> tuple[float, float]:
        along = rng.uniform(near, max(near + 1, far))
        aside = rng.normal(0, spread) * (0.35 + along / max(length, 1) * 0.8)
        found = eye + direction * along + across * aside
        return float(found[0]), float(found[1])

    def outside(x: float, y: float, gap: float) -> bool:
        return abs(x) > extent[0] + gap or abs(y) > extent[1] + gap

    crowd = int(rng.choice([2, 6, 12, 22]))
    for _ in range(crowd):
        x, y = spot(7, length, 14)
        if outside(x, y, 0.5) and place.free(x, y, 0.5):
            for _ in range(int(rng.integers(1, 4))):
                person = props.people[int(rng.integers(len(props.people)))]
                place.stand(
                    rng,
                    person,
                    x + float(rng.normal(0, 0.7)),
                    y + float(rng.normal(0, 0.5)),
                    float(rng.uniform(0.88, 1.05)),
                )
    lamp = props.lamps[int(rng.integers(len(props.lamps)))]
    if street is not None and rng.random() < 0.8:
        for x in np.arange(-60, 61, float(rng.uniform(14, 22))):
            if abs(x - eye[0]) > 3 or abs(street + 4.8 - eye[1]) > 5:
                place.solids.append(lamp.placed(float(x), street + 4.9))
    else:
        for _ in range(int(rng.integers(0, 6))):
            x, y = spot(12, length, 18)
            if outside(x, y, 1) and place.free(x, y, 1):
                place.solids.append(lamp.placed(x, y))
    for _ in range(int(rng.integers(1, 8))):
        x, y = spot(9, length, 16)
        if outside(x, y, 2.5) and place.free(x, y, 2):
            thing = props.furniture[int(rng.integers(len(props.furniture)))]
            place.solids.append(thing.placed(x, y, 0, float(rng.uniform(0, 2 * np.pi))))
            place.taken.append((x, y, 1.5))
    for _ in range(int(rng.integers(0, 9))):
        x, y = spot(9, length * 1.2, 20)
        if outside(x, y, 1.5) and place.free(x, y, 1.5):
            place.stand(
                rng,
                props.bushes[int(rng.integers(len(props.bushes)))],
                x,
                y,
                float(rng.uniform(0.6, 1.2)),
            )
    if rng.random() < 0.3:
        b = MeshBuilder()
        for side in (-1, 1):
            x0, x1 = sorted((side * extent[0] * 0.45, side * (extent[0] + 4)))
            y = -extent[1] - 5.0
            b.box(x0, y - 0.5, x1, y + 0.5, 0, 1.0, props.hedge, top=props.hedge)
        hedge = b.build()
        # A box's walls carry the texture once: repeat it in metres instead.
        place.solids.append(_tile_walls(hedge, 4.0))


def _tile_walls(mesh: Mesh, size: float) -> Mesh:
    """Return the mesh with textures laid in metres along x, y and z instead of once a face."""
    along_x = np.abs(mesh.normals[:, 0]) < 0.5
    u = np.zeros((mesh.face_count, 4))
    v = np.zeros((mesh.face_count, 4))
    u[along_x, 0], u[~along_x, 1] = 1 / size, 1 / size
    up = np.abs(mesh.normals[:, 2]) > 0.5
    v[up, 1], v[~up, 2] = 1 / size, 1 / size
    return replace(mesh, u_map=u, v_map=v)


# -- camera and obstacles --------------------------------------------------------------------------


def choose_camera(
    rng: np.random.Generator,
    landmark: Mesh,
    size: tuple[int, int],
    spread: float = 60.0,
    farthest: float = 4.0,
) -> Camera:
    """Return a camera before a landmark.

    It stands up to `spread` degrees aside, at 1 to `farthest` times the distance from which a
    wide-angle lens takes everything in.
    """
    height = float(landmark.points[:, 2].max())
    half = np.abs(landmark.points[:, :2]).max(0)
    turn = np.deg2rad(rng.uniform(-spread, spread))
    aside = abs(np.cos(turn)) * half[0] + abs(np.sin(turn)) * half[1]
    width, tall = size
    # How far one must stand for a wide-angle lens to take it all in.
    span = max(height / tall, 2 * aside / width) * max(size)
    nearest = 0.85 * span + float(np.hypot(*half)) * 0.55
    distance = nearest * float(np.exp(rng.uniform(0, np.log(farthest))))
    eye_height = float(rng.choice([1.65, 1.7, 1.8, 3.5, 9.0], p=[0.3, 0.3, 0.2, 0.12, 0.08]))
    place = np.array([np.sin(turn) * distance, -np.cos(turn) * distance, eye_height])
    share = float(rng.uniform(0.5, 0.97))
    if distance > 2 * nearest:
        share = float(rng.uniform(0.3, 0.9))
    focal = share * max(size) * (distance - float(min(half))) / span
    focal = float(np.clip(focal, 0.6 * max(size), 4.0 * max(size)))
    slack = max(0.0, 1 - share)
    # The foot of the landmark comes to the lower part of the picture, if its top allows.
    metres = tall * (distance - float(min(half))) / focal
    level = max(height - metres * 0.46, min(metres * float(rng.uniform(0.14, 0.32)), height * 0.6))
    target = np.array([rng.normal(0, 0.5) * slack * aside, 0.0, level])
    return Camera.looking(place, target, focal, size, float(rng.normal(0, 0.012)))


def _silhouette(landmark: Mesh, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (low, high) of the landmark's box in the picture, edges ignored."""
    before = camera.to_camera(landmark.points)[:, 2] > 0.5
    flat = camera.project(landmark.points[before])
    return flat.min(0), flat.max(0)


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
    low, high = _silhouette(landmark, camera)
    span = np.maximum(high - low, 1.0)
    kind = str(rng.choice(_OBSTACLES))
    hide = 1 - goal
    if kind == "frame":
        if rng.random() < 0.5:
            # Nearer by zoom: the picture holds a part.
            side = camera.size[0] * camera.size[1]
            zoom = float(np.sqrt(side / max(1.0, float(np.prod(span))) / max(goal, 0.05)))
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
    forward = camera.rotation[2].copy()
    forward[2] = 0
    forward /= np.linalg.norm(forward)
    right = np.array([-forward[1], forward[0]]) * -1.0
    side = float(rng.choice([-1, 1]))
    reach = float(np.linalg.norm(camera.position[:2]))

    def ground(column: float, distance: float) -> tuple[float, float]:
        """Return the place on the ground seen at a column of the picture, that far away."""
        aside = (column - camera.centre[0]) / camera.focal * distance
        spot = camera.position[:2] + forward[:2] * distance + right * aside
        return float(spot[0]), float(spot[1])

    if side > 0:
        first, last = high[0] - span[0] * hide, high[0]
    else:
        first, last = low[0], low[0] + span[0] * hide
    middle, wide = (first + last) / 2, last - first
    if kind == "tree":
        count = int(rng.integers(1, 4))
        for k in range(count):
            sprite = props.trees[int(rng.integers(len(props.trees)))]
            column = first + wide * (k + 0.5) / count
            # As near as makes its crown cover its part of the picture.
            distance = float(
                np.clip(
                    camera.focal * sprite.width * 0.8 / max(8.0, wide / count), 7.0, reach * 0.6
                )
            )
            scale = float(
                np.clip(wide / count * distance / camera.focal / (sprite.width * 0.75), 0.7, 1.8)
            )
            x, y = ground(column, distance * float(rng.uniform(0.85, 1.1)))
            place.stand(rng, sprite, x, y, scale)
    elif kind == "house":
        mesh, width, depth, _ = props.houses[int(rng.integers(len(props.houses)))]
        distance = float(np.clip(camera.focal * width / max(10.0, wide), 16.0, reach * 0.6))
        half = camera.focal * width * 0.5 / distance
        column = first + half if side > 0 else last - half
        x, y = ground(column, distance + depth)
        turn = np.arctan2(forward[1], forward[0]) - np.pi / 2 + float(rng.normal(0, 0.12))
        place.solids.append(mesh.placed(x, y, 0, turn))
    elif kind == "bus":
        distance = float(
            np.clip(camera.focal * 3.1 / max(10.0, span[1] * (0.3 + 0.7 * hide)), 5.0, reach * 0.5)
        )
        turn = np.arctan2(right[1], right[0]) + float(rng.normal(0, 0.15))
        mesh = props.buses[int(rng.integers(len(props.buses)))]
        x, y = ground(middle, distance + 1.2)
        place.solids.append(mesh.placed(x, y, 0, turn))
    else:
        for _ in range(int(6 + 16 * hide)):
            distance = float(rng.uniform(3.2, 8.0))
            x, y = ground(float(rng.uniform(first, last)), distance)
            place.stand(
                rng,
                props.people[int(rng.integers(len(props.people)))],
                x,
                y,
                float(rng.uniform(0.9, 1.05)),
            )
    return camera


# -- photos ----------------------------------------------------------------------------------------


def _take(
    scene: Mesh, casters: Mesh, camera: Camera, light: Light, film: Film, middle: np.ndarray
) -> tuple[np.ndarray, Camera, Buffers]:
    fine = camera.scaled(SUPERSAMPLING)
    buffers = rasterise(scene, fine)
    picture = shade_picture(scene, casters, fine, buffers, light, middle)
    picture = cv2.resize(np.minimum(picture, 8), camera.size, interpolation=cv2.INTER_AREA)
    return develop(picture, film), fine, buffers


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
    _, place, camera = best
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
