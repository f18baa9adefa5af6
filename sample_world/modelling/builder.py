"""Collecting the faces of a mesh."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from sample_world.drawing.texture import Texture
from sample_world.modelling.mesh import OTHER, Mesh

_Vector = tuple[float, float, float]


def _minus(a: _Vector, b: _Vector) -> _Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _dot(a: _Vector, b: _Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: _Vector, b: _Vector) -> _Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@dataclass
class MeshBuilder:
    """Collects faces; `build` returns the mesh."""

    owner: int = OTHER
    polygons: list[np.ndarray] = field(default_factory=list)
    maps: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    normals: list[np.ndarray] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    sides: list[bool] = field(default_factory=list)
    glows: list[float] = field(default_factory=list)
    textures: list[Texture] = field(default_factory=list)

    def face(
        self,
        points: np.ndarray,
        texture: Texture,
        coordinates: np.ndarray,
        two_sided: bool = False,
    ) -> None:
        """Add a flat convex polygon [n, 3], anticlockwise from outside.

        `coordinates` [3 or more, 2] are texture coordinates of the first points; the mapping is
        affine, so the first three, which must not be in line, decide it.
        """
        points = np.asarray(points, np.float64)
        (u0, v0), (u1, v1), (u2, v2) = (coordinates[k] for k in range(3))
        corners = [tuple(p) for p in points.tolist()]
        first = _minus(corners[1], corners[0])
        second = _minus(corners[2], corners[0])
        normal = _cross(first, second)
        area = (0.0, 0.0, 0.0)
        for p, q in itertools.pairwise(corners[1:]):
            part = _cross(_minus(p, corners[0]), _minus(q, corners[0]))
            area = (area[0] + part[0], area[1] + part[1], area[2] + part[2])
        length = _dot(area, area) ** 0.5
        square = _dot(normal, normal)
        if length < 1e-9 or square < 1e-18:
            return
        # The gradients that lie in the plane and rise as asked along the first two edges.
        along_u, along_v = _cross(second, normal), _cross(normal, first)
        maps = []
        for start, rise_u, rise_v in ((u0, u1 - u0, u2 - u0), (v0, v1 - v0, v2 - v0)):
            gradient = tuple((rise_u * a + rise_v * b) / square for a, b in zip(along_u, along_v))
            maps.append(np.array([*gradient, start - _dot(gradient, corners[0])]))
        self.polygons.append(points)
        self.maps.append((maps[0], maps[1]))
        self.normals.append(np.array(area) / length)
        for index, known_texture in enumerate(self.textures):
            if known_texture is texture:
                self.numbers.append(index)
                break
        else:
            self.numbers.append(len(self.textures))
            self.textures.append(texture)
        self.sides.append(two_sided)
        self.glows.append(0.0)

    def tiled(
        self,
        points: np.ndarray,
        texture: Texture,
        size: tuple[float, float],
        two_sided: bool = False,
    ) -> None:
        """Add a polygon under a repeating texture of `size` metres; its first edge is level."""
        points = np.asarray(points, np.float64)
        along = points[1] - points[0]
        along = along / max(1e-9, np.linalg.norm(along))
        normal = np.cross(points[1] - points[0], points[2] - points[0])
        normal = normal / max(1e-9, np.linalg.norm(normal))
        up = np.cross(normal, along)
        relative = points - points[0]
        coordinates = np.stack([relative @ along / size[0], relative @ up / size[1]], 1)
        self.face(points, texture, coordinates[:3], two_sided)

    def wall(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        z0: float,
        z1: float,
        texture: Texture,
        span: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
        two_sided: bool = False,
    ) -> None:
        """Add an upright rectangle over a line on the ground, seen with `start` at the left."""
        u0, v0, u1, v1 = span
        points = np.array([[*start, z0], [*end, z0], [*end, z1], [*start, z1]])
        self.face(points, texture, [[u0, v0], [u1, v0], [u1, v1]], two_sided)

    def mapped(
        self,
        points: np.ndarray,
        texture: Texture,
        known: np.ndarray,
        coordinates: list[list[float]],
    ) -> None:
        """Add a face whose mapping is given at three points of its plane."""
        normal = np.cross(known[1] - known[0], known[2] - known[0])
        basis = np.stack([known[1] - known[0], known[2] - known[0], normal])
        rises = np.zeros((3, 2))
        rises[:2] = np.array(coordinates[1:]) - np.array(coordinates[0])
        gradient = np.linalg.solve(basis, rises)
        first = np.array(coordinates[0]) + (points - known[0]) @ gradient
        self.face(points, texture, first[:3])

    def build(self) -> Mesh:
        """Return the mesh of all faces so far."""
        counts = np.array([len(p) for p in self.polygons], np.int32)
        return Mesh(
            np.concatenate(self.polygons),
            np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32),
            counts,
            np.array(self.normals),
            np.array([m[0] for m in self.maps]),
            np.array([m[1] for m in self.maps]),
            np.array(self.numbers, np.int32),
            np.ones((len(counts), 3)),
            np.full(len(counts), self.owner, np.int32),
            np.array(self.sides, bool),
            np.array(self.glows, np.float64),
            tuple(self.textures),
        )
