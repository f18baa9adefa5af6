"""The small things of a place: people, lamps, benches, bushes, hedges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sample_world.modelling.bodies import box
from sample_world.modelling.builder import MeshBuilder
from sample_world.modelling.mesh import Mesh
from sample_world.scenes.place import Place, View
from sample_world.street.props import Props


def furnish(
    rng: np.random.Generator, props: Props, place: Place, view: View, street: float | None
) -> None:
    """Add the small things; `street` is the y of the street's middle, if there is one."""
    _bring_people(rng, props, place, view)
    _set_lamps(rng, props, place, view, street)
    for _ in range(int(rng.integers(1, 8))):
        x, y = _spot(rng, view, 9, view.length, 16)
        if view.outside(x, y, 2.5) and place.free(x, y, 2):
            thing = props.furniture[int(rng.integers(len(props.furniture)))]
            place.solids.append(thing.placed(x, y, 0, float(rng.uniform(0, 2 * np.pi))))
            place.taken.append((x, y, 1.5))
    for _ in range(int(rng.integers(0, 9))):
        x, y = _spot(rng, view, 9, view.length * 1.2, 20)
        if view.outside(x, y, 1.5) and place.free(x, y, 1.5):
            bush = props.bushes[int(rng.integers(len(props.bushes)))]
            place.stand(rng, bush, x, y, float(rng.uniform(0.6, 1.2)))
    if rng.random() < 0.3:
        place.solids.append(_hedges(props, view.extent))


def _spot(
    rng: np.random.Generator, view: View, near: float, far: float, spread: float
) -> tuple[float, float]:
    """Return a place before the camera, near … far metres away, the farther the more aside."""
    along = rng.uniform(near, max(near + 1, far))
    aside = rng.normal(0, spread) * (0.35 + along / max(view.length, 1) * 0.8)
    found = view.eye + view.direction * along + view.across * aside
    return float(found[0]), float(found[1])


def _bring_people(rng: np.random.Generator, props: Props, place: Place, view: View) -> None:
    """Add groups of one to three."""
    groups = int(rng.choice([2, 6, 12, 22]))
    for _ in range(groups):
        x, y = _spot(rng, view, 7, view.length, 14)
        if not view.outside(x, y, 0.5) or not place.free(x, y, 0.5):
            continue
        for _ in range(int(rng.integers(1, 4))):
            person = props.people[int(rng.integers(len(props.people)))]
            px, py = x + float(rng.normal(0, 0.7)), y + float(rng.normal(0, 0.5))
            place.stand(rng, person, px, py, float(rng.uniform(0.88, 1.05)))


def _set_lamps(
    rng: np.random.Generator, props: Props, place: Place, view: View, street: float | None
) -> None:
    """Set lamps along the street, or a few anywhere."""
    lamp = props.lamps[int(rng.integers(len(props.lamps)))]
    if street is not None and rng.random() < 0.8:
        for x in np.arange(-60, 61, float(rng.uniform(14, 22))):
            if abs(x - view.eye[0]) > 3 or abs(street + 4.8 - view.eye[1]) > 5:
                place.solids.append(lamp.placed(float(x), street + 4.9))
        return
    for _ in range(int(rng.integers(0, 6))):
        x, y = _spot(rng, view, 12, view.length, 18)
        if view.outside(x, y, 1) and place.free(x, y, 1):
            place.solids.append(lamp.placed(x, y))


def _hedges(props: Props, extent: tuple[float, float]) -> Mesh:
    """Build a hedge at either side of the way to the landmark."""
    b = MeshBuilder()
    for side in (-1, 1):
        x0, x1 = sorted((side * extent[0] * 0.45, side * (extent[0] + 4)))
        y = -extent[1] - 5.0
        box(b, x0, y - 0.5, x1, y + 0.5, 0, 1.0, props.hedge, top=props.hedge)
    # A box's walls carry the texture once: repeat it in metres instead.
    return _tile_walls(b.build(), 4.0)


def _tile_walls(mesh: Mesh, size: float) -> Mesh:
    """Return the mesh with textures laid in metres along x, y and z instead of once a face."""
    along_x = np.abs(mesh.normals[:, 0]) < 0.5
    u = np.zeros((mesh.face_count, 4))
    v = np.zeros((mesh.face_count, 4))
    u[along_x, 0], u[~along_x, 1] = 1 / size, 1 / size
    up = np.abs(mesh.normals[:, 2]) > 0.5
    v[up, 1], v[~up, 2] = 1 / size, 1 / size
    return replace(mesh, u_map=u, v_map=v)
