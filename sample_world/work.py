"""Taking the photos of a plan in several processes, and noting which groups are finished."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from pathlib import Path

import cv2

from sample_world.buildings.kinds import KINDS, build_landmark
from sample_world.jpeg import write_jpeg
from sample_world.modelling.mesh import Mesh
from sample_world.options import WorldOptions
from sample_world.plan import DISTRACTOR, Group
from sample_world.scenes.photo import take_photo, take_view
from sample_world.street.props import Props, build_props
from src.common.atomic_files import write_json
from src.common.cpus import cpu_count
from src.common.errors import UserError, raise_if_of_system
from src.common.progress import progress_bar
from src.common.signals import blocked
from src.common.worker_processes import guard_worker


def finished(output: Path, group: Group) -> list[dict] | None:
    """Return the records of a group that is complete on disk, else None."""
    try:
        records = json.loads(_part_file(output, group).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise_if_of_system(error, _part_file(output, group))
        return None
    if [record["file"] for record in records] != [shot.file for shot in group.shots]:
        return None
    return records if all((output / record["file"]).is_file() for record in records) else None


def _part_file(output: Path, group: Group) -> Path:
    return output / ".parts" / f"{group.name}.json"


def worker_count(num_workers: int | None, groups: int) -> int:
    """Return how many processes to use: as asked, or one a processor; one a group at most."""
    return max(1, min(num_workers or cpu_count(), groups))


def run_groups(output: Path, options: WorldOptions, groups: list[Group], workers: int) -> None:
    """Take all photos, several groups at once; notes each finished group beside the photos."""
    progress = progress_bar("rendering", sum(len(g.shots) for g in groups), "photo")

    def finish(group: Group, records: list[dict]) -> None:
        write_json(_part_file(output, group), records)
        progress.update(len(group.shots))

    with progress:
        if workers == 1:
            threads = cv2.getNumThreads()
            cv2.setNumThreads(1)
            try:
                for group in groups:
                    finish(group, run_group(str(output), options, group))
            finally:
                cv2.setNumThreads(threads)
            return
        # The largest first, so that no process is left alone with a long one at the end.
        ordered = sorted(groups, key=lambda group: -len(group.shots))
        context = multiprocessing.get_context("spawn")
        stop = context.Event()
        with ProcessPoolExecutor(workers, context, _set_up_worker, (os.getpid(), stop)) as pool:
            with blocked(signal.SIGINT):  # it is the parent's, from the first moment on
                jobs = {pool.submit(run_group, str(output), options, g): g for g in ordered}
            try:
                for job in as_completed(jobs):
                    finish(jobs[job], job.result())
            except BrokenProcessPool:
                raise UserError(
                    f"a process that renders for {output} was killed (out of memory?): run the "
                    "same command again, perhaps with fewer --num_workers; what is done is kept"
                ) from None
            except BaseException:
                stop.set()  # nobody waits for the photos that are under way
                pool.shutdown(cancel_futures=True)
                raise


def _set_up_worker(parent: int, stop: Event) -> None:
    """Use one thread of OpenCV in each process, and end when the run stops or has been killed."""
    cv2.setNumThreads(1)
    guard_worker(parent)

    def watch() -> None:
        stop.wait()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@functools.lru_cache(maxsize=1)
def _props(seed: int) -> Props:
    return build_props(seed)


def run_group(output: str, options: WorldOptions, group: Group) -> list[dict]:
    """Take the photos of a group; returns a record for each."""
    props = _props(options.seed)
    landmark: Mesh | None = None
    if group.kind in KINDS:
        landmark = build_landmark(group.kind, list(group.seed))
    records = []
    for shot in group.shots:
        size = (options.width, options.height)
        if shot.portrait != (options.height > options.width):
            size = size[::-1]
        record = {"file": shot.file, "name": shot.name, "group": group.name}
        if landmark is None:
            picture = take_view(props, size, group.kind, list(shot.seed))
        else:
            photo = take_photo(landmark, props, size, shot.wanted, list(shot.seed))
            picture = photo.picture
            if group.part != DISTRACTOR:
                record["visible"] = round(photo.visible, 4)
                record["box"] = photo.box
        write_jpeg(Path(output) / shot.file, picture)
        records.append(record)
    return records
