"""Which photos of the tables go into a training set, and why the others do not."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.common.atomic_files import PathLike, write_csv
from src.common.errors import UserError, one_line
from src.common.progress import progress_bar
from src.common.regular_files import open_regular
from src.common.worker_processes import in_processes
from src.photos.jpeg_check import BrokenPhotoError, is_plain_jpeg
from src.photos.reading import UnreadableImageError
from src.shards.tables import CleanTable, PhotoFiles, landmarks_in_train_table
from src.shards.writer import LARGEST_PHOTO, converted_jpeg

LOG = logging.getLogger(__name__)

SKIPPED = "skipped_images.csv"

_CHECKED_AT_ONCE = 64
_KEEP, _CONVERT, _BROKEN = range(3)


class Verdict(NamedTuple):
    """What became of one photo when it was checked."""

    state: int
    size: int  # bytes it takes in a shard
    reason: str


@dataclass
class Selection:
    """Every photo of the table with what is known of it; a reason stands for each one left out."""

    table: CleanTable
    files: PhotoFiles
    reasons: dict[str, np.ndarray]  # reason → rows
    states: np.ndarray  # uint8 [N], after the check
    sizes: np.ndarray  # int64 [N]
    broken: dict[int, str]  # row → reason

    def usable(self) -> np.ndarray:
        """Return which photos nothing speaks against, bool [N]."""
        usable = np.ones(len(self.table.ids), bool)
        for rows in self.reasons.values():
            usable[rows] = False
        usable[list(self.broken)] = False
        return usable

    def to_convert(self) -> np.ndarray:
        """Return which photos are no plain JPEG and have to be converted, bool [N]."""
        return self.states == _CONVERT

    def path(self, row: int) -> str:
        """Return the path of the photo in a row."""
        return self.files.path(row, self.table.ids[row])


def select(table: CleanTable, files: PhotoFiles, train_csv_path: PathLike | None) -> Selection:
    """Find out from tables and folders alone which photos cannot be used."""
    reasons = {}
    known = np.ones(len(table.ids), bool)
    if train_csv_path is not None:
        found, landmarks = landmarks_in_train_table(train_csv_path, table)
        reasons["not in train.csv"] = np.flatnonzero(~found)
        reasons["another landmark in train.csv"] = np.flatnonzero(
            found & (landmarks != table.landmarks)
        )
        known = found & (landmarks == table.landmarks)
    reasons["no such file"] = np.flatnonzero(known & (files.folder_of < 0))
    count = len(table.ids)
    return Selection(
        table, files, reasons, np.zeros(count, np.uint8), np.zeros(count, np.int64), {}
    )


def check_photos(selection: Selection, workers: int) -> None:
    """Check every photo that is still in, and note what is to be done with it."""
    rows = np.flatnonzero(selection.usable())
    parts = [rows[i : i + _CHECKED_AT_ONCE] for i in range(0, len(rows), _CHECKED_AT_ONCE)]
    tasks = ([selection.path(row) for row in part] for part in parts)
    with progress_bar("checking", len(rows), "photo") as bar:
        for part, verdicts in zip(parts, in_processes(_check_part, tasks, workers)):
            for row, verdict in zip(part.tolist(), verdicts):
                selection.states[row] = verdict.state
                selection.sizes[row] = verdict.size
                if verdict.state == _BROKEN:
                    selection.broken[row] = verdict.reason
            bar.update(len(part))


def _check_part(paths: list[str]) -> list[Verdict]:
    return [_check_photo(path) for path in paths]


def _check_photo(path: str) -> Verdict:
    try:
        with open_regular(path) as file:
            data = file.read()
        if is_plain_jpeg(data):
            verdict = Verdict(_KEEP, len(data), "")
        else:
            verdict = Verdict(_CONVERT, len(converted_jpeg(path)), "")
    except (BrokenPhotoError, UnreadableImageError) as error:
        return Verdict(_BROKEN, 0, one_line(error))
    except OSError as error:
        return Verdict(_BROKEN, 0, error.strerror or one_line(error))
    if verdict.size > LARGEST_PHOTO:
        return Verdict(_BROKEN, 0, f"{verdict.size / 1e6:.0f} MB are too many for a shard")
    return verdict


def count(selection: Selection) -> dict[str, int]:
    """Count the photos by what became of them, and report those left out."""
    listed = len(selection.table.ids)
    left_out = {reason: len(rows) for reason, rows in selection.reasons.items() if len(rows)}
    used = int(selection.usable().sum())
    for reason, number in left_out.items():
        LOG.warning("%d of %d listed photos left out: %s", number, listed, reason)
    if selection.broken:
        row, reason = next(iter(sorted(selection.broken.items())))
        LOG.warning(
            "%d of %d listed photos cannot be read, for instance %s: %s",
            len(selection.broken),
            listed,
            selection.path(row),
            reason,
        )
    if selection.table.listed_twice:
        LOG.warning("%d photos are listed twice; the first counts", selection.table.listed_twice)
    if selection.files.duplicates:
        LOG.warning(
            "%d files have the id of another file; the first counts", selection.files.duplicates
        )
    return {
        "listed": listed,
        "used": used,
        "left_out": listed - used,
        "missing": len(selection.reasons["no such file"]),
        "unreadable": len(selection.broken),
        "converted": int(selection.to_convert().sum()),
    }


def refuse_too_many_bad(counts: dict[str, int], max_bad_fraction: float, output: Path) -> None:
    """Refuse a selection that leaves out more than a share of the listed photos, or all of them.

    Raises:
        UserError: it does; the list in `output` says why.
    """
    if counts["used"] == 0:
        raise UserError(
            f"none of the {counts['listed']} listed photos can be used; {output / SKIPPED} says why"
        )
    bad = counts["left_out"] / counts["listed"]
    if bad > max_bad_fraction:
        raise UserError(
            f"{counts['left_out']} of {counts['listed']} listed photos ({bad:.0%}) are missing or "
            f"unreadable ({output / SKIPPED} says which); finish the download, or pass "
            f"--max_bad_fraction={min(1.0, np.ceil(bad * 100) / 100):g} to go on with the rest"
        )


def write_skipped(output: Path, selection: Selection) -> None:
    """Write the list of the photos left out, with the reason for each."""
    rows = {int(row): reason for reason, some in selection.reasons.items() for row in some}
    rows.update(selection.broken)
    table, files = selection.table, selection.files
    write_csv(
        output / SKIPPED,
        ("file_id", "old_label", "reason", "path"),
        (
            (
                table.ids[row].decode(errors="replace"),
                table.landmarks[row],
                reason,
                selection.path(row) if files.folder_of[row] >= 0 else "",
            )
            for row, reason in sorted(rows.items())
        ),
    )
