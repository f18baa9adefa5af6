"""Building the training set: Google Landmarks v2 photos and tables → MindRecord shards.

Writes to the output folder

    train.mindrecord000, …          shards: `file_id` string, `label` int64, `data` bytes (a JPEG)
    validation.mindrecord000, …     likewise (none where nothing is kept for validation)
    *.db                            the index MindSpore keeps beside each shard
    relabeling.csv                  `new_label,old_label`: 0 … K−1 in order of the landmark ids
    skipped_images.csv              `file_id,old_label,reason,path` of every photo left out
    dataset.json                    settings and counts; written last, so that it marks a whole set

JPEG files go in byte by byte. Every photo is first checked, by several processes, so that training
meets no broken one; then every shard is written by one process that reads its own files: the
memory needed does not grow with the data set, nor do the bytes depend on the number of processes.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from src.common.atomic_files import PathLike, atomic_path, write_json
from src.common.errors import UserError, one_line
from src.common.locks import claim
from src.common.worker_processes import in_processes
from src.photos.jpeg_check import BrokenPhotoError, is_plain_jpeg
from src.photos.reading import UnreadableImageError
from src.shards.inventory import RELABELING, SPLITS
from src.shards.tables import (
    CleanTable,
    PhotoFiles,
    choose_validation,
    find_photo_files,
    landmarks_in_train_table,
    read_clean_table,
    shuffled,
)
from src.shards.writer import (
    LARGEST_PHOTO,
    ShardTask,
    converted_jpeg,
    page_bytes,
    write_shard,
)

LOG = logging.getLogger(__name__)

SCHEMA = {"file_id": {"type": "string"}, "label": {"type": "int64"}, "data": {"type": "bytes"}}
MANIFEST = "dataset.json"
SKIPPED = "skipped_images.csv"
MAX_SHARDS = 1000  # of one set: names have three digits
FORMAT = 1

_WORK = ".building"  # sub-folder of the output folder while a build is under way
_LOCK = "lock"
_PLAN = "plan.json"
IMAGES_A_SHARD = 8192
DEFAULT_MAX_SHARDS = 128
_CHECKED_AT_ONCE = 64
_INDEX_BYTES = 1 << 16  # of a shard beside its photos, at least
_SPARE_BYTES = 1 << 24  # MindRecord refuses to write to a disk with less
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

    def path(self, row: int) -> str:
        """Return the path of the photo in a row."""
        return self.files.path(row, self.table.ids[row])


def build_image_dataset(
    train_clean_csv_path: PathLike,
    train_directory: PathLike | Sequence[PathLike],
    output_directory: PathLike,
    *,
    train_csv_path: PathLike | None = None,
    num_shards: int | None = None,
    validation_split_size: float = 0.2,
    seed: int = 0,
    num_workers: int | None = None,
    max_bad_fraction: float = 0.5,
) -> dict[str, Any]:
    """Build the MindRecord shards of a training set in the layout of Google Landmarks v2.

    The labels are those of the clean table. Landmarks without a usable photo get no label, so that
    labels are 0 … K−1 without a gap.

    Args:
        train_clean_csv_path: `train_clean.csv`.
        train_directory: folders with the photos (searched with their sub-folders), or patterns.
        output_directory: where the data set goes; made where it does not exist.
        train_csv_path: `train.csv`; where given, photos it does not know, or knows as another
            landmark, are left out.
        num_shards: of each of the two sets (of a smaller validation set: as many as it has
            photos). None: one a 8,192 photos, 128 at most.
        validation_split_size: share of each landmark's photos kept for validation, in [0, 1).
        seed: of the split and of the order of the photos.
        num_workers: processes. None: as many as there are cores.
        max_bad_fraction: share of the listed photos that may be missing or unreadable. More than
            half of them, the default, speaks of a wrong folder or an unfinished download.

    Returns:
        What `dataset.json` holds.

    Raises:
        UserError: a table, folder or setting is wrong, too many photos are bad, or the output
            folder holds another data set.
    """
    _check_settings(num_shards, validation_split_size, seed, num_workers, max_bad_fraction)
    where = (
        [train_directory] if isinstance(train_directory, (str, os.PathLike)) else train_directory
    )
    output = Path(output_directory).absolute()
    workers = num_workers or len(os.sched_getaffinity(0))
    started = time.monotonic()

    table = read_clean_table(train_clean_csv_path)
    files = find_photo_files(where, table)
    settings = {
        "train_clean_csv": _sha256(train_clean_csv_path),
        "train_csv": _sha256(train_csv_path) if train_csv_path else None,
        "photos_found": _fingerprint(table, files),
        "num_shards": num_shards,
        "validation_split_size": validation_split_size,
        "seed": seed,
    }
    with _work_folder(output) as work:
        _finish_moving(work, output)
        complete = _read_complete(output, settings)
        if complete is not None:
            LOG.info("%s is complete already; nothing to do", output)
            return complete

        selection = _select(table, files, train_csv_path)
        _check_photos(selection, workers)
        _write_skipped(output / SKIPPED, selection)
        counts = _count(selection)
        _judge(counts, max_bad_fraction, output)
        shards, old_labels = _plan(selection, num_shards, validation_split_size, seed, work)
        _write_relabeling(work / RELABELING, old_labels)
        _write_shards(shards, selection, old_labels, work, settings, workers)

        manifest = {
            "format": FORMAT,
            "settings": settings,
            "counts": {
                **counts,
                "classes": len(old_labels),
                "train": sum(
                    len(rows) for name, rows in shards.items() if name.startswith("train")
                ),
                "validation": sum(
                    len(rows) for name, rows in shards.items() if name.startswith("validation")
                ),
            },
            "shards": {name: len(rows) for name, rows in shards.items()},
        }
        write_json(work / MANIFEST, manifest)
        _finish_moving(work, output)
    seconds = time.monotonic() - started
    LOG.info(
        "%d photos for training, %d for validation, %d classes, %d shards; %d converted, %d left "
        "out (%s); %.0f photos/s",
        manifest["counts"]["train"],
        manifest["counts"]["validation"],
        len(old_labels),
        len(shards),
        counts["converted"],
        counts["left_out"],
        SKIPPED,
        counts["used"] / seconds,
    )
    return manifest


def _check_settings(
    num_shards: int | None,
    validation_split_size: float,
    seed: int,
    num_workers: int | None,
    max_bad_fraction: float,
) -> None:
    if num_shards is not None and not 1 <= num_shards <= MAX_SHARDS:
        raise UserError(f"num_shards is {num_shards}; it must be from 1 to {MAX_SHARDS}")
    if not 0.0 <= validation_split_size < 1.0:
        raise UserError(
            f"validation_split_size is {validation_split_size}; it must be at least 0 and below 1"
        )
    if not 0.0 <= max_bad_fraction <= 1.0:
        raise UserError(f"max_bad_fraction is {max_bad_fraction}; it must be from 0 to 1")
    if num_workers is not None and num_workers < 1:
        raise UserError(f"num_workers is {num_workers}; it must be at least 1")
    if seed < 0:
        raise UserError(f"seed is {seed}; it must not be negative")


def _sha256(path: PathLike) -> str:
    if not Path(path).is_file():
        raise UserError(f"no csv file at {path}")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _fingerprint(table: CleanTable, files: PhotoFiles) -> str:
    """Identify which of the photos there are, wherever they lie."""
    digest = hashlib.sha256()
    present = files.folder_of >= 0
    digest.update(present.tobytes())
    for number, ending in enumerate(files.endings):
        digest.update(ending.encode() + table.ids[present & (files.ending_of == number)].tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _work_folder(output: Path) -> Iterator[Path]:
    """Make the folder a build works in, and hold its lock; remove it where nothing is left."""
    work = output / _WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
        if not os.access(work, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"cannot write to {output}: {error.strerror}") from error
    try:
        refusal = f"another build is writing to {output}; wait for it"
        with claim(work / _LOCK, refusal, "choose an --output_directory on a disk that has locks"):
            yield work
    finally:
        with contextlib.suppress(OSError):  # what is unfinished stays for the next build
            work.rmdir()


def _finish_moving(work: Path, output: Path) -> None:
    """Move a whole data set from the work folder to its place, the manifest last."""
    if not (work / MANIFEST).exists():
        return
    manifest = json.loads((work / MANIFEST).read_text(encoding="utf-8"))
    _refuse_foreign(output, manifest["shards"])
    for name in (*manifest["shards"], RELABELING):
        for file in (f"{name}.db", name):
            if (work / file).exists():
                os.replace(work / file, output / file)
    with contextlib.suppress(FileNotFoundError):
        (work / _PLAN).unlink()
    os.replace(work / MANIFEST, output / MANIFEST)


def _refuse_foreign(output: Path, ours: Iterable[str] = ()) -> None:
    """Refuse an output folder that holds shards this program has not written or not finished."""
    ours = set(ours)
    for split in SPLITS:
        for path in sorted(output.glob(f"{split}.mindrecord*")):
            if path.name not in ours and path.name[: -len(".db")] not in ours:
                raise UserError(
                    f"{output} holds {path.name}, and no {MANIFEST} that says what built it; "
                    "choose another --output_directory, or move the old files away"
                )


def _read_complete(output: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of a whole data set with the same settings, None where there is none."""
    path = output / MANIFEST
    if not path.exists():
        _refuse_foreign(output)
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found, shards = manifest["settings"], manifest["shards"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} was not written by this program; choose another --output_directory"
        ) from error
    changed = [
        f"{key} was {found.get(key)!r}, now {value!r}"
        for key, value in settings.items()
        if found.get(key) != value
    ]
    if changed:
        raise UserError(
            f"{output} holds a data set built with other settings ({'; '.join(changed)}); choose "
            "another --output_directory, or move the old files away"
        )
    for name in (*(file for shard in shards for file in (shard, f"{shard}.db")), RELABELING):
        if not (output / name).exists():
            raise UserError(
                f"{name} is missing from {output}; move the rest and {MANIFEST} away to build again"
            )
    return manifest


