"""Describing the photos of a folder: what is there is kept, what is missing is made.

The order in which things come to the disk makes a run that ends anywhere one that goes on: feature
files, which say what they are made of; the record, once they are on the disk; the manifest, once
all that it lists is there.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike, remove_temporaries
from src.common.cpus import cpu_count
from src.common.errors import UserError
from src.common.packed_store import PackedStore, is_packed
from src.common.progress import progress_bar
from src.delf_config import DelfConfig
from src.describe.claim import UNFINISHED_NAME, check_claim, is_claimed
from src.describe.engines.interface import Engine
from src.describe.keepers import chosen_store
from src.describe.made_with import feature_settings
from src.describe.parts import Part, check_part, write_part
from src.describe.pca import Pca
from src.describe.record import RECORD_NAME, Noted, write_record
from src.describe.stock import Stock, take_stock
from src.describe.stopwatch import Pace
from src.describe.switching import tell_of_before
from src.describe.tasks import PhotoTask, list_tasks
from src.describe.workers import Job, run_jobs
from src.feature_io import (
    DamagedFeaturesError,
    Manifest,
    feature_path,
    features_checksum,
    read_manifest,
    settings_digest,
    write_manifest,
)
from src.postprocess import blamed_weights

LOG = logging.getLogger(__name__)

# Photos without one finite output before that, and none with one, after which a line says so.
_SUSPICIOUS = 16
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class ExtractionSummary:
    """What an extraction did.

    Attributes:
        extracted: photos described now.
        skipped: photos whose features were there already.
        failed: the reason for each photo that could not be described, now or before.
        not_finite: how many of these could be read, but the network's output was not finite.
        features: number of features written now.
        seconds: duration of the whole run.
        worker_seconds: seconds spent in each of `PARTS`, all workers together. Decoding runs beside
            the network; "decode" is the time that the network waited for it.
        peak_megabytes: largest peak memory of a worker; 0 where the system does not say.
        absent: names of photos whose features are kept, but which were not asked for.
    """

    extracted: int
    skipped: int
    failed: dict[str, str]
    not_finite: int
    features: int
    seconds: float
    worker_seconds: dict[str, float]
    peak_megabytes: float
    absent: list[str]

    def text(self) -> str:
        """Return the summary in one line."""
        parts = ", ".join(f"{name} {spent:.1f} s" for name, spent in self.worker_seconds.items())
        not_finite = f" ({self.not_finite} for values not finite)" if self.not_finite else ""
        counts = (
            f"{self.extracted} photos described ({self.features} features), {self.skipped} were "
            f"there, {len(self.failed)} could not be described{not_finite}"
        )
        if not self.extracted or not self.seconds:
            return counts
        rate = f"{self.extracted / self.seconds:.3f} photos/s"
        peak = f"{self.peak_megabytes:.0f} MB" if self.peak_megabytes else ""
        memory = f"; peak memory of a worker {peak}" if peak else ""
        return f"{counts}; {self.seconds:.1f} s, {rate} ({parts}){memory}"


@dataclass
class _Progress:
    """What the workers have reported."""

    bar: Any
    pace: Pace
    done: dict[str, Noted] = field(default_factory=dict)
    features: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Noted] = field(default_factory=dict)
    not_finite: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_megabytes: float = 0.0

    def take(self, kind: str, *values: Any) -> None:
        """Note one message of a worker."""
        if kind == "end":
            seconds, peak = values
            for part, spent in seconds.items():
                self.seconds[part] = self.seconds.get(part, 0.0) + spent
            self.peak_megabytes = max(self.peak_megabytes, peak or 0.0)
            return
        if kind == "failed":
            name, noted, reason, finite = values
            LOG.warning("skipped: %s", reason)
            self.failed[name] = reason
            self.not_finite += not finite
            if not finite and not self.done and self.not_finite == _SUSPICIOUS:
                LOG.warning("%s", blamed_weights(_SUSPICIOUS, "in use"))  # or all of them are bad
            if noted is not None:
                self.failures[name] = noted
        else:
            name, noted, count = values
            self.done[name] = noted
            self.features += count
        self.bar.update()
        self.pace.photo_done()

    def summary(
        self, stock: Stock, tasks: Sequence[PhotoTask], seconds: float
    ) -> ExtractionSummary:
        """Return what a run did in so many seconds."""
        return ExtractionSummary(
            *(len(self.done), len(stock.kept)),
            dict(sorted({**stock.failed, **self.failed}.items())),
            *(self.not_finite, self.features, seconds, self.seconds, self.peak_megabytes),
            stock.absent(tasks),
        )


def extract_folder(
    images_path: PathLike,
    feature_folder: PathLike,
    engine: Engine,
    config: DelfConfig,
    pca: Pca | None = None,
    tasks: Sequence[PhotoTask] | None = None,
    devices: Sequence[int] = (0,),
    max_bad_fraction: float = 0.1,
    source: str = "",
    is_cache: bool = False,
    trusting: bool = True,
    store: str = "files",
    part: Part | None = None,
) -> ExtractionSummary:
    """Describe the photos of a folder; what is there already is kept.

    One device is used from this process, several from one worker process each, every photo going
    to worker (its number modulo their count). On CPU the cores are shared among the workers. A
    photo is described again when it is another than its features were made of, see `take_stock`.
    The manifest is written at the end, so that a folder with a manifest is a complete one.

    Args:
        images_path: folder of the photos.
        feature_folder: where `<name>.npz` and the manifest go.
        engine: runs the network.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
        tasks: the photos, sorted by name; by default all of the folder, whole.
        devices: device ids; on CPU only their number counts.
        max_bad_fraction: largest share of photos that cannot be described that is not an error.
        source: where the engine's weights come from, for messages.
        is_cache: whether the feature folder is one of ours, see `check_claim`.
        trusting: whether feature files that nobody has touched are believed to be whole.
        store: how the features are kept where none are there, one of `keepers.STORES`.
        part: the part of the list that is described; None for all of it.

    Raises:
        UserError: the folder is missing, the features there were made with other settings, too
            many photos cannot be described, a folder went away, or a worker died.
    """
    start = time.perf_counter()
    images_path, feature_folder = Path(images_path), Path(feature_folder)
    if config.use_pca and pca is None:
        raise UserError("use_pca is set and there is no PCA; fit one with src/describe/fit_pca.py")
    if config.use_pca:
        pca.check_dimension(config.pca_dim)
    tasks = list_tasks(images_path) if tasks is None else list(tasks)
    check_part(feature_folder, part)
    if part is not None:
        part, tasks = part.of_list(tasks)
    settings = feature_settings(engine, config, pca, tasks)
    _warn_of_foreign_pca(pca if config.use_pca else None, engine.fingerprint)
    claimed = check_claim(feature_folder, settings, is_cache)
    stock = take_stock(images_path, feature_folder, tasks, settings, claimed, trusting)
    _tell(stock, images_path, feature_folder)
    if is_cache and stock.pending and not claimed and feature_folder.name.startswith("features"):
        tell_of_before(images_path, feature_folder.parent, stock.pending, settings)
    job = Job(
        *(str(images_path), str(feature_folder), stock.pending, engine, 0, None),
        *(config, pca, settings, stock.states),
        store=chosen_store(feature_folder, store),
        part=part,
        times=stock.times_of_pending(),
    )
    progress = _describe(_share(job, engine.processes(devices)), stock)
    summary = progress.summary(stock, tasks, time.perf_counter() - start)
    if stock.pending:
        LOG.info("%s", summary.text())
    _check_outcome(
        progress,
        stock,
        summary,
        len(tasks),
        max_bad_fraction,
        images_path,
        source or f"({engine.fingerprint})",
    )
    if part is not None:
        write_part(feature_folder, part)
    _complete(feature_folder, tasks, settings, stock, progress, summary.failed)
    return summary


def _check_outcome(
    progress: _Progress,
    stock: Stock,
    summary: ExtractionSummary,
    photos: int,
    max_bad_fraction: float,
    images_path: Path,
    source: str,
) -> None:
    """Raise `UserError` when the folder or the weights are to blame, or too many photos failed."""
    if progress.failed and not os.path.exists(images_path):
        raise UserError(
            f"image folder {images_path} has gone while its photos were described; the features of "
            "those before are kept: bring it back and run the same command again"
        )
    if progress.not_finite and not progress.done and not stock.kept:
        raise blamed_weights(progress.not_finite, source)
    _judge(summary, photos, max_bad_fraction, images_path)


def _tell(stock: Stock, images_path: Path, feature_folder: Path) -> None:
    """Say what was found."""
    if stock.damaged:
        LOG.warning(
            "feature files missing, damaged or replaced in %s, made again: %d (the first: %s)",
            *(feature_folder, len(stock.damaged), stock.damaged[0]),
        )
    for block in stock.blocks if stock.pending else ():
        LOG.warning("%s; its photos alone are described again", block)
    if not stock.pending:
        count = len(stock.kept)
        share = f"{count} of {count + len(stock.failed)}" if stock.failed else f"all {count}"
        LOG.info("%s photos of %s are described", share, images_path)
    if stock.failed:
        LOG.warning(
            "%d photos of %s could not be described before and are as they were (the first: %s)",
            *(len(stock.failed), images_path, next(iter(stock.failed.values()))),
        )


def _describe(jobs: Sequence[Job], stock: Stock) -> _Progress:
    """Do jobs; what was done until an error is noted."""
    photos = len(stock.pending)
    progress = _Progress(progress_bar("describing", photos, "photo"), Pace(photos))
    folder = jobs[0].feature_folder
    if stock.pending:
        LOG.info(
            "describing %d of %d photos of %s on %d device(s)",
            *(len(stock.pending), len(stock.pending) + len(stock.kept) + len(stock.failed)),
            *(jobs[0].images_path, len(jobs)),
        )
    try:
        with progress.bar:
            run_jobs(jobs, progress.take)
    except BaseException:
        if progress.done and is_claimed(folder):
            with contextlib.suppress(OSError):  # it would only have saved the next run's reading
                noted = {**stock.record.photos, **stock.kept, **progress.done}
                write_record(folder, noted, stock.record.photos)
        raise
    return progress


def _complete(
    feature_folder: Path,
    tasks: Sequence[PhotoTask],
    settings: dict[str, Any],
    stock: Stock,
    progress: _Progress,
    failed: dict[str, str],
) -> None:
    """Write record and manifest where they say something else, all that is listed being there."""
    noted = {**stock.record.photos, **stock.kept, **progress.done, **progress.failures}
    if is_packed(feature_folder):
        PackedStore(feature_folder).keep_table()
    if stock.pending:
        _check_presence(feature_folder, {**stock.kept, **progress.done})
    if stock.pending or stock.doubted:
        try:
            write_record(feature_folder, noted, stock.record.photos)
        except OSError as error:
            if stock.pending or error.errno not in _READ_ONLY:
                raise  # else what is in doubt is looked at every time
    manifest = Manifest(tuple((task.name, task.file) for task in tasks), settings, failed)
    if not _is_written(feature_folder, manifest):
        write_manifest(feature_folder, manifest)
    # A worker that was ended while it claimed the folder has left half a claim.
    remove_temporaries(feature_folder / UNFINISHED_NAME)
    (feature_folder / UNFINISHED_NAME).unlink(missing_ok=True)


def _check_presence(feature_folder: Path, noted: dict[str, Noted]) -> None:
    """Raise `UserError` unless the feature files are all there, the very ones that are noted."""
    gone = []
    for name, known in noted.items():
        try:
            is_there = features_checksum(feature_path(feature_folder, name)) == known.checksum
        except DamagedFeaturesError:
            is_there = False
        if not is_there:
            gone.append(name)
    if gone:
        # Should the record be wrong, the next run asks the files themselves.
        (feature_folder / RECORD_NAME).unlink(missing_ok=True)
        raise UserError(
            f"{len(gone)} of {len(noted)} feature files have gone from {feature_folder} while "
            f"photos were described (the first: {gone[0]}): was it moved or cleaned up? Run the "
            "same command again, what is there is kept"
        )


def _is_written(feature_folder: Path, manifest: Manifest) -> bool:
    try:
        there = read_manifest(feature_folder)
    except UserError:
        return False
    same_settings = settings_digest(there.settings) == settings_digest(manifest.settings)
    return same_settings and (there.images, there.failed) == (manifest.images, manifest.failed)


def _share(whole: Job, devices: Sequence[int]) -> list[Job]:
    """Deal the photos of a job out to devices, one after the other, and the cores likewise."""
    count = max(1, min(len(devices), len(whole.tasks)))
    threads = None if count == 1 else max(1, cpu_count() // count)
    return [
        replace(
            whole,
            tasks=whole.tasks[rank::count],
            device_id=devices[rank],
            threads=threads,
            writer=rank,
        )
        for rank in range(count)
    ]


def _judge(
    summary: ExtractionSummary, photos: int, max_bad_fraction: float, images_path: Path
) -> None:
    """Raise `UserError` when too many photos could not be described."""
    if len(summary.failed) <= max_bad_fraction * photos:
        return
    first = next(iter(summary.failed.values()))
    raise UserError(
        f"{len(summary.failed)} of {photos} photos of {images_path} could not be described, more "
        f"than the share of {max_bad_fraction:g} allowed (the first: {first}); the features of the "
        "others are kept: repair or remove the photos and run the same command again"
    )


def _warn_of_foreign_pca(pca: Pca | None, fingerprint: str) -> None:
    fitted_for = pca.about.get("network", fingerprint) if pca else fingerprint
    if fitted_for != fingerprint:
        LOG.warning(
            "the PCA was fitted to another network (%s, not %s): if the backbone differs, fit it "
            "again with src/describe/fit_pca.py",
            *(fitted_for, fingerprint),
        )
