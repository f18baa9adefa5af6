"""Photos a second from the shards to batches, beside decode → normalise → crop.

The baseline is the usual order in MindData: decode, cast to float32, normalise the whole photo,
crop and scale, bring the channels to the front, shuffle in a buffer of 100, batch. "fused" crops
while decoding and normalises afterwards. "ours" is `create_dataset`. Each run is one epoch in a
fresh process with one worker a step; the three take turns. Processor time is counted, of all
threads, without imports.

    python benchmarks/bench_input_pipeline.py                       # photo-like pictures
    python benchmarks/bench_input_pipeline.py --images FOLDER       # your own photos
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
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path

import mindspore as ms
import mindspore.dataset as ds
from mindspore.dataset import transforms, vision

from benchmarks.bench_dataset_build import build
from benchmarks.photo_like import add_photo_arguments, given_photos
from benchmarks.runs import Run, in_own_process, print_speeds, take_turns
from src.common.errors import run_command
from src.data_augmentation_parallel import CROP_AREA, CROP_ASPECT, create_dataset
from src.photos.finding import list_images
from src.shards.inventory import find_shards

MEAN = [128.0] * 3
PIPELINES = ("baseline", "fused", "ours")


def pipeline(name: str, shards: list[str], image_size: int, batch_size: int) -> ds.Dataset:
    """Make one of the three pipelines."""
    if name == "ours":
        return create_dataset(
            shards, image_size=image_size, batch_size=batch_size, num_parallel_workers=1
        )
    rows = ds.MindDataset(shards, columns_list=["data", "label"], num_parallel_workers=1)
    if name == "baseline":
        steps = [
            vision.Decode(),
            transforms.TypeCast(ms.float32),
            vision.Normalize(MEAN, MEAN),
            vision.RandomResizedCrop(image_size, CROP_AREA, CROP_ASPECT, max_attempts=100),
            vision.HWC2CHW(),
        ]
        rows = rows.map(steps, ["data"], num_parallel_workers=1).shuffle(100)
    else:
        steps = [
            vision.RandomCropDecodeResize(image_size, CROP_AREA, CROP_ASPECT, max_attempts=100),
            vision.RandomHorizontalFlip(),
            vision.Normalize(MEAN, MEAN),
            vision.HWC2CHW(),
        ]
        rows = rows.map(steps, ["data"], num_parallel_workers=1)
    return rows.batch(batch_size, drop_remainder=True, num_parallel_workers=1)


def measure(name: str, shards: list[str], image_size: int, batch_size: int) -> Run:
    """Run an epoch of a pipeline."""
    data = pipeline(name, shards, image_size, batch_size)
    photos, start, processor = 0, time.perf_counter(), time.process_time()
    for columns in data.create_tuple_iterator(num_epochs=1, output_numpy=True):
        photos += len(columns[0])
    used = time.process_time() - processor, time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Run(photos, *used, peak)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_photo_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--image_size", type=int, default=321, help="(default: 321)")
    parser.add_argument("--batch_size", type=int, default=32, help="(default: 32)")
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.WARNING)
    sizes = arguments.image_size, arguments.batch_size
    with tempfile.TemporaryDirectory() as work:
        images = given_photos(arguments, Path(work))
        build(images, Path(work))
        shards = find_shards(Path(work, "shards"))
        runs = take_turns(
            PIPELINES,
            arguments.rounds,
            lambda name: in_own_process(measure, name, shards, *sizes),
        )
        count = len(list_images(images))
    print("python", *sys.argv)
    print(
        f"{count} photos, four fifths of them for training; {arguments.rounds} runs each, medians"
    )
    print_speeds(runs)


if __name__ == "__main__":
    run_command(main)
