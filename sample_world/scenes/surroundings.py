"""Laying out the surroundings of a landmark: ground, street, rows of houses, trees."""

from __future__ import annotations

import numpy as np

from sample_world.modelling.bodies import box
from sample_world.modelling.builder import MeshBuilder
from sample_world.scenes.furnishing import furnish
from sample_world.scenes.place import Place, View
from sample_world.street.props import Props

_FAR = 1500.0  # half the side of the ground, in metres


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
    view = View.between(eye, goal, extent)
    place = Place([], [], [(0.0, 0.0, 0.0)])
    margin = _lay_ground(rng, props, place, extent, setting)
    street = -extent[1] - margin - float(rng.uniform(5, 9))
    if setting != "park" and rng.random() < 0.75:
        _build_street(props, place, street)
        _park_vehicles(rng, props, place, view, street)
    else:
        street = None
    _build_rows(rng, props, place, view, street, setting)
    _plant_trees(rng, props, place, view, setting)
    furnish(rng, props, place, view, street)
    return place


def _lay_ground(
    rng: np.random.Generator,
    props: Props,
    place: Place,
    extent: tuple[float, float],
    setting: str,
) -> float:
    """Cover the ground; returns how far the pavement reaches beyond the extent."""
    x, y = extent
    grass = props.grass[int(rng.integers(2))]
    hard = (*props.paving, *props.cobbles)
    stone = hard[int(rng.integers(5))]
    base = {"park": grass, "square": stone, "city": props.asphalt}[setting]
    if setting == "city" and rng.random() < 0.7:
        base = hard[int(rng.integers(5))]
    place.cover(-_FAR, -_FAR, _FAR, _FAR, 0.0, base)
    margin = float(rng.uniform(5, 11))
    if setting == "park":
        path = 2.2 + x * 0.2
        place.cover(-path, -_FAR / 4, path, _FAR / 4, 0.02, stone)
    place.cover(-x - margin, -y - margin, x + margin, y + margin, 0.04, stone)
    return margin


def _build_street(props: Props, place: Place, street: float) -> None:
    """Build a street along x, its middle at y = street, with kerbs and pavements."""
    place.cover(-300, street - 4, 300, street + 4, 0.03, props.asphalt)
    b = MeshBuilder()
    for x in np.arange(-90, 90, 6.0):
        low, high = street - 0.08, street + 0.08
        dash = [[x, low, 0.05], [x + 3, low, 0.05], [x + 3, high, 0.05], [x, high, 0.05]]
        b.tiled(dash, props.marking, (1, 1))
    for y, side in ((street - 4.2, -1), (street + 4.0, 1)):
        box(b, -200, y, 200, y + 0.2, 0, 0.14, props.paving[1], top=props.paving[1])
        low, high = y + side * 1.3 - 1.1, y + side * 1.3 + 1.1
        walk = [[-200, low, 0.13], [200, low, 0.13], [200, high, 0.13], [-200, high, 0.13]]
        b.tiled(walk, props.paving[0], (8, 8))
    place.solids.append(b.build())


def _park_vehicles(
    rng: np.random.Generator, props: Props, place: Place, view: View, street: float
) -> None:
    """Put cars and now and then a bus on the street."""
    for _ in range(int(rng.integers(1, 7))):
        x, lane = float(rng.uniform(-45, 45)), float(rng.choice([-2.0, 2.0]))
        if view.from_eye(x, street + lane) < 7 or not place.free(x, street, 3):
            continue
        bus = rng.random() < 0.08
        stock = props.buses if bus else props.cars
        turn = 0.0 if lane < 0 else np.pi
        vehicle = stock[int(rng.integers(len(stock)))]
        place.solids.append(vehicle.placed(x, street + lane, 0.03, turn))
        place.taken.append((x, street + lane, 5.0 if bus else 2.6))


