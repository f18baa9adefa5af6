"""The tables of Google Landmarks v2: which photo shows which landmark, and where it lies.

Everything is held in NumPy arrays (about 40 bytes a photo), never as an object a photo, so that
the five million rows of the full data set fit anywhere.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from src.common.atomic_files import PathLike
from src.common.csv_tables import read_columns, whole_numbers
from src.common.errors import UserError
from src.photos.finding import LeftOut, is_photo, is_skipped, walk

_ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class CleanTable:
    """The photos of `train_clean.csv`, sorted by id: `ids` bytes [N], `landmarks` int64 [N]."""

    ids: np.ndarray
    landmarks: np.ndarray
    listed_twice: int  # further mentions of an id, which do not count

    def find(self, ids: Sequence[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions in `ids` given, rows of this table) of the ids that are in both."""
        if len(ids) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        wanted = np.asarray(_to_bytes(ids))
        rows = np.searchsorted(self.ids, wanted).clip(max=len(self.ids) - 1)
        positions = np.flatnonzero(self.ids[rows] == wanted)
        return positions, rows[positions]


@dataclass(frozen=True)
class PhotoFiles:
    """Where the photos lie: one folder and one ending a row; folder −1 where there is none."""

    folders: list[str]
    endings: list[str]
    folder_of: np.ndarray  # int32 [N]
    ending_of: np.ndarray  # int16 [N]
    duplicates: int  # further files with the id of one that was found before

    def path(self, row: int, photo_id: bytes) -> str:
        """Return the path of the photo in a row."""
        name = photo_id.decode() + self.endings[self.ending_of[row]]
        return os.path.join(self.folders[self.folder_of[row]], name)

    def fingerprint(self, table: CleanTable) -> str:
        """Identify which photos of a table there are, wherever they lie."""
        digest = hashlib.sha256()
        present = self.folder_of >= 0
        digest.update(present.tobytes())
        for number, ending in enumerate(self.endings):
            ids = table.ids[present & (self.ending_of == number)]
            digest.update(ending.encode() + ids.tobytes())
        return digest.hexdigest()


def read_clean_table(path: PathLike) -> CleanTable:
    """Read `train_clean.csv` (columns `landmark_id`, `images`: ids separated by spaces).

    Raises:
        UserError: there is no such file, a column is missing, a landmark id is no integer, or no
            photo is listed.
    """
    ids: list[np.ndarray] = []
    landmarks: list[np.ndarray] = []
    for chunk in _read_csv(path, ("landmark_id", "images")):
        for landmark, names in zip(whole_numbers(chunk["landmark_id"], path), chunk["images"]):
            row = _to_bytes(names.split())
            if len(row):
                ids.append(row)
                landmarks.append(np.full(len(row), landmark, np.int64))
    if not ids:
        raise UserError(f"{path} lists no photo; is it the train_clean.csv of Google Landmarks v2?")
    every_id = np.concatenate(ids)
    unique, first = np.unique(every_id, return_index=True)
    return CleanTable(unique, np.concatenate(landmarks)[first], len(every_id) - len(unique))


def landmarks_in_train_table(path: PathLike, table: CleanTable) -> tuple[np.ndarray, np.ndarray]:
    """Look the photos up in `train.csv` (columns `id`, `landmark_id`; others do not matter).

    Returns:
        (found bool [N], landmarks int64 [N]); landmarks are only set where found.

    Raises:
        UserError: there is no such file, or a column is missing or holds no integers.
    """
    found = np.zeros(len(table.ids), bool)
    landmarks = np.zeros(len(table.ids), np.int64)
    for chunk in _read_csv(path, ("id", "landmark_id")):
        positions, rows = table.find(chunk["id"].to_numpy())
        found[rows] = True
        landmarks[rows] = whole_numbers(chunk["landmark_id"].iloc[positions], path)
    return found, landmarks


