"""Photos a second put into MindRecord shards, beside decoding and encoding each photo again.

The baseline opens each photo with Pillow, converts it to RGB, encodes it as JPEG and writes it to a
MindRecord file, one process. Ours is the whole of `build_image_dataset`, tables, checks and all,
with one process at work. Each run is a fresh process; the two take turns. Processor time is
counted, of all processes, without imports.

    python benchmarks/bench_dataset_build.py                       # photo-like pictures
    python benchmarks/bench_dataset_build.py --images FOLDER       # your own photos
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
import io
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks.photo_like import add_photo_arguments, given_photos
from benchmarks.runs import Run, in_own_process, print_speeds, take_turns
from src.common.errors import run_command
from src.photos.finding import list_images
from src.shards.build import BuildSettings, build_image_dataset
from src.shards.writer import SCHEMA

CLASSES = 20


def encode_again(images: Path, work: Path) -> None:
    """Decode, encode and write every photo: the baseline."""
    from mindspore.mindrecord import FileWriter

    writer = FileWriter(str(work / "train.mindrecord000"), shard_num=1)
    writer.add_schema(SCHEMA, "landmark photos")
    for number, (name, path) in enumerate(list_images(images)):
        buffer = io.BytesIO()
        with Image.open(images / path) as image:
            image.convert("RGB").save(buffer, "JPEG")
        row = {"file_id": name, "label": number % CLASSES, "data": buffer.getvalue()}
        writer.write_raw_data([row])
    writer.commit()


def build(images: Path, work: Path) -> None:
    """Build the data set with one process."""
    names: list[list[str]] = [[] for _ in range(CLASSES)]
    for number, (name, _) in enumerate(list_images(images)):
        names[number % CLASSES].append(name)
    lines = [f"{label},{' '.join(some)}" for label, some in enumerate(names)]
    table = work / "train_clean.csv"
    table.write_text("landmark_id,images\n" + "\n".join(lines) + "\n", encoding="utf-8")
    build_image_dataset(BuildSettings(table, images, work / "shards", num_workers=1))


def measure(name: str, images: Path) -> Run:
    """Run one of the two functions above."""
    import mindspore.mindrecord  # noqa: F401  so that its import is not counted

    function = {"encode_again": encode_again, "build": build}[name]
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as work:
        start, before = time.perf_counter(), [resource.getrusage(who) for who in both]
        function(images, Path(work))
        clock, after = time.perf_counter() - start, [resource.getrusage(who) for who in both]
    processor = sum(
        b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after)
    )
    peak = max(usage.ru_maxrss for usage in after) * 1024
    return Run(len(list_images(images)), processor, clock, peak)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_photo_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as work:
        images = given_photos(arguments, Path(work))
        runs = take_turns(
            ("encode_again", "build"),
            arguments.rounds,
            lambda name: in_own_process(measure, name, images),
        )
        count = len(list_images(images))
    print("python", *sys.argv)
    print(f"{count} photos, {arguments.rounds} runs each, medians")
    print_speeds(runs)


if __name__ == "__main__":
    run_command(main)
