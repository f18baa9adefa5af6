"""COLMAP's `database.db`: cameras, images, keypoints, matches and verified matches.

The tables are those of COLMAP 3 (scripts/python/database.py), which later versions read and extend
when they open one. Descriptors are left out: COLMAP's own matching wants SIFT of 128 bytes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

from src.common.atomic_files import PathLike, atomic_path
from src.common.errors import one_line
from src.exchange.coordinates import affine_from_corner, from_corner, to_corner
from src.exchange.pairs import MatchedPair
from src.exchange.photo_set import PhotoSet
from src.feature_io import DamagedFeaturesError, Features

DATABASE = "database.db"
#: COLMAP's number of a pair: this times the smaller image number, plus the other one.
PAIR_FACTOR = 2**31 - 1
#: f, cx, cy and one number of radial distortion.
SIMPLE_RADIAL = 2
#: COLMAP's guess of a focal length: so many times the longer side.
FOCAL_LENGTH = 1.2
#: One map of the plane explains the matches; where the cameras stood it does not say.
PLANAR_OR_PANORAMIC = 6

_TABLES = """
CREATE TABLE cameras (camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, model INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, params BLOB,
    prior_focal_length INTEGER NOT NULL);
CREATE TABLE images (image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT NOT NULL UNIQUE,
    camera_id INTEGER NOT NULL, prior_qw REAL, prior_qx REAL, prior_qy REAL, prior_qz REAL,
    prior_tx REAL, prior_ty REAL, prior_tz REAL,
    CONSTRAINT image_id_check CHECK(image_id >= 0 and image_id < 2147483647),
    FOREIGN KEY(camera_id) REFERENCES cameras(camera_id));
CREATE UNIQUE INDEX index_name ON images(name);
CREATE TABLE keypoints (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
    cols INTEGER NOT NULL, data BLOB,
    FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE descriptors (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
    cols INTEGER NOT NULL, data BLOB,
    FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE matches (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
    cols INTEGER NOT NULL, data BLOB);
CREATE TABLE two_view_geometries (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
    cols INTEGER NOT NULL, data BLOB, config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB, qvec BLOB,
    tvec BLOB);
"""


def write_database(path: PathLike, photos: PhotoSet, matched: Iterable[MatchedPair]) -> None:
    """Write a database; it takes its place when it is whole.

    Each photo has a camera of its own, whose focal length COLMAP is to find. `matches` are the
    mutual nearest descriptors; `two_view_geometries` the inliers, with our affine map as H.
    """
    with atomic_path(path) as temporary, closing(sqlite3.connect(temporary)) as database:
        database.executescript(_TABLES)
        with database:
            for number, name in enumerate(photos.names, start=1):
                _add_photo(database, number, name, photos.features(name))
            numbers = {name: number for number, name in enumerate(photos.names, start=1)}
            for pair in matched:
                _add_pair(database, numbers[pair.first], numbers[pair.second], pair)


def _add_photo(database: sqlite3.Connection, number: int, name: str, features: Features) -> None:
    height, width = features.size
    params = np.array([FOCAL_LENGTH * max(height, width), width / 2, height / 2, 0.0])
    camera = (number, SIMPLE_RADIAL, width, height, params.tobytes(), 0)
    database.execute("INSERT INTO cameras VALUES (?, ?, ?, ?, ?, ?)", camera)
    image = (number, name, number)
    database.execute("INSERT INTO images (image_id, name, camera_id) VALUES (?, ?, ?)", image)
    table = keypoint_table(features)
    keypoints = (number, *table.shape, table.tobytes())
    database.execute("INSERT INTO keypoints VALUES (?, ?, ?, ?)", keypoints)


def keypoint_table(features: Features) -> np.ndarray:
    """Return float32 [N, 4]: x and y from the corner of the photo, scale, orientation (0)."""
    scales = 1 / features.scales
    return np.column_stack([to_corner(features.locations), scales, np.zeros_like(scales)])


def _add_pair(database: sqlite3.Connection, one: int, other: int, pair: MatchedPair) -> None:
    """Add a pair; COLMAP has the image of the smaller number first."""
    matches, verified, affine = pair.matches, pair.verified, pair.affine
    homography = np.eye(3) if affine is None else affine_from_corner(affine)
    if one > other:
        one, other = other, one
        matches, verified = matches[:, ::-1], verified[:, ::-1]
        homography = np.linalg.inv(homography)
    key = PAIR_FACTOR * one + other
    rows = (key, *matches.shape, np.ascontiguousarray(matches, np.uint32).tobytes())
    database.execute("INSERT INTO matches VALUES (?, ?, ?, ?)", rows)
    if not len(verified):
        return
    blobs = (np.ascontiguousarray(verified, np.uint32).tobytes(), PLANAR_OR_PANORAMIC)
    maps = (homography.tobytes(), np.array([1.0, 0, 0, 0]).tobytes(), np.zeros(3).tobytes())
    unknown = np.zeros((3, 3)).tobytes()
    database.execute(
        "INSERT INTO two_view_geometries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (key, *verified.shape, *blobs, unknown, unknown, *maps),
    )


def read_database(path: PathLike) -> dict[str, Features]:
    """Read the keypoints of a database, whoever's they are, as features by the photos' names.

    They have no descriptors (length 0): COLMAP's are SIFT, in bytes. Attention is 1; a scale is one
    over COLMAP's, which is the mean length of the axes where a keypoint has a shape of its own.

    Raises:
        DamagedFeaturesError: it is missing, damaged, or something else.
    """
    if not Path(path).is_file():
        raise DamagedFeaturesError(f"there is no file {path}")
    found = {}
    try:
        address = f"{Path(path).resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            for name, height, width, rows, columns, data in database.execute(
                "SELECT name, height, width, rows, cols, data FROM images"
                " JOIN cameras USING (camera_id) JOIN keypoints USING (image_id) ORDER BY name"
            ):
                table = np.frombuffer(data or b"", np.float32).reshape(rows, columns)
                found[name] = _features(table, (height, width))
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise DamagedFeaturesError(
            f"{path} is not a readable database of COLMAP ({one_line(error)}); make it again"
        ) from None
    if not found:
        raise DamagedFeaturesError(f"{path} holds no keypoints; extract features in COLMAP first")
    return found


def _features(table: np.ndarray, size: tuple[int, int]) -> Features:
    """Return the features of COLMAP's keypoints, which have 2, 4 or 6 columns."""
    ones = np.ones(len(table), np.float32)
    if table.shape[1] == 6:
        scales = np.hypot(table[:, 2:4], table[:, 4:6]).mean(axis=1)
    else:
        scales = table[:, 2] if table.shape[1] == 4 else ones
    if not (scales > 0).all():
        raise ValueError("a keypoint has no scale")
    return Features(from_corner(table[:, :2]), 1 / scales, np.zeros((len(table), 0)), ones, size)
