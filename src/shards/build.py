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

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_utils.bounds import check_fields
from src.common.atomic_files import PathLike, write_csv
from src.common.cpus import cpu_count
from src.common.digests import sha256_of
from src.common.errors import UserError
from src.common.progress import progress_bar
from src.common.worker_processes import in_processes
from src.shards.inventory import RELABELING, SPLITS
from src.shards.output_folder import (
    clear_remains,
    finish_moving,
    read_complete,
    work_folder,
    write_manifest,
)
from src.shards.plan import MAX_SHARDS, Plan, check_space, plan_shards
from src.shards.selection import (
    SKIPPED,
    Selection,
    check_photos,
    count,
    refuse_too_many_bad,
    select,
    write_skipped,
)
from src.shards.tables import CleanTable, PhotoFiles, find_photo_files, read_clean_table
from src.shards.writer import SMALLEST_HEADER, ShardTask, header_bytes, page_bytes, write_shard

LOG = logging.getLogger(__name__)

MAX_WORKERS = 1024


@dataclass(frozen=True)
class BuildSettings:
    """What a training set is built from, and how.

    Attributes:
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

    Raises:
        UserError: a number is out of its range.
    """

    train_clean_csv_path: PathLike
    train_directory: PathLike | Sequence[PathLike]
    output_directory: PathLike
    train_csv_path: PathLike | None = None
    num_shards: int | None = None
    validation_split_size: float = 0.2
    seed: int = 0
    num_workers: int | None = None
    max_bad_fraction: float = 0.5

    def __post_init__(self) -> None:
        if self.num_shards is not None and not 1 <= self.num_shards <= MAX_SHARDS:
            raise UserError(f"num_shards is {self.num_shards}; it must be from 1 to {MAX_SHARDS}")
        if not 0.0 <= self.validation_split_size < 1.0:
            raise UserError(
                f"validation_split_size is {self.validation_split_size}; it must be at least 0 and "
                "below 1"
            )
        if self.num_workers is not None and not 1 <= self.num_workers <= MAX_WORKERS:
            raise UserError(
                f"num_workers is {self.num_workers}; it must be from 1 to {MAX_WORKERS}"
            )
        check_fields(self)

    @property
    def folders(self) -> Sequence[PathLike]:
        """Where the photos are, as a list."""
        one = isinstance(self.train_directory, (str, os.PathLike))
        return [self.train_directory] if one else self.train_directory

    @property
    def workers(self) -> int:
        """Number of processes."""
        return self.num_workers or cpu_count()

    def identity(self, table: CleanTable, files: PhotoFiles) -> dict[str, Any]:
        """Return what the shards depend on, as JSON values."""
        return {
            "train_clean_csv": _table_digest(self.train_clean_csv_path),
            "train_csv": _table_digest(self.train_csv_path) if self.train_csv_path else None,
            "photos_found": files.fingerprint(table),
            "num_shards": self.num_shards,
            "validation_split_size": self.validation_split_size,
            "seed": self.seed,
        }


def _table_digest(path: PathLike) -> str:
    if not Path(path).is_file():
        raise UserError(f"no csv file at {path}")
    return sha256_of(Path(path))


def build_image_dataset(settings: BuildSettings) -> dict[str, Any]:
    """Build the MindRecord shards of a training set in the layout of Google Landmarks v2.

    The labels are those of the clean table. Landmarks without a usable photo get no label, so that
    labels are 0 … K−1 without a gap.

    Returns:
        What `dataset.json` holds.

    Raises:
        UserError: a table or folder is wrong, too many photos are bad, or the output folder holds
            another data set.
    """
    output = Path(settings.output_directory).absolute()
    started = time.monotonic()
    table = read_clean_table(settings.train_clean_csv_path)
    files = find_photo_files(settings.folders, table)
    identity = settings.identity(table, files)
    with work_folder(output) as work:
        finish_moving(work, output)
        complete = read_complete(output, identity)
        if complete is not None:
            LOG.info("%s is complete already; nothing to do", output)
            return complete
        selection = select(table, files, settings.train_csv_path)
        check_photos(selection, settings.workers)
        write_skipped(output, selection)
        counts = count(selection)
        refuse_too_many_bad(counts, settings.max_bad_fraction, output)
        plan = plan_shards(
            selection, settings.num_shards, settings.validation_split_size, settings.seed
        )
        check_space(plan, selection, work)
        page = page_bytes(int(selection.sizes.max(initial=0)))
        header = header_bytes(
            (selection.sizes[rows].tolist() for rows in plan.shards.values()), page
        )
        write_csv(
            work / RELABELING, ("new_label", "old_label"), enumerate(plan.old_labels.tolist())
        )
        # Shards of one set have headers of one size; most have the smallest.
        own_header = {"header": header} if header > SMALLEST_HEADER else {}
        photos = plan.fingerprint(selection)
        clear_remains(work, {"settings": identity, "photos": photos, **own_header})
        _write_shards(plan, selection, work, settings.workers, page, header)
        counts = {
            **counts,
            "classes": len(plan.old_labels),
            **{split: plan.photos(split) for split in SPLITS},
        }
        manifest = write_manifest(work, identity, counts, plan.sizes())
        finish_moving(work, output)
    _report(counts, len(plan.shards), time.monotonic() - started)
    return manifest


def _write_shards(
    plan: Plan, selection: Selection, work: Path, workers: int, page: int, header: int
) -> None:
    """Write the shards into the work folder; those an interrupted build has finished are kept."""
    todo = [name for name in plan.shards if not (work / name).exists()]
    if len(todo) < len(plan.shards):
        LOG.info(
            "an interrupted build left %d finished shards; going on", len(plan.shards) - len(todo)
        )
    table, convert = selection.table, selection.to_convert()

    def task(name: str) -> ShardTask:
        rows = plan.shards[name]
        return ShardTask(
            str(work),
            name,
            [selection.path(row) for row in rows],
            [photo_id.decode() for photo_id in table.ids[rows].tolist()],
            plan.new_labels(table.landmarks[rows]).tolist(),
            convert[rows].tolist(),
            page,
            header,
        )

    import mindspore.mindrecord  # noqa: F401  imported once here, shared by the processes

    photos = {name: len(plan.shards[name]) for name in todo}
    with progress_bar("writing", sum(photos.values()), "photo") as bar:
        done = in_processes(write_shard, (task(name) for name in todo), workers)
        for name, _ in zip(todo, done, strict=True):
            bar.update(photos[name])


def _report(counts: dict[str, int], shards: int, seconds: float) -> None:
    LOG.info(
        "%d photos for training, %d for validation, %d classes, %d shards; %d converted, %d left "
        "out (%s); %.0f photos/s",
        counts["train"],
        counts["validation"],
        counts["classes"],
        shards,
        counts["converted"],
        counts["left_out"],
        SKIPPED,
        counts["used"] / seconds,
    )
