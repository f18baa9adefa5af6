"""Photos far larger than their levels are read reduced, in bounded memory; others as they are."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from model_utils.environment import PROJECT_ROOT
from src.delf_config import DelfConfig
from src.describe.engines.in_process import InProcessEngine
from src.describe.engines.static_batches import StaticPlan, static_batches
from src.describe.level_stream import LevelWriter
from src.describe.levels import photo_levels
from src.describe.sending import send_photos
from src.describe.tasks import list_tasks, read_cropped
from src.extract_utils_np import enough_side, pyramid_level_sizes, resize_levels
from src.photos.reading import read_enough, read_image
from tests.helpers.infer import textured

CONFIG = DelfConfig(max_level_side=512, min_level_side=4, image_scales=(0.5, 1.0), use_pca=False)
ORIENTATION = 0x0112


def write(path: Path, height: int, width: int, orientation: int = 1) -> Path:
    """Write a photo with structures of some tens of pixels."""
    small = textured(max(1, height // 16), max(1, width // 16), seed=width)
    pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize(
    ("name", "height", "width", "orientation", "pixels", "size"),
    [
        ("large.jpg", 200, 6400, 1, (100, 3200), (200, 6400)),
        ("odd.jpg", 6401, 203, 1, (3201, 102), (6401, 203)),
        ("turned.jpg", 200, 6400, 6, (3200, 100), (6400, 200)),
        ("larger.jpg", 96, 12800, 3, (24, 3200), (96, 12800)),
        ("usual.jpg", 100, 6000, 1, (100, 6000), (100, 6000)),
        ("usual, turned.jpg", 100, 6000, 8, (6000, 100), (6000, 100)),
        ("large.png", 200, 6400, 1, (100, 3200), (200, 6400)),
        ("odd.png", 6401, 203, 6, (102, 3201), (203, 6401)),
        ("larger.tif", 96, 12801, 1, (24, 3201), (96, 12801)),
        ("usual.png", 100, 6000, 5, (6000, 100), (6000, 100)),
    ],
)
def test_what_is_read_reduced(tmp_path, name, height, width, orientation, pixels, size):
    path = write(tmp_path / name, height, width, orientation)
    read = read_enough(path, enough_side(CONFIG))
    assert (read.pixels.shape, read.size) == ((*pixels, 3), size)
    if pixels == size:
        assert (read.pixels == read_image(path)).all()


@pytest.mark.parametrize(("side", "wanted"), [(512, 3001), (1024, 3001), (2048, 4096)])
def test_a_reduced_photo_has_twice_the_pixels_of_its_largest_level(side, wanted):
    assert enough_side(DelfConfig(max_level_side=side)) == wanted


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_levels_are_those_of_the_whole_photo_but_for_rounding(tmp_path, name):
    path = write(tmp_path / name, 801, 6411)
    whole, size = read_image(path), (801, 6411)
    part = read_cropped(path, None, enough_side(CONFIG))
    assert part.pixels.shape == (401, 3206, 3) and part.size == size
    pairs = zip(resize_levels(whole, CONFIG), resize_levels(part.pixels, CONFIG, part.size))
    for (scale, wanted), (found_scale, found) in pairs:
        assert (scale, wanted.shape) == (found_scale, found.shape)
        difference = np.abs(wanted.astype(int) - found)
        assert difference.mean() < 1 and difference.max() < 12


def test_a_box_counts_in_the_whole_photo(tmp_path):
    path = write(tmp_path / "a.jpg", 200, 6400)
    part = read_cropped(path, (6000, 50, 6300, 150), enough_side(CONFIG))
    assert (part.pixels.shape, part.origin, part.size) == ((100, 300, 3), (50, 6000), (100, 300))


class Recording(InProcessEngine):
    """Keeps the levels it is given."""

    plan = None

    def __init__(self):
        super().__init__()
        self.levels = []

    def open(self, device_id):
        return self

    def __call__(self, images):
        self.levels.append(((images[0].transpose(1, 2, 0) + 1) * 128).astype(np.uint8))
        height, width = (-(-side // 32) for side in images.shape[2:])
        return np.ones((height, width, 1024), np.float32), np.ones((height, width), np.float32)


def test_every_engine_gets_the_same_levels_of_a_large_photo(tmp_path):
    write(tmp_path / "a.jpg", 200, 6400)
    tasks = list_tasks(tmp_path)
    (prepared,) = photo_levels(tmp_path, tasks, CONFIG)
    assert prepared.size == (200, 6400)
    sizes = [(level.height, level.width) for level in pyramid_level_sizes(200, 6400, CONFIG)]
    assert [level.shape[:2] for level in prepared.levels] == sizes

    engine = Recording()
    (outputs,) = engine.outputs(tmp_path, tasks, CONFIG)
    assert outputs.size == (200, 6400)
    for ours, theirs in zip(engine.levels, prepared.levels, strict=True):
        assert (ours == theirs).all()

    found = {}
    for _, batch in static_batches(StaticPlan.of((256,), 512, 2), tmp_path, tasks, CONFIG):
        for image, (height, width), (photo, number) in zip(*batch):
            assert photo.size == (200, 6400)
            pixels = (image[:, :height, :width].transpose(1, 2, 0) + 1) * 128
            found[number] = pixels.astype(np.uint8)
    assert len(found) == len(prepared.levels)
    assert all((found[number] == level).all() for number, level in enumerate(prepared.levels))

    sent, wanted = io.BytesIO(), io.BytesIO()
    send_photos(tmp_path, tasks, CONFIG, sent)
    writer = LevelWriter(wanted)
    context = {"height": 200, "width": 6400, "origin": (0, 0), "photo": (200, 6400)}
    writer.photo(tasks[0].name, context, prepared.levels)
    writer.end()
    assert sent.getvalue() == wanted.getvalue()


_DESCRIBE = """
import sys
from pathlib import Path
from src.delf_config import DelfConfig
from src.describe.engines.choice import EngineSettings, choose_engine
from src.describe.one_photo import described
from src.describe.tasks import PhotoTask

checkpoint, *photos = sys.argv[1:]
settings = EngineSettings("openvino", checkpoint, device_target="CPU", precision="float32")
engine = choose_engine(settings)
# The largest level alone: the others are described one after the other in the memory it took.
config = DelfConfig(use_pca=False, image_scales=(2.0,))
for photo in photos:
    path = Path(photo)
    (result,) = described(engine, path.parent, [PhotoTask("it", path.name)], config)
    assert len(result.features.locations) == 1000, result.reason
    height, width = result.features.locations.max(axis=0)
    # Not ru_maxrss, which begins with what the process that started this one took.
    status = dict(line.split(":") for line in open("/proc/self/status"))
    print(int(status["VmHWM"].split()[0]) / 1e6, height, width)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_peak_memory(attention_checkpoint, tmp_path):
    """In GB; float32 takes the most."""
    usual = write(tmp_path / "usual.jpg", 768, 1024)
    huge = tmp_path / "huge.jpg"
    cv2.imwrite(str(huge), cv2.resize(cv2.imread(str(usual)), (12_000, 9_000)))
    run = subprocess.run(
        [sys.executable, "-c", _DESCRIBE, str(attention_checkpoint), str(usual), str(huge)],
        cwd=PROJECT_ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0 and "Warning" not in run.stderr, run.stderr
    (first, *_), (second, height, width) = (
        [float(number) for number in line.split()] for line in run.stdout.splitlines()
    )
    assert first < 1.2 and second < 1.5
    assert 8_000 < height < 9_000 and 11_000 < width < 12_000
