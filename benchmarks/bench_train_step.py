"""Seconds a training step of both stages, beside the same networks in PyTorch.

Same layers, weights, batch, classes, learning rates and optimiser, float32 on CPU, each in a
process of its own, taking turns. PyTorch runs in its own memory layout and in the other one
("NHWC", channels last). That all compute the same is checked first: the logits of the same
weights, and the loss of the first steps, where PyTorch's two layouts show what rounding does. The
last lines compare the step with the input pipeline.

    python benchmarks/bench_train_step.py               # every core
    python benchmarks/bench_train_step.py --cores 1     # where other programs are running

On a machine that is not idle only `--cores 1` says something: PyTorch's threads wait for each
other by spinning, which then takes most of their time, by the clock and of the processor.

PyTorch is no part of the project: `pip install torch` into the environment that runs this.
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
import importlib.util
import logging
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.common.cpus import cpu_count
from src.common.errors import UserError, run_command

STAGES = ("tuning", "attention")
OURS, *OTHERS = FRAMEWORKS = ("ours", "PyTorch", "PyTorch NHWC")
KINDS = tuple((stage, framework) for stage in STAGES for framework in FRAMEWORKS)
NUM_CLASSES = 25
INITIAL_LR, MAX_ITERS, MOMENTUM, CLIP_NORM = 0.005, 1000, 0.9, 10.0
COMPARED_STEPS = 3
PIPELINE_RUNS = 3
PHOTOS, PHOTO_WIDTH, PHOTO_HEIGHT = 200, 1024, 768


@dataclass(frozen=True)
class Setup:
    """What a process is to build; `folder` holds the weights both networks start from."""

    stage: str
    framework: str
    batch_size: int
    image_size: int
    cores: int
    folder: Path

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Return noise [N, 3, S, S] between −1 and 1 and labels [N]."""
        generator = np.random.default_rng(0)
        shape = (self.batch_size, 3, self.image_size, self.image_size)
        images = generator.uniform(-1, 1, shape).astype(np.float32)
        return images, generator.integers(0, NUM_CLASSES, self.batch_size).astype(np.int32)


class Measured(NamedTuple):
    """One step: seconds by the clock, processor seconds of all threads, the loss."""

    clock: float
    processor: float
    loss: float


Step = Callable[[], float]


def _build_ours(setup: Setup) -> tuple[np.ndarray, Step]:
    """Return the logits before training, and a function that does a step."""
    import mindspore as ms
    from mindspore import nn

    from model_utils.device import set_up_device, wants_unfolding
    from src.delf_model import AttentionNetwork, TuningNetwork
    from src.training.step import ClassificationLoss, PolynomialDecay, TrainStep
    from src.training.unfolding import unfold_convolutions

    set_up_device("CPU", unfolds=True)
    ms.set_seed(0)
    network = {"tuning": TuningNetwork, "attention": AttentionNetwork}[setup.stage](NUM_CLASSES)
    if wants_unfolding():
        unfold_convolutions(network)
    weights = {name: p.asnumpy() for name, p in network.parameters_and_names()}
    np.savez(setup.folder / setup.stage, **weights)
    images, labels = map(ms.Tensor, setup.batch())
    network.set_train(False)
    logits = network(images).asnumpy()
    rate = PolynomialDecay(INITIAL_LR, MAX_ITERS, 1)
    optimizer = nn.Momentum(network.trainable_params(), rate, MOMENTUM)
    step = TrainStep(ClassificationLoss(network, 1.0), optimizer, CLIP_NORM)
    step.set_train()
    return logits, lambda: float(step(images, labels).asnumpy())


def _build_torch(setup: Setup) -> tuple[np.ndarray, Step]:
    """Do what `_build_ours` does, in PyTorch, with the weights that it left."""
    import torch

    from benchmarks import torch_delf
    from src.training.step import learning_rate

    networks = {"tuning": torch_delf.TuningNetwork, "attention": torch_delf.AttentionNetwork}
    network = networks[setup.stage](NUM_CLASSES)
    with np.load(setup.folder / f"{setup.stage}.npz") as weights:
        torch_delf.copy_weights(network, weights)
    images, labels = map(torch.from_numpy, setup.batch())
    labels = labels.long()
    if setup.framework == "PyTorch NHWC":
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    with torch.no_grad():
        logits = network.eval()(images).numpy()
    step = torch_delf.TrainStep(network, MOMENTUM, CLIP_NORM)
    numbers = iter(range(1, MAX_ITERS + 1))
    return logits, lambda: step(images, labels, learning_rate(INITIAL_LR, MAX_ITERS, next(numbers)))


def _work(connection: Connection, setup: Setup) -> None:
    """Send the logits; then, for each number received, do so many steps and send their times."""
    # Before the import of a framework, which counts the cores it may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-setup.cores :])
    logits, step = (_build_ours if setup.framework == OURS else _build_torch)(setup)
    connection.send(logits)
    while count := connection.recv():
        done = []
        for _ in range(count):
            clock, processor = time.perf_counter(), time.process_time()
            loss = step()
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            done.append(Measured(clock, processor, loss))
        connection.send(done)
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


