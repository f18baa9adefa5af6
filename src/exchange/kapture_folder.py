"""A kapture folder (format 1.1): cameras, photos, keypoints, descriptors and matches.

Text files with commas, and arrays as plain little-endian bytes; written by its specification
(kapture_format.adoc), without the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from src.common.atomic_files import PathLike, atomic_path, write_text
from src.common.errors import UserError
from src.exchange.colmap_database import FOCAL_LENGTH, keypoint_table
from src.exchange.pairs import MatchedPair
from src.exchange.photo_set import PhotoSet

#: What the features are called in the folder.
TYPE = "delf"
_VERSION = "# kapture format: 1.1"
#: An inlier's row: which keypoint of the first, which of the second, how good.
_MATCH_COLUMNS = 3


def write_kapture(folder: PathLike, photos: PhotoSet, matched: Iterable[MatchedPair]) -> None:
    """Write the folder; the photos themselves belong into its `sensors/records_data`.

    Raises:
        UserError: the name of a photo has a comma in it.
    """
    wrong = [name for name in photos.names if "," in name]
    if wrong:
        raise UserError(f"kapture parts names by commas, and {wrong[0]!r} has one; rename it")
    folder = Path(folder)
    _write_photos(folder / "sensors", photos)
    parts = folder / "reconstruction"
    found = [photos.features(name) for name in photos.names]
    length = max((each.dimension for each in found if len(each)), default=found[0].dimension)
    keypoints, descriptors = parts / "keypoints" / TYPE, parts / "descriptors" / TYPE
    _write_table(keypoints / "keypoints.txt", "name, dtype, dsize", [(TYPE, "float32", 4)])
    _write_table(
        descriptors / "descriptors.txt",
        "name, dtype, dsize, keypoints_type, metric_type",
        [(TYPE, "float32", length, TYPE, "L2")],
    )
    for name, features in zip(photos.names, found):
        _write_array(keypoints / f"{name}.kpt", keypoint_table(features), "<f4")
        _write_array(descriptors / f"{name}.desc", features.descriptors, "<f4")
    if all(each.global_descriptor is not None for each in found):
        whole = parts / "global_features" / TYPE
        size = len(found[0].global_descriptor)
        header = "name, dtype, dsize, metric_type"
        _write_table(whole / "global_features.txt", header, [(TYPE, "float32", size, "L2")])
        for name, features in zip(photos.names, found):
            _write_array(whole / f"{name}.gfeat", features.global_descriptor, "<f4")
    for pair in matched:
        _write_matches(parts / "matches" / TYPE, pair)


def _write_photos(folder: Path, photos: PhotoSet) -> None:
    cameras, records = [], []
    for number, name in enumerate(photos.names):
        height, width = photos.features(name).size
        lens = (FOCAL_LENGTH * max(height, width), width / 2, height / 2, 0)
        cameras.append((f"cam{number}", "", "camera", "SIMPLE_RADIAL", width, height, *lens))
        records.append((number, f"cam{number}", name))
    header = "sensor_device_id, name, sensor_type, [sensor_params]+"
    _write_table(folder / "sensors.txt", header, cameras)
    _write_table(folder / "records_camera.txt", "timestamp, device_id, image_path", records)


def _write_matches(folder: Path, pair: MatchedPair) -> None:
    """Write the inliers of a pair; kapture has the name that comes first in the alphabet first."""
    rows = np.column_stack([pair.verified, pair.scores[pair.inliers]]).reshape(-1, _MATCH_COLUMNS)
    first, second = pair.first, pair.second
    if first > second:
        first, second, rows = second, first, rows[:, [1, 0, 2]]
    _write_array(folder / f"{first}.overlapping" / f"{second}.matches", rows, "<f8")


def _write_table(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    lines = [_VERSION, f"# {header}", *(", ".join(map(str, row)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def _write_array(path: Path, array: np.ndarray, kind: str) -> None:
    with atomic_path(path, durable=False) as temporary:
        temporary.write_bytes(np.ascontiguousarray(array, kind).tobytes())
