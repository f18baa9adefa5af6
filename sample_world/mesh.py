"""Meshes of the sample world: flat convex faces with textures, and the bodies made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sample_world.textures import Texture

LANDMARK = 1
OTHER = 0


@dataclass(frozen=True)
class Mesh:
    """Textured faces in metres, z up.

    points [P, 3]; starts, counts [F]: which points make each face (a flat convex polygon, seen
    anticlockwise from its front); normals [F, 3]; u_map, v_map [F, 4]: texture coordinates as
    affine functions of the position (coordinate = map[:3] · p + map[3]); texture [F]: index into
    `textures`; tint [F, 3]: factor on the colour; owner [F]: LANDMARK or OTHER; two_sided [F];
    glow [F]: light the face gives off by itself in the evening.
    """

    points: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    normals: np.ndarray
    u_map: np.ndarray
    v_map: np.ndarray
    texture: np.ndarray
    tint: np.ndarray
    owner: np.ndarray
    two_sided: np.ndarray
    glow: np.ndarray
    textures: tuple[Texture, ...]

    @property
    def face_count(self) -> int:
        """Number of faces."""
        return len(self.starts)

    def placed(
        self,
        x: float = 0.0,
        y: float = 0.0,
        z: float = 0.0,
        turn: float = 0.0,
        scale: float = 1.0,
        tint: tuple[float, float, float] | None = None,
    ) -> Mesh:
        """Return a copy scaled, turned about the vertical (radians) and moved."""
        cos, sin = np.cos(turn), np.sin(turn)
        rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        shift = np.array([x, y, z], np.float64)

        def moved(affine: np.ndarray) -> np.ndarray:
            gradient = affine[:, :3] @ rotation.T / scale
            return np.concatenate([gradient, (affine[:, 3] - gradient @ shift)[:, None]], 1)

        return replace(
            self,
            points=self.points @ rotation.T * scale + shift,
            normals=self.normals @ rotation.T,
            u_map=moved(self.u_map),
            v_map=moved(self.v_map),
            tint=self.tint if tint is None else self.tint * np.array(tint),
        )


def join(meshes: list[Mesh]) -> Mesh:
    """Return one mesh of several; textures used by more than one of them are kept once."""
    textures: dict[int, int] = {}
    kept: list[Texture] = []
    numbers = []
    starts, offset = [], 0
    for mesh in meshes:
        lookup = np.empty(len(mesh.textures), np.int32)
        for index, texture in enumerate(mesh.textures):
            if id(texture) not in textures:
                textures[id(texture)] = len(kept)
                kept.append(texture)
            lookup[index] = textures[id(texture)]
        numbers.append(lookup[mesh.texture])
        starts.append(mesh.starts + offset)
        offset += len(mesh.points)

    def together(name: str) -> np.ndarray:
        return np.concatenate([getattr(mesh, name) for mesh in meshes])

    return Mesh(
        together("points"),
        np.concatenate(starts),
        together("counts"),
        together("normals"),
        together("u_map"),
        together("v_map"),
        np.concatenate(numbers),
        together("tint"),
        together("owner"),
        together("two_sided"),
        together("glow"),
        tuple(kept),
    )


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
    tints: list[tuple[float, float, float]] = field(default_factory=list)
    sides: list[bool] = field(default_factory=list)
    glows: list[float] = field(default_factory=list)
    textures: list[Texture] = field(default_factory=list)

    def face(
        self,
        points: np.ndarray,
        texture: Texture,
        coordinates: np.ndarray,
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
        two_sided: bool = False,
        glow: float = 0.0,
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
        normal, length = _cross(first, second), 0.0
        area = (0.0, 0.0, 0.0)
        for p, q in zip(corners[1:-1], corners[2:]):
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
        self.tints.append(tint)
        self.sides.append(two_sided)
        self.glows.append(glow)

    def tiled(
        self,
        points: np.ndarray,
        texture: Texture,
        size: tuple[float, float],
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
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
        self.face(points, texture, coordinates[:3], tint, two_sided)

    def wall(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        z0: float,
        z1: float,
        texture: Texture,
        span: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
        two_sided: bool = False,
        glow: float = 0.0,
    ) -> None:
        """Add an upright rectangle over a line on the ground, seen with `start` at the left."""
        u0, v0, u1, v1 = span
        points = np.array([[*start, z0], [*end, z0], [*end, z1], [*start, z1]])
        self.face(points, texture, [[u0, v0], [u1, v0], [u1, v1]], tint, two_sided, glow)

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        z0: float,
        z1: float,
        front: Texture,
        side: Texture | None = None,
        top: Texture | None = None,
        top_size: tuple[float, float] = (4.0, 4.0),
        bottom: bool = False,
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Add four walls (front and back at the two ends of y) and, given `top`, a flat roof."""
        side = side or front
        self.wall((x0, y0), (x1, y0), z0, z1, front, tint=tint)
        self.wall((x1, y0), (x1, y1), z0, z1, side, tint=tint)
        self.wall((x1, y1), (x0, y1), z0, z1, front, tint=tint)
        self.wall((x0, y1), (x0, y0), z0, z1, side, tint=tint)
        if top is not None:
            self.tiled(
                [[x0, y0, z1], [x1, y0, z1], [x1, y1, z1], [x0, y1, z1]], top, top_size, tint
            )
            if bottom:
                self.tiled(
                    [[x0, y1, z0], [x1, y1, z0], [x1, y0, z0], [x0, y0, z0]], top, top_size, tint
                )

    def frustum(
        self,
        cx: float,
        cy: float,
        radii: tuple[float, float],
        heights: tuple[float, float],
        sides: int,
        texture: Texture,
        size: tuple[float, float] | None = None,
        turn: float = 0.0,
        wraps: float = 1.0,
        cap: Texture | None = None,
        stretch: tuple[float, float] = (1.0, 1.0),
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Add a ring of faces between two regular polygons; radius 0 above makes a pyramid.

        `size` tiles the texture in metres; without it the texture goes `wraps` times around.
        `stretch` scales x and y; `radii` reach to the corners.
        """
        angles = turn + np.arange(sides + 1) * 2 * np.pi / sides
        ring = np.stack([np.cos(angles) * stretch[0], np.sin(angles) * stretch[1]], 1)
        centre = np.array([cx, cy])
        low, high = centre + ring * radii[0], centre + ring * radii[1]
        z0, z1 = heights
        for k in range(sides):
            points = [[*low[k], z0], [*low[k + 1], z0]]
            if radii[1] > 1e-6:
                points += [[*high[k + 1], z1], [*high[k], z1]]
            else:
                points += [[*centre, z1]]
            if radii[0] <= 1e-6:
                points = [[*centre, z0], [*high[k + 1], z1], [*high[k], z1]]
            if size is not None:
                self.tiled(points, texture, size, tint)
                continue
            u0, u1 = k / sides * wraps, (k + 1) / sides * wraps
            # Symmetric about the middle of the face, so that tapering cuts both sides alike.
            middle = [(np.array(points[-1]) + np.array(points[-2])) / 2] if radii[1] > 1e-6 else []
            if middle:
                corner = np.array(points[0]), np.array(points[1]), middle[0]
                wide = [[u0, 0.0], [u1, 0.0], [(u0 + u1) / 2, 1.0]]
                if radii[1] > radii[0]:
                    corner = (
                        np.array(points[3]),
                        np.array(points[2]),
                        (np.array(points[0]) + np.array(points[1])) / 2,
                    )
                    wide = [[u0, 1.0], [u1, 1.0], [(u0 + u1) / 2, 0.0]]
                self._mapped(np.array(points), texture, np.array(corner), wide, tint)
            else:
                self.face(points, texture, [[u0, 0], [u1, 0], [(u0 + u1) / 2, 1]], tint)
        if cap is not None and radii[1] > 1e-6:
            roof = np.concatenate([high[:-1], np.full((sides, 1), z1)], 1)
            self.tiled(roof, cap, size or (3.0, 3.0), tint)

    def _mapped(
        self,
        points: np.ndarray,
        texture: Texture,
        known: np.ndarray,
        coordinates: list[list[float]],
        tint: tuple[float, float, float],
    ) -> None:
        """Add a face whose mapping is given at three points of its plane."""
        normal = np.cross(known[1] - known[0], known[2] - known[0])
        basis = np.stack([known[1] - known[0], known[2] - known[0], normal])
        rises = np.zeros((3, 2))
        rises[:2] = np.array(coordinates[1:]) - np.array(coordinates[0])
        gradient = np.linalg.solve(basis, rises)
        first = np.array(coordinates[0]) + (points - known[0]) @ gradient
        self.face(points, texture, first[:3], tint)

    def dome(
        self,
        cx: float,
        cy: float,
        z: float,
        radius: float,
        rise: float,
        texture: Texture,
        sides: int = 20,
        rings: int = 6,
        onion: float = 0.0,
        top: float = 0.06,
        wraps: float = 1.0,
        turn: float = 0.0,
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Add a dome over a circle; `onion` bulges it out, `top` is the share left open on top."""
        t = np.linspace(0, 1, rings + 1)
        profile = np.maximum(np.cos(t * np.pi / 2), top)
        profile = profile + onion * np.sin(t * np.pi) * (1 - t)
        level = z + rise * np.sin(t * np.pi / 2)
        for ring in range(rings):
            angles = turn + np.arange(sides + 1) * 2 * np.pi / sides
            low = np.stack([np.cos(angles), np.sin(angles)], 1) * radius * profile[ring]
            high = np.stack([np.cos(angles), np.sin(angles)], 1) * radius * profile[ring + 1]
            v0, v1 = t[ring], t[ring + 1]
            for k in range(sides):
                a = np.array([cx + low[k, 0], cy + low[k, 1], level[ring]])
                b = np.array([cx + low[k + 1, 0], cy + low[k + 1, 1], level[ring]])
                c = np.array([cx + high[k + 1, 0], cy + high[k + 1, 1], level[ring + 1]])
                d = np.array([cx + high[k, 0], cy + high[k, 1], level[ring + 1]])
                u0, u1 = k / sides * wraps, (k + 1) / sides * wraps
                middle = (c + d) / 2
                self._mapped(
                    np.array([a, b, c, d]),
                    texture,
                    np.array([a, b, middle]),
                    [[u0, v0], [u1, v0], [(u0 + u1) / 2, v1]],
                    tint,
                )

    def gable(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        z: float,
        rise: float,
        roof: Texture,
        size: tuple[float, float],
        ends: Texture | None = None,
        along: str = "y",
        over: float = 0.4,
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Add a pitched roof whose ridge runs along x or y; `ends` fills the gable triangles."""
        if along == "y":
            middle = (x0 + x1) / 2
            drop = over * rise / max(1e-6, (x1 - x0) / 2)
            left = [[x0 - over, y1 + over, z - drop], [x0 - over, y0 - over, z - drop]]
            left += [[middle, y0 - over, z + rise], [middle, y1 + over, z + rise]]
            right = [[x1 + over, y0 - over, z - drop], [x1 + over, y1 + over, z - drop]]
            right += [[middle, y1 + over, z + rise], [middle, y0 - over, z + rise]]
            triangles = (
                [[x0, y0, z], [x1, y0, z], [middle, y0, z + rise]],
                [[x1, y1, z], [x0, y1, z], [middle, y1, z + rise]],
            )
        else:
            middle = (y0 + y1) / 2
            drop = over * rise / max(1e-6, (y1 - y0) / 2)
            left = [[x0 - over, y0 - over, z - drop], [x1 + over, y0 - over, z - drop]]
            left += [[x1 + over, middle, z + rise], [x0 - over, middle, z + rise]]
            right = [[x1 + over, y1 + over, z - drop], [x0 - over, y1 + over, z - drop]]
            right += [[x0 - over, middle, z + rise], [x1 + over, middle, z + rise]]
            triangles = (
                [[x1, y0, z], [x1, y1, z], [x1, middle, z + rise]],
                [[x0, y1, z], [x0, y0, z], [x0, middle, z + rise]],
            )
        for slope in (left, right):
            self.tiled(slope, roof, size, tint, two_sided=True)
        if ends is not None:
            for triangle in triangles:
                self.face(np.array(triangle), ends, [[0, 0], [1, 0], [0.5, 1]], tint)

    def hip(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        z: float,
        rise: float,
        roof: Texture,
        size: tuple[float, float],
        over: float = 0.4,
        flat: float = 0.0,
        tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Add a hipped roof; `flat` > 0 cuts it off (mansard) at that share of the half width."""
        x0, y0, x1, y1 = x0 - over, y0 - over, x1 + over, y1 + over
        inset = min(x1 - x0, y1 - y0) / 2 * (1 - flat)
        a, b, c, d = (x0 + inset, y0 + inset), (x1 - inset, y0 + inset), (
            x1 - inset, y1 - inset), (x0 + inset, y1 - inset)  # fmt: skip
        top = z + rise
        lower = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        upper = [a, b, c, d]
        for k in range(4):
            p, q = lower[k], lower[(k + 1) % 4]
            r, s = upper[(k + 1) % 4], upper[k]
            points = [[*p, z], [*q, z], [*r, top], [*s, top]]
            if np.hypot(r[0] - s[0], r[1] - s[1]) < 1e-6:
                points = points[:3]
            self.tiled(points, roof, size, tint)
        if flat > 0:
            self.tiled([[*p, top] for p in upper], roof, size, tint)

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
            np.array(self.tints, np.float64),
            np.full(len(counts), self.owner, np.int32),
            np.array(self.sides, bool),
            np.array(self.glows, np.float64),
            tuple(self.textures),
        )
