"""Seconds a photo of every engine, beside the bare network on the same processor.

Each engine describes the same photo again and again, from the file to its chosen features, in a
process of its own that stays; the processes take turns, photo by photo. The yardstick is OpenVINO
on the bare network (up to conv4) with the photo's levels in memory already. What an engine needs
beyond that is the time outside of its network. A large matrix product in the same precision says
what the processor is able to.

    python benchmarks/bench_engines.py --checkpoint WEIGHTS --images PHOTO [PHOTO ...]
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
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil

from src.common.cpus import cpu_count
from src.common.errors import UserError, run_command
from src.delf_config import STAGES, DelfConfig
from src.describe.engines.choice import EngineSettings, choose_engine, read_known_weights
from src.describe.engines.openvino_runtime import PRECISIONS, native_precision
from src.describe.one_photo import described
from src.describe.tasks import PhotoTask
from src.extract_utils_np import pyramid_level_sizes, resize_levels
from src.network.feature_weights import has_attention, read_feature_weights
from src.photos.reading import read_image

YARDSTICK = "bare network"
_PRODUCT_SIDE = 4096


def engine_runner(name: str, precision: str, checkpoint: str, config: DelfConfig, work: str):
    """Return a function that describes a photo by an engine."""
    settings = EngineSettings(
        name, checkpoint, device_target="CPU", models_path=Path(work, "models"), precision=precision
    )
    engine = choose_engine(settings)

    def run(photo: str) -> None:
        path = Path(photo)
        (result,) = described(engine, path.parent, [PhotoTask(path.name, path.name)], config)
        if result.features is None:
            raise UserError(result.reason)

    return run


def yardstick_runner(precision: str, checkpoint: str, config: DelfConfig):
    """Return a function that runs the bare network over the levels of a photo, kept in memory."""
    from src.describe.engines.openvino_graph import core, feature_graph

    weights = read_feature_weights(checkpoint)
    graph = feature_graph(weights, has_attention(weights))
    hints = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": str(cpu_count()),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core().compile_model(graph, "CPU", hints).create_infer_request()
    levels: dict[str, list[np.ndarray]] = {}

    def run(photo: str) -> float:
        if photo not in levels:
            levels[photo] = [x[None] for _, x in resize_levels(read_image(photo), config)]
        start = time.perf_counter()
        for level in levels[photo]:
            request.infer([level], share_inputs=True)
        return time.perf_counter() - start

    return run


def product_speed(precision: str) -> float:
    """Return the GFLOP/s of a large matrix product in OpenVINO."""
    import openvino as ov
    from openvino import opset13 as ops

    from src.describe.engines.openvino_graph import core

    side = _PRODUCT_SIDE
    left = ops.parameter([side, side], np.float32)
    right = ops.constant(np.ones((side, side), np.float32))
    model = ov.Model([ops.reduce_max(ops.matmul(left, right, False, False), np.int64([1]))], [left])
    hints = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": str(cpu_count()),
    }
    request = core().compile_model(model, "CPU", hints).create_infer_request()
    matrix = np.ones((side, side), np.float32)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        request.infer([matrix], share_inputs=True)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(seconds) / 1e9


def network_gflop(height: int, width: int, config: DelfConfig) -> float:
    """Return the GFLOP (a multiplication and an addition are two) of conv1 to conv4 of a photo."""
    total = 0.0
    for _, rows, columns in pyramid_level_sizes(height, width, config):
        area = np.ceil(rows / 2) * np.ceil(columns / 2)
        total += area * 64 * 3 * 49
        area = np.ceil(rows / 4) * np.ceil(columns / 4)
        cin = 64
        for number in (2, 3, 4):
            inner, units, last = STAGES[number]
            for unit in range(units):
                after = area / 4 if last == 2 and unit == units - 1 else area
                total += area * cin * inner + after * (9 * inner * inner + 4 * inner * inner)
                total += after * cin * 4 * inner if unit == 0 else 0
                cin, area = 4 * inner, after
    return 2 * total / 1e9


def _serve(connection: Connection, make: Callable, arguments: tuple) -> None:
    """Run what `make` returns for each photo that is asked for; answer seconds and peak memory."""
    run = make(*arguments)
    while True:
        photo = connection.recv()
        if photo is None:
            return
        start = time.perf_counter()
        seconds = run(photo)
        wall = time.perf_counter() - start if seconds is None else seconds
        tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
        memory = sum(getattr(p.memory_info(), "rss", 0) for p in tree)
        connection.send((wall, memory))


class _Served:
    """A process that runs photos when asked."""

    def __init__(self, make: Callable, arguments: tuple):
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=False)
        self._process.start()
        theirs.close()
        self.peak = 0

    def run(self, photo: str) -> float:
        self._ours.send(photo)
        try:
            seconds, memory = self._ours.recv()
        except EOFError:
            raise UserError("a measured process failed, see above") from None
        self.peak = max(self.peak, memory)
        return seconds

    def end(self) -> None:
        self._ours.send(None)
        self._process.join()


def _print_photo(photo: str, config: DelfConfig, times: dict[str, list[float]]) -> None:
    height, width = read_image(photo).shape[:2]
    gflop = network_gflop(height, width, config)
    print(f"\n{Path(photo).name}, {width}×{height}, {gflop:.0f} GFLOP in the network")
    bare = {name: statistics.median(t) for name, t in times.items() if name.startswith(YARDSTICK)}
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        line = (
            f"  {name:26} {middle:7.2f} s (best {min(seconds):.2f}), {gflop / middle:5.0f} GFLOP/s"
        )
        own = bare.get(f"{YARDSTICK}, {name.partition(', ')[2]}")
        if own is not None and not name.startswith(YARDSTICK):
            line += f", {middle / own:.2f} × the bare network, {middle - own:.2f} s more"
        print(line)


def measure(arguments: argparse.Namespace, names: Sequence[tuple[str, str]], work: str) -> None:
    """Run all engines, taking turns, and print medians."""
    known = read_known_weights(arguments.checkpoint)
    config = DelfConfig(
        use_pca=False,
        max_level_side=arguments.max_level_side,
        score="attention" if known.has_attention else "norm",
    )
    served = {}
    for name, precision in names:
        make, given = engine_runner, (name, precision, arguments.checkpoint, config, work)
        if name == YARDSTICK:
            make, given = yardstick_runner, (precision, arguments.checkpoint, config)
        served[f"{name}, {precision}"] = _Served(make, given)
    for photo in arguments.images:
        times: dict[str, list[float]] = {name: [] for name in served}
        for number in range(arguments.rounds + 1):
            for name, one in served.items():
                seconds = one.run(photo)
                if number:  # the first time a size is met, runtimes prepare for it
                    times[name].append(seconds)
        _print_photo(photo, config, times)
    print()
    for name, one in served.items():
        print(f"{name:28} peak memory {one.peak / 1e6:.0f} MB")
        one.end()
    for precision in dict.fromkeys(precision for _, precision in names):
        print(f"large matrix product, {precision}: {product_speed(precision):.0f} GFLOP/s")


def main() -> None:
    """Measure the engines of this machine."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="weights (.ckpt, or ImageNet .h5)")
    parser.add_argument("--images", required=True, nargs="+", help="photos, best of several sizes")
    parser.add_argument("--rounds", type=int, default=3, help="times each photo is described")
    parser.add_argument("--max_level_side", type=int, default=DelfConfig.max_level_side)
    parser.add_argument("--without", nargs="*", default=[], help="engines to leave out")
    arguments = parser.parse_args()
    names = [("mindspore", "float32"), ("lite", "float32")]
    for precision in dict.fromkeys(("float32", native_precision())):
        names += [("openvino", precision), (YARDSTICK, precision)]
    names = [name for name in names if name[0] not in arguments.without]
    with tempfile.TemporaryDirectory() as work:
        measure(arguments, names, work)


if __name__ == "__main__":
    run_command(main)
