"""Describing photos in one process for each device: what they are told, and what they report."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2

from model_utils.bounds import setting_bounds
from src.common.errors import UserError, one_line, system_line
from src.common.memory import peak_megabytes
from src.common.signals import how_it_ended, interruptible
from src.delf_config import DelfConfig
from src.describe.claim import claim_folder, is_claimed
from src.describe.engines.interface import Engine
from src.describe.keepers import FileKeeper, Keeper, packing
from src.describe.one_photo import described
from src.describe.parts import Part, write_part
from src.describe.pca import Pca
from src.describe.record import FileState, Noted, unchanged_digest
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import PhotoTask
from src.feature_io import DamagedFeaturesError, Origin, settings_digest
from src.photos.places import Place, photo_place
from src.postprocess import Described


@dataclass(frozen=True)
class Job:
    """What a worker is told; travels to another process.

    Attributes:
        images_path: folder of the photos.
        feature_folder: where the features go.
        tasks: the photos.
        engine: runs the network.
        device_id: which device.
        threads: of OpenCV; None for all cores.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
        settings: all that the features depend on.
        states: of the photos' files before they are read, by name of the features.
        store: how the features are kept, one of `keepers.STORES`.
        writer: number of the worker, see `keepers.packing`.
        times: of photos that a packed store has, as for `keepers.PackedKeeper`.
        part: which part of a list the photos are; None: no part.
    """

    images_path: str
    feature_folder: str
    tasks: list[PhotoTask]
    engine: Engine
    device_id: int
    threads: int | None
    config: DelfConfig
    pca: Pca | None
    settings: dict[str, Any]
    states: dict[str, FileState | None]
    store: str = "files"
    writer: int = 0
    times: dict[str, int] = field(default_factory=dict)
    part: Part | None = None


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
    devices = tuple(setting_bounds()["device_id"].check("devices", int(item)) for item in items)
    if len(set(devices)) < len(devices):
        raise UserError(f"devices {text!r} names a device twice")
    return devices


def run_jobs(jobs: Sequence[Job], report: Callable[..., None]) -> None:
    """Do jobs: one in this process, several in a process each.

    Args:
        jobs: what to do.
        report: called with ("done", name, what is to be noted, number of features), ("failed",
            name, what is to be noted or None, reason, whether the output was finite), and at the
            end of each job ("end", seconds by part, peak memory in megabytes or None).

    Raises:
        UserError: a worker met one, or was killed.
        RuntimeError: a worker failed otherwise; with its traceback.
    """
    if len(jobs) > 1:
        _run_workers(jobs, report)
        return
    with interruptible():
        _run_job(jobs[0], report)


def _run_job(job: Job, report: Callable[..., None]) -> None:
    """Describe the photos of a job one after the other."""
    if job.threads is not None:
        cv2.setNumThreads(job.threads)
    stopwatch = Stopwatch()
    photos = described(
        job.engine, job.images_path, job.tasks, job.config, job.pca, job.device_id, stopwatch
    )
    files = {task.name: photo_place(job.images_path, task.file) for task in job.tasks}
    with contextlib.ExitStack() as stack:
        _keep_all(job, photos, files, stack, stopwatch, report)
    report("end", stopwatch.seconds, peak_megabytes())


def _keep_all(
    job: Job,
    photos: Iterator[Described],
    files: Mapping[str, Place],
    stack: contextlib.ExitStack,
    stopwatch: Stopwatch,
    report: Callable[..., None],
) -> None:
    """Keep the features of described photos, and report them."""
    keeper: Keeper | None = None
    for photo in photos:
        if keeper is None:  # only now: what cannot run leaves nothing behind
            claim_folder(job.feature_folder, job.settings)
            if job.part is not None:
                write_part(job.feature_folder, job.part)
            keeper = _keeper(job, stack)
        elif not is_claimed(job.feature_folder):  # it must not be made again, half full
            raise _gone(job.feature_folder)
        state = job.states[photo.name]
        with stopwatch.part("write"), _told_as_gone(job.feature_folder):
            digest = unchanged_digest(files[photo.name], state)
            if photo.features is not None:
                origin = Origin(digest, settings_digest(job.settings))
                noted = keeper.keep(photo.name, photo.features, origin, state)
        if photo.features is None:
            failure = Noted(state.size, state.changed, digest) if state and digest else None
            report("failed", photo.name, failure, photo.reason, photo.finite)
        else:
            report("done", photo.name, noted, len(photo.features))


def _keeper(job: Job, stack: contextlib.ExitStack) -> Keeper:
    if job.store == "files":
        return FileKeeper(job.feature_folder)
    digest = settings_digest(job.settings)
    return stack.enter_context(packing(Path(job.feature_folder), digest, job.writer, job.times))


@contextlib.contextmanager
def _told_as_gone(feature_folder: str) -> Iterator[None]:
    """Say of a file that cannot be made that its folder has gone, where that is why."""
    try:
        yield
    except (FileNotFoundError, DamagedFeaturesError):
        if is_claimed(feature_folder):
            raise
        raise _gone(feature_folder) from None


def _gone(feature_folder: str) -> UserError:
    return UserError(
        f"the feature folder {feature_folder} has gone, moved or deleted, while photos were "
        "described; what was complete went with it: run the same command again"
    )


def _run_workers(jobs: Sequence[Job], report: Callable[..., None]) -> None:
    """Run jobs in a process each and pass on what they report."""
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
                if kind == "user error":
                    raise UserError(values[0])
                if kind == "defect":
                    raise RuntimeError(f"{workers[connection].name} failed\n{values[0]}")
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
    how = how_it_ended(process.exitcode)
    if "memory" in how:
        how += ": use fewer devices"
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


def _worker_main(job: Job, connection: Connection) -> None:
    """Run a job in a process of its own; ends when its parent does."""
    if hasattr(os, "setpgid"):  # not on Windows
        # Away from the terminal's Ctrl-C: MindSpore sets a handler of its own for it.
        os.setpgid(0, 0)
    lock = threading.Lock()

    def report(*message: Any) -> None:
        with lock:
            connection.send(message)

    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    try:
        _run_job(job, report)
    except (EOFError, BrokenPipeError):  # the parent is gone
        os._exit(1)
    except UserError as error:
        report("user error", one_line(error))
    except OSError as error:
        report("user error", system_line(error))
    except BaseException:
        report("defect", traceback.format_exc())


def _end_with_parent(connection: Connection) -> None:
    """Wait until the parent closes its end of the connection, which it does even when killed."""
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    os._exit(1)
