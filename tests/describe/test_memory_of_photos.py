"""Photos do not add up: of however many, a few are in memory at once."""

import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
from PIL import Image

from src.describe import tasks as module
from src.describe.one_photo import described
from tests.helpers.infer import textured
from tests.helpers.toy_engine import CONFIG, FakeEngine

COUNT = 200


def test_no_photo_is_kept_once_it_is_described(tmp_path, monkeypatch):
    for number in range(4):
        Image.fromarray(textured(90, 70 + number, seed=number)).save(tmp_path / f"{number}.png")
    photos = [module.PhotoTask(f"p{n:03}", f"{n % 4}.png") for n in range(COUNT)]
    real, read = module.read_cropped, []

    def watched(*args):
        part = real(*args)
        pixels = np.array(part.pixels)  # its own memory
        read.append(weakref.ref(pixels))
        return part._replace(pixels=pixels)

    monkeypatch.setattr(module, "read_cropped", watched)
    held, grown = [], []
    tracemalloc.start()
    try:
        for photo in described(FakeEngine(), tmp_path, photos, replace(CONFIG, use_pca=False)):
            assert len(photo.features)
            held.append(sum(pixels() is not None for pixels in read))
            grown.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(held) == len(read) == COUNT
    assert max(held) <= 3  # the one described, the next, and one that is being read
    # What is left of a photo is this test's: far less than its pixels and maps.
    assert (np.median(grown[-20:]) - np.median(grown[20:40])) / (COUNT - 50) < 1000