def _select(table: CleanTable, files: PhotoFiles, train_csv_path: PathLike | None) -> Selection:
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


def _check_photos(selection: Selection, workers: int) -> None:
    """Check every photo that is still in, and note what is to be done with it."""
    rows = np.flatnonzero(selection.usable())
    parts = [rows[i : i + _CHECKED_AT_ONCE] for i in range(0, len(rows), _CHECKED_AT_ONCE)]
    tasks = ([selection.path(row) for row in part] for part in parts)
    with tqdm(total=len(rows), desc="check", unit="photo", disable=None) as bar:
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
        with open(path, "rb") as file:
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


def _count(selection: Selection) -> dict[str, int]:
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
        "converted": int((selection.states == _CONVERT).sum()),
    }


def _judge(counts: dict[str, int], max_bad_fraction: float, output: Path) -> None:
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


def _write_skipped(path: Path, selection: Selection) -> None:
    rows = {int(row): reason for reason, some in selection.reasons.items() for row in some}
    rows.update(selection.broken)
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file_id", "old_label", "reason", "path"))
        for row, reason in sorted(rows.items()):
            present = selection.files.folder_of[row] >= 0
            writer.writerow(
                (
                    selection.table.ids[row].decode(errors="replace"),
                    selection.table.landmarks[row],
                    reason,
                    selection.path(row) if present else "",
                )
            )


