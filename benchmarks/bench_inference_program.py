"""Photos per second and memory of the C++ program's chain, beside the Python path.

Both describe the same photos into files, from decoding to writing, with the same weights; a process
of its own each time, taking turns, start-up included and given apart. Memory is what all processes
of a run hold together (PSS: shared pages once), sampled ten times a second.

    python benchmarks/bench_inference_program.py --checkpoint WEIGHTS --images FOLDER
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import contextlib
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from src.common.errors import UserError, run_command
from src.delf_config import DelfConfig
from src.describe.engines.interface import Engine
from src.describe.engines.lite_program import LiteProgram, build_program
from src.describe.engines.mindspore_graph import MindSporeEngine
from src.describe.one_photo import described
from src.describe.tasks import PhotoTask
from src.feature_io import feature_path, write_features
from src.network.export import ExportSettings, export_weights
from src.network.feature_weights import has_attention, read_feature_weights
from src.network.mindir import read_mindir
from src.network.mindir_version1 import OLD_VERSION
from src.photos.finding import list_images


def _export(connection: Connection, checkpoint: str, path: str) -> None:
    weights = read_feature_weights(checkpoint)
    settings = ExportSettings((1, 3, 0, 0), "CPU", version=OLD_VERSION)
    export_weights(weights, checkpoint, path, settings)
    connection.send((read_mindir(path).fingerprint, has_attention(weights)))


def _describe(
    connection: Connection,
    engine: Engine,
    images: str,
    tasks: list[PhotoTask],
    config: DelfConfig,
    folder: str,
) -> None:
    """Describe photos; send the time of the first result and of the end."""
    begin = time.perf_counter()
    first = 0.0
    for photo in described(engine, images, tasks, config):
        if photo.features is None:
            raise UserError(photo.reason)
        write_features(feature_path(folder, photo.name), photo.features)
        first = first or time.perf_counter() - begin
    connection.send((time.perf_counter() - begin, first))


def _measured(target, *arguments) -> tuple[tuple, float]:
    """Run a function in a process; return what it sends, and the peak megabytes of the tree."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(theirs, *arguments))
    process.start()
    theirs.close()
    peak = 0.0
    while not ours.poll(0.1):
        peak = max(peak, _memory(process.pid))
        if not process.is_alive() and not ours.poll():
            raise UserError("a measured run failed, see above")
    result = ours.recv()
    process.join()
    return result, peak


def _memory(pid: int) -> float:
    total = 0
    with contextlib.suppress(psutil.Error):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total / 1e6


def main() -> None:
    """Run both, taking turns, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="weights (.ckpt, or ImageNet .h5)")
    parser.add_argument("--images", required=True, help="folder of photos")
    parser.add_argument("--photos", type=int, default=20, help="how many of them (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--max_level_side", type=int, default=DelfConfig.max_level_side)
    arguments = parser.parse_args()
    build_program()
    photos = [PhotoTask(*photo) for photo in list_images(arguments.images)[: arguments.photos]]
    walls: dict[str, list[float]] = {"Python": [], "C++": []}
    firsts: dict[str, list[float]] = {"Python": [], "C++": []}
    peaks: dict[str, list[float]] = {"Python": [], "C++": []}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "model.mindir"))
        (fingerprint, attention), _ = _measured(_export, arguments.checkpoint, path)
        config = DelfConfig(
            use_pca=False,
            max_level_side=arguments.max_level_side,
            score="attention" if attention else "norm",
        )
        engines = {
            "Python": MindSporeEngine(arguments.checkpoint, fingerprint, attention, "CPU"),
            "C++": LiteProgram(path, fingerprint, (1, 3, -1, -1)),
        }
        for number in range(arguments.rounds):
            for name, engine in engines.items():
                (wall, first), peak = _measured(
                    _describe, engine, arguments.images, photos, config, folder
                )
                walls[name].append(wall)
                firsts[name].append(first)
                peaks[name].append(peak)
                print(f"round {number + 1} {name:6} {wall:7.1f} s, {peak:5.0f} MB", flush=True)
    print(f"\n{len(photos)} photos, max_level_side {arguments.max_level_side}, medians:")
    for name in walls:
        wall = statistics.median(walls[name])
        print(
            f"{name:6} {wall:7.1f} s  {len(photos) / wall:.3f} photos/s  "
            f"first photo after {statistics.median(firsts[name]):.1f} s  "
            f"peak {max(peaks[name]):.0f} MB"
        )
    ratios = [python / program for python, program in zip(walls["Python"], walls["C++"])]
    print("C++ / Python throughput", ", ".join(f"{ratio:.2f}" for ratio in ratios))


if __name__ == "__main__":
    run_command(main)
