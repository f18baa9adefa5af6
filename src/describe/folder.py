"""Extract the local features of photos: one by one, or a whole folder with several workers."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import multiprocessing
import os
import resource
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Callable, Protocol, Union

import cv2
import numpy as np
from tqdm import tqdm

from src.common.atomic_files import PathLike, write_json
from src.common.errors import UserError, one_line
from src.common.signals import interruptible
from src.delf_config import DelfConfig
from src.describe.engines.lite_program import InferProgram, describe_by_program
from src.describe.pca import Pca
from src.describe.tasks import Box, PhotoTask, decoded_ahead
from src.extract_utils_np import (
    LevelOutput,
    build_pyramid,
    crop_static,
    pad_to_static,
    pyramid_level_sizes,
    select_features,
)
from src.feature_io import (
    MANIFEST_NAME,
    Features,
    Manifest,
    check_settings,
    feature_path,
    read_manifest,
    write_features,
    write_manifest,
)
from src.photos.finding import list_images
from src.photos.reading import UnreadableImageError
from src.postprocess import Described

LOG = logging.getLogger(__name__)

PARTS = ("decode", "pyramid", "network", "selection", "write")
UNFINISHED_NAME = "unfinished.json"  # settings of a feature folder that has no manifest yet


class Network(Protocol):
    """What extraction needs of a network; see `feature_network.FeatureNetwork`."""

    fingerprint: str
    static_shape: tuple[int, int, int, int] | None

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map images to features and scores."""


NetworkFactory = Callable[..., Network]  # called as factory(device_id=...)
Engine = Union[NetworkFactory, InferProgram]


class Stopwatch:
    """Seconds spent in each named part."""

    def __init__(self):
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block for a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start


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


def network_outputs(
    network: Network, image: np.ndarray, config: DelfConfig, stopwatch: Stopwatch | None = None
) -> list[LevelOutput]:
    """Run the network over the pyramid of a photo.

    Args:
        network: the network; with a static shape it gets all levels at once, else one by one.
        image: uint8 [H, W, 3], RGB.
        config: the pyramid.
        stopwatch: counts the parts "pyramid" and "network".

    Returns:
        One output a level, none for a photo without texture.
    """
    stopwatch = stopwatch or Stopwatch()
    levels = build_pyramid(image, config)
    outputs = []
    if network.static_shape is None:
        while True:
            with stopwatch.part("pyramid"):
                level = next(levels, None)
            if level is None:
                return outputs
            with stopwatch.part("network"):
                outputs.append(LevelOutput(*network(level[1])))
    with stopwatch.part("pyramid"):
        arrays = [level for _, level in levels]
        if not arrays:
            return outputs
        batch = pad_to_static(arrays, network.static_shape)
    with stopwatch.part("network"):
        features, scores = network(batch)
    sizes = pyramid_level_sizes(*image.shape[:2], config)
    return crop_static(features, scores, sizes, config.stride)


def extract_image(
    network: Network,
    image: np.ndarray,
    config: DelfConfig,
    pca: Pca | None = None,
    stopwatch: Stopwatch | None = None,
) -> Features:
    """Describe a photo.

    Args:
        network: the network.
        image: uint8 [H, W, 3], RGB, any size.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
        stopwatch: counts the parts "pyramid", "network" and "selection".

    Returns:
        The features, best first; none for a photo whose pixels are all equal.
    """
    stopwatch = stopwatch or Stopwatch()
    outputs = network_outputs(network, image, config, stopwatch)
    with stopwatch.part("selection"):
        return select_features(outputs, *image.shape[:2], config, pca)


def parse_devices(text: str) -> tuple[int, ...]:
    """Read a list of devices: one digit each ("03"), or numbers with commas ("0,1,10").

    Raises:
        UserError: something else, or a device named twice.
    """
    items = [item for item in text.split(",") if item] if "," in text else list(text.strip())
    if not items or not all(item.isascii() and item.isdecimal() for item in items):
        raise UserError(
            f"devices {text!r}: give one digit for each device (03), or numbers with commas (0,12)"
        )
    devices = tuple(int(item) for item in items)
    if len(set(devices)) < len(devices):
        raise UserError(f"devices {text!r} names a device twice")
    return devices