def _build_rows(
    rng: np.random.Generator,
    props: Props,
    place: Place,
    view: View,
    street: float | None,
    setting: str,
) -> None:
    """Frame the view with houses: two rows that open towards the goal, and one behind it."""
    dense = {"city": 0.95, "square": 0.85, "park": 0.2}[setting]
    direction, across, reach = view.direction, view.across, view.reach

    def row(start: np.ndarray, end: np.ndarray) -> None:
        _build_row(rng, props, place, view, street, start, end, dense)

    for side in (-1, 1):
        near = view.eye + across * side * float(rng.uniform(11, 22)) + direction * 10
        edge = view.goal + across * side * (reach * 1.1 + float(rng.uniform(14, 30)))
        if rng.random() < dense:
            row(near, edge + direction * 40)
        behind = view.goal + direction * (reach + float(rng.uniform(16, 45)))
        row(behind, behind + across * side * 110)
        if rng.random() < dense:
            row(edge + across * side * 12, edge + across * side * 100)


def _build_row(
    rng: np.random.Generator,
    props: Props,
    place: Place,
    view: View,
    street: float | None,
    start: np.ndarray,
    end: np.ndarray,
    share: float,
) -> None:
    """Build a share of the houses, wall to wall along a line, leaving out what is in the way."""
    length = float(np.linalg.norm(end - start))
    along = (end - start) / max(1e-6, length)
    turn = float(np.arctan2(along[1], along[0]))
    at = 0.0
    while at < length:
        house = props.houses[int(rng.integers(len(props.houses)))]
        spot = start + along * (at + house.width / 2)
        at += house.width + (0.0 if rng.random() < 0.7 else float(rng.uniform(3, 9)))
        radius = max(house.width, house.depth) * 0.52
        x, y = float(spot[0]), float(spot[1])
        if _blocked(place, view, street, x, y, radius) or rng.random() > share:
            continue
        tint = tuple(float(v) for v in rng.uniform(0.82, 1.1) * (1 + rng.normal(0, 0.03, 3)))
        place.solids.append(house.mesh.placed(x, y, 0, turn, tint=tint))
        place.taken.append((x, y, radius))


def _blocked(
    place: Place, view: View, street: float | None, x: float, y: float, radius: float
) -> bool:
    """Say whether a house would stand on something, on the street or in the line of sight."""
    gap, need = view.clearance(x, y)
    return (
        not view.outside(x, y, radius + 4)
        or (street is not None and abs(y - street) < 6 + radius)
        or gap < need + radius * 0.9
        or view.from_eye(x, y) < radius + 6
        or any(np.hypot(x - a, y - b) < 0.8 * (radius + r) for a, b, r in place.taken)
    )


def _plant_trees(
    rng: np.random.Generator, props: Props, place: Place, view: View, setting: str
) -> None:
    """Plant trees around the goal, or an avenue that leads there."""
    eye, goal, reach = view.eye, view.goal, view.reach
    trees = int(rng.integers(3, 18)) if setting != "park" else int(rng.integers(20, 44))
    avenue = rng.random() < 0.35
    kind = int(rng.integers(len(props.trees)))
    for number in range(trees):
        angle, away = rng.uniform(0, 2 * np.pi), reach * 0.75 + rng.uniform(5, 75)
        x, y = goal[0] + away * np.cos(angle), goal[1] + away * np.sin(angle)
        if avenue and number % 2:
            share = rng.uniform(0.2, 1.0)
            side = rng.choice([-1, 1])
            aside = view.across * side * (5 + share * reach)
            x, y = eye + view.direction * view.length * share + aside
        gap, need = view.clearance(x, y)
        if not view.outside(x, y, 4):
            continue
        if gap < need * (0.55 if avenue else 0.85) + 3 or view.from_eye(x, y) < 9:
            continue
        if not place.free(x, y, 2.2):
            continue
        if not avenue:
            kind = int(rng.integers(len(props.trees)))
        place.stand(rng, props.trees[kind], float(x), float(y), float(rng.uniform(0.7, 1.25)))
        place.taken.append((x, y, 1.5))
