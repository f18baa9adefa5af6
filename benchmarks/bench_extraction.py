"""Seconds and memory to describe a photo, beside padding every level to one size.

The baseline is the published way on MindSpore: each level of the pyramid is padded to 2048×2048
before it goes through the network. Ours gives the network each level as it is. Same network, same
weights, one process each, taking turns; processor time and wall time of the median photo.

    python benchmarks/bench_extraction.py --checkpoint WEIGHTS           # a photo-like picture
    python benchmarks/bench_extraction.py --checkpoint WEIGHTS --images FOLDER --rounds 3
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
import resource
import statistics
import time
from pathlib import Path

import numpy as np

from src.common.errors import run_command
from src.delf_config import DelfConfig
from src.describe.engines.in_process import network_outputs
from src.describe.engines.mindspore_graph import FeatureNetwork
from src.describe.stopwatch import Stopwatch
from src.extract_utils_np import build_pyramid, select_features
from src.network.feature_weights import has_attention, read_feature_weights
from src.photos.finding import list_images
from src.photos.reading import read_image


def _config(has_scores: bool) -> DelfConfig:
    return DelfConfig(use_pca=False, score="attention" if has_scores else "norm")


def _describe(network: FeatureNetwork, image: np.ndarray, config: DelfConfig) -> float:
    """Describe a photo; return the share of the time spent in the network."""
    watch = Stopwatch()
    start = time.perf_counter()
    outputs = network_outputs(network, image, config, watch)
    select_features(outputs, *image.shape[:2], config)
    return watch.seconds["network"] / (time.perf_counter() - start)


def _describe_padded(network: FeatureNetwork, image: np.ndarray, config: DelfConfig) -> float:
    side = config.max_level_side
    for _, level in build_pyramid(image, config):
        more = [(0, side - length) for length in level.shape[2:]]
        network(np.pad(level, ((0, 0), (0, 0), *more), mode="edge"))
    return 1.0


def _photos(folder: str | None, count: int) -> list[np.ndarray]:
    if folder:
        return [read_image(Path(folder, file)) for _, file in list_images(folder)[:count]]
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (768, 1024, 3), dtype=np.uint8)]


def _work(connection, kind: str, checkpoint: str) -> None:
    weights = read_feature_weights(checkpoint)
    network = FeatureNetwork(weights, checkpoint, "CPU")
    config = _config(has_attention(weights))
    describe = {"ours": _describe, "padded": _describe_padded}[kind]
    describe(network, np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8), config)
    connection.send("ready")
    while (image := connection.recv()) is not None:
        wall, cpu = time.perf_counter(), time.process_time()
        share = describe(network, image, config)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        connection.send((wall, cpu, share, peak))


def main() -> None:
    """Run both, taking turns, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="weights (.ckpt, or ImageNet .h5)")
    parser.add_argument("--images", help="folder of photos; by default one picture of noise")
    parser.add_argument("--photos", type=int, default=1, help="how many photos of the folder")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    photos = _photos(arguments.images, arguments.photos)
    context = multiprocessing.get_context("spawn")
    runs: dict[str, list[tuple[float, ...]]] = {"padded": [], "ours": []}
    pipes = {}
    for kind in runs:
        pipes[kind], end = context.Pipe()
        worker = context.Process(target=_work, args=(end, kind, arguments.checkpoint), daemon=True)
        worker.start()
        pipes[kind].recv()
    for _ in range(arguments.rounds):
        for image in photos:
            for kind, pipe in pipes.items():
                pipe.send(image)
                runs[kind].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(None)
    medians = {kind: [statistics.median(c) for c in zip(*found)] for kind, found in runs.items()}
    height, width = photos[0].shape[:2]
    print(f"first photo {width}×{height}, {len(photos)} photos, {arguments.rounds} rounds")
    for kind, (wall, cpu, share, _) in medians.items():
        peak = max(run[3] for run in runs[kind])
        inside = f"  {share:.1%} of it in the network" if kind == "ours" else ""
        print(f"{kind:7} {wall:7.2f} s  {cpu:7.2f} CPU s  peak {peak:6.0f} MB{inside}")
    print(f"ratio   {medians['padded'][1] / medians['ours'][1]:7.2f} (CPU time)")


if __name__ == "__main__":
    run_command(main)
