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
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import io
import logging
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from benchmarks.photo_like import write_photo_like
from src.common.errors import UserError, run_command
from src.photos.finding import list_images
from src.shards.build import BuildSettings, build_image_dataset
from src.shards.writer import SCHEMA

CLASSES = 20


class Measured(NamedTuple):
    """One run: processor seconds, seconds by the clock, peak memory of the largest process."""

    processor: float
    clock: float
    peak_bytes: int


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


def _measure(function_name: str, images: Path, queue: multiprocessing.Queue) -> None:
    import mindspore.mindrecord  # noqa: F401  so that its import is not counted

    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as work:
        start, before = time.perf_counter(), [resource.getrusage(who) for who in both]
        globals()[function_name](images, Path(work))
        clock, after = time.perf_counter() - start, [resource.getrusage(who) for who in both]
    processor = sum(
        b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after)
    )
    queue.put(Measured(processor, clock, max(usage.ru_maxrss for usage in after) * 1024))


def measure(function_name: str, images: Path) -> Measured:
    """Run a function of this file in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_measure, args=(function_name, images, queue))
    process.start()
    process.join()
    if process.exitcode:
        raise UserError(f"{function_name} failed, see above")
    return queue.get()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of photos (default: photo-like ones)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--photos", type=int, default=300, help="photo-like ones (default: 300)")
    parser.add_argument("--width", type=int, default=1024, help="of the photo-like ones")
    parser.add_argument("--height", type=int, default=768, help="of the photo-like ones")
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        images = arguments.images
        if images is None:
            images = Path(folder)
            write_photo_like(images, arguments.photos, arguments.width, arguments.height)
        count = len(list_images(images))
        runs: dict[str, list[Measured]] = {"encode_again": [], "build": []}
        for _ in range(arguments.rounds):
            for name, some in runs.items():
                some.append(measure(name, images))
    print("python", *sys.argv)
    print(f"{count} photos, {arguments.rounds} runs each, medians")
    for name, some in runs.items():
        processor = statistics.median(run.processor for run in some)
        clock = statistics.median(run.clock for run in some)
        peak = max(run.peak_bytes for run in some)
        print(
            f"{name:13} {count / processor:6.0f} photos/s of processor time, "
            f"{count / clock:6.0f} by the clock, peak memory {peak / 1e6:.0f} MB"
        )
    pairs = list(zip(runs["encode_again"], runs["build"]))
    ratio = statistics.median(a.processor / b.processor for a, b in pairs)
    print(f"build / encode_again: {ratio:.1f}×")


if __name__ == "__main__":
    run_command(main)