def open_network(
    checkpoint: str | None, device_target: str, max_level_side: int, device_id: int
) -> Network:
    """Load the DELF network on a device (imports MindSpore only now)."""
    from src.describe.engines.mindspore_graph import load_feature_network

    return load_feature_network(
        checkpoint,
        device_target=device_target,
        device_id=device_id,
        max_level_side=max_level_side,
    )


def network_factory(
    checkpoint: PathLike | None, config: DelfConfig, device_target: str = "auto"
) -> NetworkFactory:
    """Return what a worker calls with its `device_id` to get the DELF network."""
    checkpoint = None if checkpoint is None else str(checkpoint)
    return functools.partial(open_network, checkpoint, device_target, config.max_level_side)


@dataclass(frozen=True)
class _Job:
    """What a worker is told; travels to another process."""

    images_path: str
    feature_folder: str
    tasks: list[PhotoTask]
    engine: Engine
    device_id: int
    threads: int | None  # None: all cores
    config: DelfConfig
    pca: Pca | None


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
    names: Iterable[str] | Mapping[str, str] | None = None,
    crop_boxes: Mapping[str, Box] | None = None,
    devices: Sequence[int] = (0,),
    max_bad_fraction: float = 0.1,
    images: Sequence[tuple[str, str]] | None = None,
) -> ExtractionSummary:
    """Describe the photos of a folder; what is there already is kept.

    One device is used from this process, several from one worker process each, every photo going
    to worker (its number modulo their count). On CPU the cores are shared among the workers. A
    photo is described again when it is newer than its features. The manifest is written at the
    end, so that a folder with a manifest is a complete one.

    Args:
        images_path: folder of the photos.
        feature_folder: where `<name>.npz` and the manifest go.
        engine: gives the network of a device, or the inference program; must be picklable for
            several devices. The program uses all cores of a CPU by itself.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
        names: the photos to describe; all by default. A mapping (name of the features → photo)
            calls the features otherwise, so that a photo can be described in several parts.
        crop_boxes: (x1, y1, x2, y2) of the part to describe, by name of the features; others are
            used whole. Locations count in the whole photo all the same.
        devices: device ids; on CPU only their number counts.
        max_bad_fraction: largest share of unreadable photos that is not an error.
        images: (name, file) of the photos, sorted by name; by default what `list_images` finds,
            named by the stems of their files.

    Raises:
        UserError: a folder or name is missing, the features there were made with other settings,
            too many photos are unreadable, or a worker died.
    """
    start = time.perf_counter()
    images_path, feature_folder = Path(images_path), Path(feature_folder)
    if config.use_pca and pca is None:
        raise UserError("use_pca is set and there is no PCA; fit one with src/describe/fit_pca.py")
    images = _chosen_images(images_path, names) if images is None else list(images)
    boxes = crop_boxes or {}
    tasks = [PhotoTask(name, file, boxes.get(name)) for name, file in images]
    pending = [task for task in tasks if not _is_done(images_path, feature_folder, task)]
    settings = {
        **config.settings(),
        "pca": pca.fingerprint if config.use_pca and pca else None,
        "crop_boxes": _boxes_fingerprint(tasks),
    }
    if isinstance(engine, InferProgram):
        settings["engine"] = engine.settings()
        if engine.device_target == "CPU":
            devices = devices[:1]

    def check_network(fingerprint: str) -> None:
        """Refuse a folder of other features; claim a new one."""
        settings["checkpoint"] = fingerprint
        _warn_of_foreign_pca(pca if config.use_pca else None, fingerprint)
        _claim_folder(feature_folder, settings)

    LOG.info(
        "describing %d of %d photos of %s on %d device(s)",
        *(len(pending), len(tasks), images_path, len(devices)),
    )
    # Without anything to do the network is opened all the same: only its fingerprint tells
    # whether the features there belong to it.
    count = max(1, min(len(devices), len(pending)))
    threads = None if count == 1 else max(1, _core_count() // count)
    jobs = [
        _Job(
            str(images_path),
            str(feature_folder),
            pending[rank::count],
            engine,
            devices[rank],
            threads,
            config,
            pca,
        )
        for rank in range(count)
    ]
    with tqdm(total=len(pending), unit="photo", disable=None) as bar:
        progress = _Progress(bar)
        if count == 1:
            with interruptible():
                _run_job(jobs[0], check_network, progress.take)
        else:
            _run_workers(jobs, check_network, progress.take)
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
    if len(summary.failed) > max_bad_fraction * len(tasks):
        first = next(iter(summary.failed.values()))
        raise UserError(
            f"{len(summary.failed)} of {len(tasks)} photos of {images_path} are unreadable, more "
            f"than the share of {max_bad_fraction:g} allowed (the first: {first}); the features "
            "of the others are kept: repair or remove the photos and run the same command again"
        )
    write_manifest(feature_folder, Manifest(tuple(images), settings, summary.failed))
    with contextlib.suppress(FileNotFoundError):
        (feature_folder / UNFINISHED_NAME).unlink()
    return summary


def _chosen_images(
    images_path: Path, names: Iterable[str] | Mapping[str, str] | None
) -> list[tuple[str, str]]:
    """Return (name of the features, file of the photo), sorted by name."""
    images = list_images(images_path)
    if names is None:
        return images
    files = dict(images)
    chosen = names if isinstance(names, Mapping) else {name: name for name in names}
    missing = sorted(set(chosen.values()) - files.keys())
    if missing:
        raise UserError(
            f"{len(missing)} of the images asked for are not in {images_path}: "
            f"{', '.join(missing[:5])}{', …' if len(missing) > 5 else ''}"
        )
    return [(name, files[photo]) for name, photo in sorted(chosen.items())]


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


def _claim_folder(feature_folder: Path, settings: dict[str, Any]) -> None:
    """Make sure that a folder holds features of these settings only, and note them.

    Raises:
        UserError: the folder holds features of other or unknown settings.
    """
    unfinished = feature_folder / UNFINISHED_NAME
    what = f"feature folder {feature_folder}"
    if (feature_folder / MANIFEST_NAME).exists():
        check_settings(read_manifest(feature_folder).settings, settings, what)
    elif unfinished.exists():
        try:
            found = json.loads(unfinished.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {unfinished} ({error}); delete {what}") from None
        check_settings(found, settings, what)
    elif next(feature_folder.glob("*.npz"), None) is not None:
        raise UserError(
            f"{what} holds features of unknown settings (neither {MANIFEST_NAME} nor "
            f"{UNFINISHED_NAME}); delete it or use another folder"
        )
    else:
        write_json(unfinished, settings)


def _run_job(job: _Job, check_network: Callable[[str], None], report: Callable[..., None]) -> None:
    """Describe the photos of a job one after the other, the next one being decoded meanwhile.

    Args:
        job: what to do.
        check_network: called with the fingerprint of the network before the first photo.
        report: called with ("done", name, number of features), ("failed", name, reason), and at the
            end ("end", seconds by part, peak memory in megabytes).
    """
    if job.threads is not None:
        cv2.setNumThreads(job.threads)
    stopwatch = Stopwatch()
    photos = described(
        job.engine,
        job.images_path,
        job.tasks,
        job.config,
        job.pca,
        job.device_id,
        stopwatch,
        check_network,
    )
    for photo in photos:
        if photo.features is None:
            report("failed", photo.name, photo.reason)
            continue
        with stopwatch.part("write"):
            write_features(feature_path(job.feature_folder, photo.name), photo.features)
        report("done", photo.name, len(photo.features))
    usage = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(who).ru_maxrss for who in usage) / 1024
    report("end", stopwatch.seconds, peak)


def described(
    engine: Engine,
    images_path: PathLike,
    tasks: Sequence[PhotoTask],
    config: DelfConfig,
    pca: Pca | None = None,
    device_id: int = 0,
    stopwatch: Stopwatch | None = None,
    check_network: Callable[[str], None] | None = None,
) -> Iterator[Described]:
    """Yield the features of photos, in order, on one device, the next ones being under way.

    Args:
        engine: the network, or the inference program.
        images_path: folder of the photos.
        tasks: the photos.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
        device_id: which device.
        stopwatch: counts the parts.
        check_network: called with the fingerprint of the network before the first photo.
    """
    stopwatch = stopwatch or Stopwatch()
    check_network = check_network or (lambda _: None)
    if not isinstance(engine, InferProgram):
        network = engine(device_id=device_id)
        check_network(network.fingerprint)
        for task, decoded in decoded_ahead(images_path, tasks):
            try:
                with stopwatch.part("decode"):
                    image, origin = decoded.result()
            except UnreadableImageError as error:
                yield Described(task.name, None, one_line(error))
                continue
            features = extract_image(network, image, config, pca, stopwatch)
            yield Described(task.name, features.shifted(origin), "")
        return
    if not tasks:
        check_network(engine.fingerprint)
        return
    photos = describe_by_program(
        engine,
        images_path,
        tasks,
        config,
        pca,
        device_id,
        when_ready=lambda: check_network(engine.fingerprint),
    )
    with contextlib.closing(photos):
        while True:
            with stopwatch.part("network"):  # and all that goes on beside it
                photo = next(photos, None)
            if photo is None:
                return
            yield photo


def _run_workers(
    jobs: Sequence[_Job], check_network: Callable[[str], None], report: Callable[..., None]
) -> None:
    """Run jobs in a process each and pass on what they report.

    Raises:
        UserError: a worker met one, or was killed.
        RuntimeError: a worker failed otherwise; with its traceback.
    """
    context = multiprocessing.get_context("spawn")  # MindSpore does not survive a fork
    workers: dict[Connection, BaseProcess] = {}
    unfinished: set[Connection] = set()
    try:
        with _worker_environment(jobs[0].threads):
            for rank, job in enumerate(jobs):
                ours, theirs = context.Pipe()
                process = context.Process(
                    target=_worker_main, args=(job, theirs), name=f"worker {rank}", daemon=True
                )
                process.start()
                theirs.close()
                workers[ours] = process
        unfinished.update(workers)
        while unfinished:
            for connection in wait(list(unfinished)):
                try:
                    kind, *values = connection.recv()
                except (EOFError, ConnectionResetError):
                    raise UserError(_obituary(workers[connection])) from None
                if kind == "ready":
                    check_network(values[0])
                    connection.send("go")
                elif kind == "user error":
                    raise UserError(values[0])
                elif kind == "defect":
                    raise RuntimeError(f"{workers[connection].name} failed\n{values[0]}")
                else:
                    report(kind, *values)
                    if kind == "end":
                        unfinished.discard(connection)
    finally:
        for connection, process in workers.items():
            if connection in unfinished and process.is_alive():
                process.terminate()
        for connection, process in workers.items():
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
            connection.close()


def _obituary(process: BaseProcess) -> str:
    """Say how a worker that stopped in the middle ended."""
    process.join(10)
    code = process.exitcode
    how = f"exit code {code}"
    if code is not None and code < 0:
        how = signal.Signals(-code).name
        if -code == signal.SIGKILL:
            how += ", perhaps for lack of memory: use fewer devices"
    return (
        f"{process.name} (process {process.pid}) died: {how}; what was complete is kept, run the "
        "same command again"
    )


@contextlib.contextmanager
def _worker_environment(threads: int | None) -> Iterator[None]:
    """Start workers with a number of threads each, and deaf to Ctrl-C: this process ends them.

    MindSpore's CPU kernels have as many threads as there are cores whatever is set, and the last
    bits of their results depend on that number, which therefore has to stay the same.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        os.environ.update({name: str(threads) for name in names if threads is not None})
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)


def _worker_main(job: _Job, connection: Connection) -> None:
    """Run a job in a process of its own; ends when its parent does."""
    os.setpgid(0, 0)  # away from the terminal's Ctrl-C: MindSpore sets a handler of its own for it
    lock = threading.Lock()

    def report(*message: Any) -> None:
        with lock:
            connection.send(message)

    def check_network(fingerprint: str) -> None:
        report("ready", fingerprint)
        connection.recv()  # "go", once the settings are known to fit
        threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()

    try:
        _run_job(job, check_network, report)
    except (EOFError, BrokenPipeError):  # the parent is gone
        os._exit(1)
    except UserError as error:
        report("user error", one_line(error))
    except BaseException:
        report("defect", traceback.format_exc())


def _end_with_parent(connection: Connection) -> None:
    """Wait until the parent closes its end of the connection, which it does even when killed."""
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    os._exit(1)