class Worker:
    """A process that does steps when it is asked to."""

    def __init__(self, setup: Setup):
        self.setup = setup
        context = multiprocessing.get_context("spawn")
        self.connection, end = context.Pipe()
        process = context.Process(target=_work, args=(end, setup), daemon=True)
        process.start()
        end.close()
        self.logits: np.ndarray = self._receive()

    def _receive(self):
        try:
            return self.connection.recv()
        except EOFError:
            raise UserError(
                f"{self.setup.framework} {self.setup.stage} failed, see above"
            ) from None

    def steps(self, count: int) -> list[Measured]:
        """Do some steps."""
        self.connection.send(count)
        return self._receive()

    def finish(self) -> int:
        """End the process; return its peak memory in bytes."""
        self.connection.send(0)
        return self._receive()


def compare_results(workers: dict[tuple[str, str], Worker]) -> None:
    """Print how far the two frameworks' results lie apart; does the first steps, untimed."""
    losses = {k: [s.loss for s in w.steps(COMPARED_STEPS)] for k, w in workers.items()}
    for stage in STAGES:
        logits = [workers[stage, framework].logits for framework in FRAMEWORKS]
        apart = max(np.abs(other - logits[0]).max() for other in logits[1:])
        print(
            f"{stage}: same weights, logits up to {np.abs(logits[0]).max():.2g} lie at most "
            f"{apart:.1e} apart; loss of the first steps"
        )
        for framework in FRAMEWORKS:
            print(f"  {framework:13}", *(f"{loss:.5f}" for loss in losses[stage, framework]))


def pipeline_speed(image_size: int, batch_size: int) -> tuple[float, float]:
    """Return photos/s of the input pipeline by the clock, and processor seconds a photo."""
    from benchmarks.bench_dataset_build import build
    from benchmarks.bench_input_pipeline import measure
    from benchmarks.photo_like import write_photo_like
    from benchmarks.runs import in_own_process
    from src.shards.inventory import find_shards

    with tempfile.TemporaryDirectory() as work:
        images = Path(work, "photos")
        images.mkdir()
        write_photo_like(images, PHOTOS, PHOTO_WIDTH, PHOTO_HEIGHT)
        build(images, Path(work))
        shards = find_shards(Path(work, "shards"))
        runs = [
            in_own_process(measure, "ours", shards, image_size, batch_size)
            for _ in range(PIPELINE_RUNS)
        ]
    return (
        statistics.median(run.photos / run.clock for run in runs),
        statistics.median(run.processor / run.photos for run in runs),
    )


def _print_table(
    rounds: dict[tuple[str, str], list[list[Measured]]], peaks: dict[tuple[str, str], int]
) -> None:
    print(f"{'a step':23} {'clock':>9} {'processor':>11} {'peak memory':>12}")
    for (stage, framework), groups in rounds.items():
        steps = [step for group in groups for step in group]
        clock, processor = (statistics.median(column) for column in list(zip(*steps))[:2])
        peak = f"{peaks[stage, framework] / 1e6:,.0f} MB"
        print(f"{framework:12} {stage:10} {clock:7.2f} s {processor:9.2f} s {peak:>12}")
    for stage in STAGES:
        for framework in OTHERS:
            pairs = [
                (theirs.clock / ours.clock, theirs.processor / ours.processor)
                for a, b in zip(rounds[stage, OURS], rounds[stage, framework])
                for ours, theirs in zip(a, b)
            ]
            clock, processor = (statistics.median(column) for column in zip(*pairs))
            print(
                f"{stage}: {framework} / ours {clock:.2f} by the clock, "
                f"{processor:.2f} processor time"
            )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--steps", type=int, default=2, help="steps a turn (default: 2)")
    parser.add_argument("--image_size", type=int, default=193, help="(default: 193)")
    parser.add_argument("--batch_size", type=int, default=8, help="(default: 8)")
    available = cpu_count()
    parser.add_argument("--cores", type=int, default=available, help="each may use (default: all)")
    arguments = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        raise UserError(
            f"PyTorch is not installed for {sys.executable}; run `pip install torch` there, or "
            "run this by a Python that has both MindSpore and PyTorch"
        )
    if min(arguments.rounds, arguments.steps, arguments.batch_size, arguments.cores) < 1:
        raise UserError("--rounds, --steps, --batch_size and --cores must be at least 1")
    logging.getLogger().setLevel(logging.WARNING)
    sizes = (arguments.batch_size, arguments.image_size, min(arguments.cores, available))
    print("python", *sys.argv, f"({available} cores, load {os.getloadavg()[0]:.1f})")
    with tempfile.TemporaryDirectory() as folder:
        workers = {kind: Worker(Setup(*kind, *sizes, Path(folder))) for kind in KINDS}
    compare_results(workers)
    rounds: dict[tuple[str, str], list[list[Measured]]] = {kind: [] for kind in KINDS}
    for _ in range(arguments.rounds):
        for kind, worker in workers.items():
            rounds[kind].append(worker.steps(arguments.steps))
    _print_table(rounds, {kind: worker.finish() for kind, worker in workers.items()})
    given, processor = pipeline_speed(arguments.image_size, arguments.batch_size)
    print(f"input pipeline, one thread: {given:.0f} photos/s by the clock")
    for stage in STAGES:
        steps = [step for group in rounds[stage, OURS] for step in group]
        taken = arguments.batch_size / statistics.median(step.clock for step in steps)
        used = statistics.median(step.processor for step in steps) / arguments.batch_size
        print(
            f"{stage}: takes {taken:.1f} photos/s, the pipeline gives {given / taken:.0f} times "
            f"that for {processor / used:.1%} of the step's processor time"
        )


if __name__ == "__main__":
    run_command(main)
