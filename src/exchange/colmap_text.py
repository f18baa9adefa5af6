"""COLMAP's text files: keypoints for `feature_importer`, verified matches for `matches_importer`.

The database beside them holds the same and more; they are for those who have one already. A file of
keypoints wants 128 bytes of SIFT a line; they are 0, since nothing matches by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from src.common.atomic_files import PathLike, atomic_path
from src.exchange.colmap_database import keypoint_table
from src.exchange.pairs import MatchedPair
from src.exchange.photo_set import PhotoSet

KEYPOINTS, MATCHES = "keypoints", "matches.txt"
_SIFT_LENGTH = 128


def write_keypoint_texts(folder: PathLike, photos: PhotoSet) -> None:
    """Write `<photo>.txt` for each photo (`--import_path` of `feature_importer`)."""
    blank = " 0" * _SIFT_LENGTH
    for name in photos.names:
        table = keypoint_table(photos.features(name))
        lines = [f"{len(table)} {_SIFT_LENGTH}"]
        lines += [" ".join(f"{value:.9g}" for value in row) + blank for row in table]
        with atomic_path(Path(folder) / f"{name}.txt", durable=False) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_match_list(path: PathLike, matched: Iterable[MatchedPair]) -> None:
    """Write the verified matches of all pairs that have any (`--match_type inliers`)."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for pair in matched:
            if len(pair.verified):
                rows = "".join(f"{a} {b}\n" for a, b in pair.verified.tolist())
                file.write(f"{pair.first} {pair.second}\n{rows}\n")
