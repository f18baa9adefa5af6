"""Describing the photos of a folder: what is there is kept, what is missing is made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.delf_config import DelfConfig
from src.describe.claim import UNFINISHED_NAME, check_claim
from src.describe.engines.interface import Engine
from src.describe.pca import Pca
from src.describe.tasks import PhotoTask, list_tasks
from src.describe.workers import Job, run_jobs
from src.feature_io import (
    Manifest,
    feature_path,
    write_manifest,
)

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionSummary:
    """What an extraction did.

    Attributes:
        extracted: photos described now.
        skipped: photos whose features were there already.
        failed: the reason for each photo that could not be read.
        features: number of features written now.
        seconds: duration of the whole run.
        worker_seconds: seconds spent in each of `PARTS`, all workers together. Decoding runs beside
            the network; "decode" is the time that the network waited for it.
        peak_megabytes: largest peak memory of a worker.
    """

    extracted: int
    skipped: int
    failed: dict[str, str]
    features: int
    seconds: float
    worker_seconds: dict[str, float]
    peak_megabytes: float

    def text(self) -> str:
        """Return the summary in one line."""
        parts = ", ".join(f"{name} {spent:.1f} s" for name, spent in self.worker_seconds.items())
        rate = self.extracted / self.seconds if self.seconds else 0.0
        return (
            f"{self.extracted} photos described ({self.features} features), {self.skipped} were "
            f"there, {len(self.failed)} unreadable; {self.seconds:.1f} s, {rate:.3f} photos/s "
            f"({parts}); peak memory of a worker {self.peak_megabytes:.0f} MB"
        )


@dataclass
class _Progress:
    """What the workers have reported."""

    bar: Any
    extracted: int = 0
    features: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_megabytes: float = 0.0

    def take(self, kind: str, *values: Any) -> None:
        """Note one message of a worker."""
        if kind == "end":
            seconds, peak = values
            for part, spent in seconds.items():
                self.seconds[part] = self.seconds.get(part, 0.0) + spent
            self.peak_megabytes = max(self.peak_megabytes, peak)
            return
        name, value = values
        if kind == "failed":
            LOG.warning("skipped: %s", value)
            self.failed[name] = value
        else:
            self.extracted += 1
            self.features += value
        self.bar.update()


def extract_folder(
    images_path: PathLike,
    feature_folder: PathLike,
    engine: Engine,
    config: DelfConfig,
    pca: Pca | None = None,
    tasks: Sequence[PhotoTask] | None = None,
    devices: Sequence[int] = (0,),
    max_bad_fraction: float = 0.1,
) -> ExtractionSummary:
    """Describe the photos of a folder; what is there already is kept.

    One device is used from this process, several from one worker process each, every photo going
    to worker (its number modulo their count). On CPU the cores are shared among the workers. A
    photo is described again when it is newer than its features. The manifest is written at the
    end, so that a folder with a manifest is a complete one.

    Args:
        images_path: folder of the photos.
        feature_folder: where `<name>.npz` and the manifest go.
        engine: runs the network.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
        tasks: the photos, sorted by name; by default all of the folder, whole.
        devices: device ids; on CPU only their number counts.
        max_bad_fraction: largest share of unreadable photos that is not an error.

    Raises:
        UserError: the folder is missing, the features there were made with other settings, too
            many photos are unreadable, or a worker died.
    """
    start = time.perf_counter()
    images_path, feature_folder = Path(images_path), Path(feature_folder)
    if config.use_pca and pca is None:
        raise UserError("use_pca is set and there is no PCA; fit one with src/describe/fit_pca.py")
    if config.use_pca:
        pca.check_dimension(config.pca_dim)
    tasks = list_tasks(images_path) if tasks is None else list(tasks)
    settings = _settings(engine, config, pca, tasks)
    _warn_of_foreign_pca(pca if config.use_pca else None, engine.fingerprint)
    check_claim(feature_folder, settings)
    pending = [task for task in tasks if not _is_done(images_path, feature_folder, task)]
    jobs = _share(
        Job(str(images_path), str(feature_folder), pending, engine, 0, None, config, pca, settings),
        engine.processes(devices),
    )
    LOG.info(
        "describing %d of %d photos of %s on %d device(s)",
        *(len(pending), len(tasks), images_path, len(engine.processes(devices))),
    )
    with tqdm(total=len(pending), unit="photo", disable=None) as bar:
        progress = _Progress(bar)
        run_jobs(jobs, progress.take)
    summary = ExtractionSummary(
        progress.extracted,
        len(tasks) - len(pending),
        dict(sorted(progress.failed.items())),
        progress.features,
        time.perf_counter() - start,
        progress.seconds,
        progress.peak_megabytes,
    )
    LOG.info("%s", summary.text())
    _judge(summary, len(tasks), max_bad_fraction, images_path)
    images = tuple((task.name, task.file) for task in tasks)
    write_manifest(feature_folder, Manifest(images, settings, summary.failed))
    with contextlib.suppress(FileNotFoundError):
        (feature_folder / UNFINISHED_NAME).unlink()
    return summary


def _settings(
    engine: Engine, config: DelfConfig, pca: Pca | None, tasks: Sequence[PhotoTask]
) -> dict[str, Any]:
    """Return all that the features depend on, as it stands in the manifest."""
    settings = {
        **config.settings(),
        "checkpoint": engine.fingerprint,
        "pca": pca.fingerprint if config.use_pca and pca else None,
        "crop_boxes": _boxes_fingerprint(tasks),
    }
    runtime = engine.settings()
    return {**settings, "engine": runtime} if runtime else settings


def _share(whole: Job, devices: Sequence[int]) -> list[Job]:
    """Deal the photos of a job out to devices, one after the other, and the cores likewise."""
    count = max(1, min(len(devices), len(whole.tasks)))
    threads = None if count == 1 else max(1, _core_count() // count)
    return [
        replace(whole, tasks=whole.tasks[rank::count], device_id=devices[rank], threads=threads)
        for rank in range(count)
    ]


def _judge(
    summary: ExtractionSummary, photos: int, max_bad_fraction: float, images_path: Path
) -> None:
    """Raise `UserError` when too many photos could not be read."""
    if len(summary.failed) <= max_bad_fraction * photos:
        return
    first = next(iter(summary.failed.values()))
    raise UserError(
        f"{len(summary.failed)} of {photos} photos of {images_path} are unreadable, more than the "
        f"share of {max_bad_fraction:g} allowed (the first: {first}); the features of the others "
        "are kept: repair or remove the photos and run the same command again"
    )


def _is_done(images_path: Path, feature_folder: Path, task: PhotoTask) -> bool:
    """Tell whether the features of a photo are there and not older than the photo."""
    try:
        written = feature_path(feature_folder, task.name).stat().st_mtime_ns
        return written >= (images_path / task.file).stat().st_mtime_ns
    except OSError:
        return False


def _core_count() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _boxes_fingerprint(tasks: Sequence[PhotoTask]) -> str | None:
    boxes = [[task.name, *map(float, task.box)] for task in tasks if task.box is not None]
    if not boxes:
        return None
    return hashlib.sha256(json.dumps(boxes).encode()).hexdigest()[:16]


def _warn_of_foreign_pca(pca: Pca | None, fingerprint: str) -> None:
    fitted_for = pca.about.get("network", fingerprint) if pca else fingerprint
    if fitted_for != fingerprint:
        LOG.warning(
            "the PCA was fitted to another network (%s, not %s): if the backbone differs, fit it "
            "again with src/describe/fit_pca.py",
            *(fitted_for, fingerprint),
        )