def find_photo_files(where: Iterable[str], table: CleanTable) -> PhotoFiles:
    """Find the files `<id>.<ending>` of the photos of a table.

    Args:
        where: folders, which are searched with their sub-folders, or glob patterns of folders.

    Raises:
        UserError: nothing matches, or there is no photo of the table.
    """
    folders: list[str] = []
    endings: dict[str, int] = {}
    folder_of = np.full(len(table.ids), -1, np.int32)
    ending_of = np.zeros(len(table.ids), np.int16)
    duplicates = 0
    where = [os.fspath(item) for item in where]
    left_out = LeftOut()
    for folder, _, names in walk(_expand(where), left_out):
        stems, numbers = [], []
        for name in sorted(names):
            stem, ending = os.path.splitext(name)
            if is_photo(name):
                stems.append(stem)
                numbers.append(endings.setdefault(ending, len(endings)))
            else:
                left_out.note_file(name)
        positions, rows = table.find(stems)
        rows, first = np.unique(rows, return_index=True)
        positions = positions[first]
        new = folder_of[rows] < 0
        duplicates += len(stems and first) - int(new.sum())
        if new.any():
            folder_of[rows[new]] = len(folders)
            ending_of[rows[new]] = np.asarray(numbers, np.int16)[positions[new]]
            folders.append(folder)
    left_out.log(" ".join(where[:3]))
    if not folders:
        raise UserError(
            f"no photo of the table in {' '.join(where[:3])}: files are to be called <id>.jpg, in "
            "any sub-folder; look at --train_directory and --train_clean_csv_path"
        )
    return PhotoFiles(folders, list(endings), folder_of, ending_of, duplicates)


def hash_keys(ids: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Return a pseudo-random number for each id, uint64 [N], that depends on id and seed alone.

    Sorting by it shuffles. Unlike a generator's stream it does not depend on the version of a
    library nor on which other photos there are.
    """
    salt = hashlib.blake2b(f"{purpose}/{seed}".encode(), digest_size=16).digest()
    digests = b"".join(
        hashlib.blake2b(photo_id, digest_size=8, key=salt).digest() for photo_id in ids.tolist()
    )
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def choose_validation(
    ids: np.ndarray, landmarks: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """Choose the photos kept for validation, each landmark's share of them, bool [N].

    Each landmark gives its share rounded down or up so that the total comes out right, and always
    keeps one photo for training at least.
    """
    order = np.lexsort((ids, hash_keys(ids, seed, "validation"), landmarks))
    starts = np.flatnonzero(np.diff(landmarks[order], prepend=landmarks[order][:1] - 1))
    ends = np.append(starts[1:], len(order))
    # The tiny addend keeps 0.29 × 100 = 28.999… from losing a photo.
    wanted = np.floor(ends * fraction + 1e-9) - np.floor(starts * fraction + 1e-9)
    counts = np.minimum(wanted.astype(np.int64), ends - starts - 1)
    place = np.arange(len(order)) - np.repeat(starts, ends - starts)
    chosen = np.zeros(len(ids), bool)
    chosen[order] = place < np.repeat(counts, ends - starts)
    return chosen


def shuffled(ids: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Return `rows` in an order that depends on the ids in them and the seed alone."""
    return rows[np.lexsort((ids[rows], hash_keys(ids[rows], seed, "shuffle")))]


def _to_bytes(ids: Sequence[str] | np.ndarray) -> np.ndarray:
    return np.asarray([photo_id.encode("utf-8", "surrogateescape") for photo_id in ids], dtype="S")


def _read_csv(path: PathLike, columns: tuple[str, ...]) -> Iterable[pd.DataFrame]:
    """Yield a csv file in parts that fit in memory, the named columns as text."""
    return read_columns(path, columns, f"no csv file at {path}", _ROWS_AT_ONCE)


def _expand(where: Sequence[str]) -> list[str]:
    """Return the folders that are named by paths or glob patterns, sorted."""
    folders: set[str] = set()
    for item in where:
        expanded = os.path.expanduser(item)
        matches = [expanded] if os.path.isdir(expanded) else glob.glob(expanded)
        literal = set(Path(expanded).parts)
        matches = [
            os.path.abspath(match)
            for match in matches
            if os.path.isdir(match) and not any(map(is_skipped, set(Path(match).parts) - literal))
        ]
        if not matches:
            raise UserError(f"no folder {item}; look at --train_directory")
        folders.update(matches)
    return sorted(folders)
