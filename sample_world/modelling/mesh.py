"""Meshes: flat convex faces with textures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sample_world.drawing.texture import Texture

# Whom a face belongs to.
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