def _plan(
    selection: Selection, num_shards: int | None, fraction: float, seed: int, work: Path
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Split and shuffle the usable photos.

    Returns:
        (rows of each shard by the shard's name, the landmark id of each new label)
    """
    ids, landmarks = selection.table.ids, selection.table.landmarks
    usable = np.flatnonzero(selection.usable())
    in_validation = choose_validation(ids[usable], landmarks[usable], fraction, seed)
    shards = {}
    for split, rows in zip(SPLITS, (usable[~in_validation], usable[in_validation])):
        number = num_shards or min(DEFAULT_MAX_SHARDS, -(-len(rows) // IMAGES_A_SHARD))
        if split == "train" and number > len(rows):
            raise UserError(
                f"num_shards is {number}, but there are only {len(rows)} photos to train with"
            )
        number = min(number, len(rows))
        for index, part in enumerate(np.array_split(shuffled(ids, rows, seed), max(number, 1))):
            if len(part):
                shards[f"{split}.mindrecord{index:03d}"] = part
    _check_space(
        sum(int(selection.sizes[rows].sum()) for rows in shards.values()), len(shards), work
    )
    return shards, np.unique(landmarks[usable])


def _check_space(data_bytes: int, shards: int, work: Path) -> None:
    done = sum(path.stat().st_blocks * 512 for path in work.glob("*.mindrecord*"))
    # The padding of a shard is a hole in the file, which takes no space.
    needed = data_bytes + shards * _INDEX_BYTES + _SPARE_BYTES - done
    free = shutil.disk_usage(work).free
    if needed > free:
        raise UserError(
            f"the shards need about {needed / 1e9:.2f} GB and {work.parent} has "
            f"{free / 1e9:.2f} GB left; free some space or choose another --output_directory"
        )


def _write_relabeling(path: Path, old_labels: np.ndarray) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("new_label", "old_label"))
        writer.writerows(enumerate(old_labels.tolist()))


def _write_shards(
    shards: dict[str, np.ndarray],
    selection: Selection,
    old_labels: np.ndarray,
    work: Path,
    settings: dict[str, Any],
    workers: int,
) -> None:
    """Write the shards into the work folder; those an interrupted build has finished are kept."""
    page = page_bytes(int(selection.sizes.max(initial=0)))
    _clear_remains(work, {"settings": settings, "photos": _content(shards, selection, old_labels)})
    todo = [name for name in shards if not (work / name).exists()]
    if len(todo) < len(shards):
        LOG.info("an interrupted build left %d finished shards; going on", len(shards) - len(todo))

    def task(name: str) -> ShardTask:
        rows = shards[name]
        return ShardTask(
            str(work),
            name,
            [selection.path(row) for row in rows],
            [photo_id.decode() for photo_id in selection.table.ids[rows].tolist()],
            np.searchsorted(old_labels, selection.table.landmarks[rows]).tolist(),
            (selection.states[rows] == _CONVERT).tolist(),
            page,
        )

    import mindspore.mindrecord  # noqa: F401  imported once here, shared by the processes

    with tqdm(total=len(todo), desc="write", unit="shard", disable=None) as bar:
        for _ in in_processes(write_shard, (task(name) for name in todo), workers):
            bar.update()


def _content(shards: dict[str, np.ndarray], selection: Selection, old_labels: np.ndarray) -> str:
    """Identify what is to be written: photos, their order, labels and sizes."""
    digest = hashlib.sha256(old_labels.tobytes())
    for name, rows in shards.items():
        digest.update(name.encode() + selection.table.ids[rows].tobytes())
        digest.update(selection.table.landmarks[rows].tobytes() + selection.sizes[rows].tobytes())
    return digest.hexdigest()


def _clear_remains(work: Path, plan: dict[str, Any]) -> None:
    """Remove what an interrupted build has left in the work folder and this one cannot use."""
    path = work / _PLAN
    same = path.exists() and path.read_text(encoding="utf-8") == json.dumps(plan)
    for old in sorted(work.iterdir()):
        if old.is_dir():  # a shard that was being written
            shutil.rmtree(old)
        elif not same and ".mindrecord" in old.name:
            LOG.info("removing %s: an interrupted build with other settings left it", old)
            old.unlink()
    if not same:
        path.write_text(json.dumps(plan), encoding="utf-8")
