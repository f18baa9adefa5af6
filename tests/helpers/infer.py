"""What the tests of the inference program share."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
from PIL import Image

from src.describe.engines.lite_program import PROGRAM
from src.describe.level_stream import INPUT_MAGIC, OUTPUT_MAGIC

QUIET = {**os.environ, "GLOG_v": "3"}


def run_program(*options, stream=b"", program=PROGRAM, env=QUIET, stdout=subprocess.PIPE):
    """Run the program on bytes; returns the finished process."""
    return subprocess.run(
        [str(program), *options],
        input=stream,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=env,
        timeout=300,
    )


def number(value: int) -> bytes:
    return struct.pack("<I", value)


def text(value: str) -> bytes:
    return number(len(value.encode())) + value.encode()


def photo_frame(name: str, *levels: np.ndarray) -> bytes:
    """A frame as the description of the format has it, written apart from `LevelWriter`."""
    parts = [b"P", text(name), text("{}"), number(len(levels))]
    for level in levels:
        parts += [number(level.shape[0]), number(level.shape[1]), level.tobytes()]
    return b"".join(parts)


def repeated_to(images: np.ndarray, height: int, width: int | None = None) -> np.ndarray:
    """Images [1, 3, h, w] in arrays of one size, as the program lays them into a static model."""
    more = height - images.shape[2], (width or height) - images.shape[3]
    return np.pad(images, ((0, 0), (0, 0), (0, more[0]), (0, more[1])), mode="edge")


def stream_of(*frames: bytes, end: bool = True) -> bytes:
    return INPUT_MAGIC + b"".join(frames) + (b"E" if end else b"")


def answer(content: bytes):
    """Read what the program wrote: (kind, name, [(features [C,h,w], scores [h,w]), …]) a frame."""
    assert content[:8] == OUTPUT_MAGIC
    at = 8
    frames = []

    def take(count):
        nonlocal at
        at += count
        assert at <= len(content), "cut short"
        return content[at - count : at]

    def take_number():
        return struct.unpack("<I", take(4))[0]

    while (kind := take(1)) != b"E":
        name, _context = take(take_number()).decode(), take(take_number())
        outputs = []
        if kind == b"P":
            for _ in range(take_number()):
                shape = [take_number() for _ in range(3)]
                features = np.frombuffer(take(4 * int(np.prod(shape))), np.float32).reshape(shape)
                scores = np.frombuffer(take(4 * shape[1] * shape[2]), np.float32)
                assert take_number() == 0, "a model without a third output makes no vectors"
                outputs.append((features, scores.reshape(shape[1:])))
        frames.append((kind, name, outputs))
    assert at == len(content)
    return frames


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with structure at several sizes, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cells in (3, 7, 19, 40):
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        picture += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return (picture / 4).astype(np.uint8)


def write_photos(folder: Path) -> list[str]:
    """Photos of odd sizes and modes; returns their names, sorted."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {"a_odd": (181, 243), "b_grey": (97, 160), "c_cmyk": (130, 131), "d_alpha": (64, 200)}
    modes = {"b_grey": "L", "c_cmyk": "CMYK", "d_alpha": "RGBA"}
    for seed, (name, shape) in enumerate(shapes.items()):
        image = Image.fromarray(textured(*shape, seed=seed)).convert(modes.get(name, "RGB"))
        if name == "d_alpha":
            image.putalpha(Image.fromarray(textured(*shape, seed=9)).convert("L"))
        image.save(folder / f"{name}.{'png' if name == 'd_alpha' else 'jpg'}", quality=95)
    turned = Image.fromarray(textured(150, 90, seed=7))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "e_turned.jpg", exif=exif, quality=95)
    Image.fromarray(textured(20, 20, seed=8)).save(folder / "f_icon.png")
    return sorted([*shapes, "e_turned", "f_icon"])


def wait_for(condition, seconds: float = 60.0):
    """Wait until a condition holds; returns what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")
