"""A shard of very many photos has a header that holds all its pages, or is refused beforehand."""

import json

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.data_augmentation_parallel import create_dataset
from src.shards import build, writer
from src.shards.writer import LARGEST_HEADER, SMALLEST_HEADER, SMALLEST_PAGE, header_bytes
from tests.helpers.landmarks import Landmarks, encoded

KB = 1 << 10


@pytest.fixture
def small_format(monkeypatch):
    """Headers and pages as small as MindRecord allows, so that 22 GB are 3 MB."""
    monkeypatch.setattr(writer, "SMALLEST_HEADER", 16 * KB)
    monkeypatch.setattr(build, "SMALLEST_HEADER", 16 * KB)
    monkeypatch.setattr(writer, "SMALLEST_PAGE", 32 * KB)
    monkeypatch.setattr(build, "in_processes", lambda f, tasks, _: map(f, tasks))


def many_photos(folder, count):
    world = Landmarks(folder, sizes=(1,))
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 256, (int(generator.integers(30, 100)), 60, 3), np.uint8)
        world.add(7, f"{number:016x}", encoded(Image.fromarray(pixels), quality=90))
    return world


def test_a_shard_whose_pages_do_not_fit_the_smallest_header(small_format, tmp_path):
    world = many_photos(tmp_path, 600)
    world.build(num_workers=1, validation_split_size=0.01)
    with open(tmp_path / "out" / "train.mindrecord000", "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    assert 16 * KB < length < header["header_size"] == 32 * KB
    # MindSpore reads shards of one set only where all have headers of one size.
    with open(tmp_path / "out" / "validation.mindrecord000", "rb") as file:
        text = file.read(8 + 16 * KB)[8:].split(b"\0")[0]
    assert json.loads(text)["header_size"] == 32 * KB
    rows = {**world.rows("train"), **world.rows("validation")}
    assert rows == {n: (7, world.path(n).read_bytes()) for n in world.classes[7]}
    data = create_dataset(tmp_path / "out", image_size=8, batch_size=9)
    assert data.get_dataset_size() == len(world.rows("train")) // 9


def test_what_no_header_can_hold_is_refused_before_anything_is_written(
    small_format, tmp_path, monkeypatch
):
    monkeypatch.setattr(writer, "LARGEST_HEADER", 16 * KB)
    world = many_photos(tmp_path, 600)
    with pytest.raises(UserError, match="give a larger --num_shards") as error:
        world.build(num_workers=1, validation_split_size=0.0)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").rglob("*.mindrecord*"))
    manifest = world.build(num_workers=1, validation_split_size=0.0, num_shards=4)
    assert manifest["counts"]["train"] == 601


@pytest.mark.parametrize(
    ("gigabytes", "wanted"),
    [(0.5, 1 << 20), (14, 1 << 20), (22, 1 << 21), (60, 1 << 23)],
)
def test_large_shards_have_large_headers(gigabytes, wanted):
    """Of photos of 100 KB; MindSpore failed at about 22 GB with a header of 1 MB."""
    sizes = [100_000] * int(gigabytes * 1e4)
    assert header_bytes([[5], sizes, [7, 8]], SMALLEST_PAGE) == wanted
    assert header_bytes([], SMALLEST_PAGE) == SMALLEST_HEADER
    assert LARGEST_HEADER == 1 << 27
