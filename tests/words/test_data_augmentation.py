from __future__ import annotations

import hashlib
import io
import itertools
import os
import random
import shutil
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore.mindrecord import FileWriter
from PIL import Image

from src.common.errors import UserError
from src.data_augmentation_parallel import (
    PhotoBatches,
    count_classes,
    create_dataset,
    find_shards,
    random_crop,
)
from src.shards.build import BuildSettings, build_image_dataset
from src.shards.inventory import count_labels
from src.shards.writer import SCHEMA

PHOTOS = 27  # of a label each in "many", so that a label names a photo


def encoded(pixels: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **{"quality": 95, "subsampling": 0, **options})
    return buffer.getvalue()


def smooth(seed: int, width: int = 60, height: int = 44) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def write_shard(path: Path, rows: list[tuple[str, int, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = FileWriter(str(path), shard_num=1)
    writer.set_header_size(1 << 20)
    writer.set_page_size(1 << 22)
    writer.add_schema(SCHEMA, "photos")
    writer.write_raw_data([dict(zip(("file_id", "label", "data"), row)) for row in rows])
    writer.commit()


def write_classes(folder: Path, count: int) -> None:
    lines = ["new_label,old_label", *(f"{label},{label + 100}" for label in range(count))]
    (folder / "relabeling.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Three shards of nine photos, each with its own label, and two validation shards."""
    folder = tmp_path_factory.mktemp("many")
    for shard in range(3):
        rows = [(f"p{n}", n, encoded(smooth(n))) for n in range(9 * shard, 9 * shard + 9)]
        write_shard(folder / f"train.mindrecord{shard:03d}", rows)
    for shard in range(2):
        rows = [(f"v{n}", n, encoded(smooth(n + 50))) for n in range(3 * shard, 3 * shard + 3)]
        write_shard(folder / f"validation.mindrecord{shard:03d}", rows)
    write_classes(folder, PHOTOS)
    return folder


def single(tmp_path: Path, *photos: bytes) -> str:
    """Write photos as one validation shard."""
    path = tmp_path / "validation.mindrecord000"
    write_shard(path, [(f"photo{n}", n, data) for n, data in enumerate(photos)])
    return str(path)


def batches(data: ds.Dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    iterator = data.create_tuple_iterator(num_epochs=1, output_numpy=True)
    return [(a.copy(), b.copy()) for a, b in iterator]


def epochs_of(shards, count: int, **options) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    data = PhotoBatches(shards, **options)
    return [batches(data.epoch(number)) for number in range(count)]


def digest(epoch: list[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    return [hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest() for a, b in epoch]


def labels(epoch: list[tuple[np.ndarray, np.ndarray]]) -> list[int]:
    return [int(label) for _, some in epoch for label in some]


def test_what_a_batch_is(many):
    data = create_dataset(many / "train.mindrecord000", image_size=32, batch_size=4)
    assert data.get_dataset_size() == 6  # 27 photos: the last three are left out
    assert data.get_col_names() == ["image", "label"]
    for image, label in batches(data):
        assert image.shape == (4, 3, 32, 32) and image.dtype == np.float32
        assert label.shape == (4,) and label.dtype == np.int32
        assert -1 <= image.min() < -0.3 and 0.3 < image.max() <= 127 / 128
        assert np.allclose(image * 128, np.rint(image * 128), atol=1e-5)  # whole 8-bit values


def test_colours_are_rgb_less_128_over_128(tmp_path):
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (128, 128, 128)]
    photos = [encoded(np.full((30, 40, 3), colour, np.uint8)) for colour in colours]
    shard = single(tmp_path, *photos)
    for training in (False, True):
        data = create_dataset([shard], image_size=16, batch_size=4, training=training)
        image, label = batches(data)[0]
        for colour, one in zip(np.array(colours)[label], image):
            wanted = (colour - 128.0) / 128.0
            assert np.abs(one - wanted[:, None, None]).max() < 3 / 128


def test_every_epoch_is_a_new_order_of_all_photos(many):
    made = epochs_of(many, 4, image_size=16, batch_size=3, seed=1)
    epochs = [labels(epoch) for epoch in made]
    for epoch in epochs:
        assert sorted(epoch) == list(range(PHOTOS))
    assert len({tuple(epoch) for epoch in epochs}) == 4
    # Photos of all shards are mixed: a buffer of a few would leave the first shard in front.
    assert all(len({label // 9 for label in epoch[:9]}) > 1 for epoch in epochs)
    assert {label // 9 for epoch in epochs for label in epoch[:3]} == {0, 1, 2}


def test_same_seed_same_batches_on_any_number_of_workers(many):
    def run(workers: int, seed: int) -> list[list[str]]:
        np.random.seed(seed + workers)
        made = epochs_of(
            many, 3, image_size=24, batch_size=4, seed=seed, num_parallel_workers=workers
        )
        return [digest(epoch) for epoch in made]

    one = run(1, 7)
    assert one == run(1, 7) == run(2, 7) == run(1000, 7)
    other = run(1, 8)
    assert not {x for epoch in one for x in epoch} & {x for epoch in other for x in epoch}


def test_crops_of_a_photo_change_with_the_epoch(many):
    first, second = (e[0] for e in epochs_of(many, 2, image_size=24, batch_size=27, seed=0))
    order = [list(first[1]).index(label) for label in second[1]]
    differences = np.abs(first[0][order] - second[0]).mean(axis=(1, 2, 3))
    assert (differences > 0.02).all()


@pytest.mark.parametrize("first_step", [0, 1, 6, 8, 13])
def test_going_on_at_a_step_gives_what_would_have_come(many, first_step):
    options = {"image_size": 16, "batch_size": 4, "seed": 3}
    whole = [x for epoch in epochs_of(many, 3, **options) for x in digest(epoch)]
    steps = PhotoBatches(many, **options).from_step(first_step)
    rest = itertools.islice(steps, len(whole) - first_step)
    assert digest([(a.asnumpy(), b.asnumpy()) for a, b in rest]) == whole[first_step:]


@pytest.mark.parametrize("rank_size", [2, 4])
def test_devices_share_the_photos(many, rank_size):
    for training in (True, False):
        total = PHOTOS if training else 6
        options = {"image_size": 8, "batch_size": 1, "training": training, "rank_size": rank_size}
        parts = []
        for rank in range(rank_size):
            made = epochs_of(many, 2, rank_id=rank, **options)
            parts.append([labels(epoch) for epoch in made])
        for epoch in range(2):
            seen = [label for part in parts for label in part[epoch]]
            assert len(seen) == len(set(seen))
            assert len(seen) == (total // rank_size * rank_size if training else total)
            if training:  # as many steps on each device, or they would wait for each other
                assert len({len(part[epoch]) for part in parts}) == 1


@pytest.mark.parametrize("rank_size", [2, 3])
def test_several_devices_do_the_steps_of_one_with_a_larger_batch(many, rank_size):
    one = epochs_of(many, 2, image_size=16, batch_size=2 * rank_size, seed=5)
    parts = [
        epochs_of(many, 2, image_size=16, batch_size=2, seed=5, rank_id=r, rank_size=rank_size)
        for r in range(rank_size)
    ]
    for epoch in range(2):
        assert len(one[epoch]) == len(parts[0][epoch]) == PHOTOS // (2 * rank_size)
        for step, (images, _) in enumerate(one[epoch]):
            together = np.concatenate([part[epoch][step][0] for part in parts])
            np.testing.assert_array_equal(together, images)


def test_validation_is_the_whole_photo_in_a_fixed_order_without_loss(many):
    data = create_dataset(many / "train.mindrecord000", image_size=32, batch_size=4, training=False)
    assert data.get_dataset_size() == 2
    epochs = [batches(data), batches(data)]
    assert [len(label) for _, label in epochs[0]] == [4, 2]
    assert labels(epochs[0]) == labels(epochs[1]) == list(range(6))
    assert digest(epochs[0]) == digest(epochs[1])
    for number in range(6):
        wanted = Image.fromarray(smooth(number + 50)).resize((32, 32), Image.Resampling.BILINEAR)
        got = epochs[0][number // 4][0][number % 4].transpose(1, 2, 0) * 128 + 128
        assert np.abs(got - np.asarray(wanted, float)).mean() < 4


def test_large_photos_are_read_at_a_fraction_of_the_size_and_look_the_same(tmp_path):
    photos = [smooth(1, 1300, 900), smooth(2, 6000, 500), smooth(3, 300, 1201)]
    shard = single(tmp_path, *(encoded(photo) for photo in photos))
    data = create_dataset([shard], image_size=100, batch_size=3, training=False)
    for got, photo in zip(batches(data)[0][0], photos):
        wanted = Image.fromarray(photo).resize((100, 100), Image.Resampling.BOX)
        assert np.abs(got.transpose(1, 2, 0) * 128 + 128 - np.asarray(wanted, float)).mean() < 3


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_photos_come_upright(tmp_path, orientation):
    """The stored pixels are turned the other way, as cameras do it."""
    upright = smooth(4, 700, 430)
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    shard = single(tmp_path, encoded(np.ascontiguousarray(np.rot90(upright, turns)), exif=exif))
    for size in (20, 64):  # read at a reduced and at full size
        data = create_dataset([shard], image_size=size, batch_size=1, training=False)
        got = batches(data)[0][0][0].transpose(1, 2, 0) * 128 + 128
        wanted = Image.fromarray(upright).resize((size, size), Image.Resampling.BOX)
        assert np.abs(got - np.asarray(wanted, float)).mean() < 4
    cropped = create_dataset([shard], image_size=64, batch_size=1, training=True)
    assert cropped.get_dataset_size() == 1 and len(batches(cropped)) == 1


def test_grey_tiny_and_long_photos_go_through(tmp_path):
    photos = [
        encoded(smooth(0)[:, :, 0]),
        encoded(smooth(0, 1, 1)),
        encoded(smooth(0, 20, 20)),
        encoded(smooth(0, 6000, 40)),
        encoded(smooth(0, 3, 900)),
        encoded(smooth(0), progressive=True),
    ]
    shard = single(tmp_path, *photos)
    for epoch in epochs_of([shard], 5, image_size=64, batch_size=6):
        assert sorted(labels(epoch)) == list(range(6))
        assert np.isfinite(epoch[0][0]).all()


def test_flips_are_half_and_crops_are_parts_of_the_photo(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 256).astype(np.uint8)[None, :, None], (256, 256, 3))
    shard = single(tmp_path, encoded(np.ascontiguousarray(ramp)))
    widths, flipped = [], 0
    for epoch in epochs_of([shard], 300, image_size=64, batch_size=1, seed=2):
        row = epoch[0][0][0, 0, 32] * 128 + 128
        slope = row[-8:].mean() - row[:8].mean()
        flipped += slope < 0
        widths.append(abs(slope) / 56 * 64)
    assert 110 < flipped < 190  # 150 ± 4.6 standard deviations
    widths = np.array(widths)
    assert widths.min() > 55 and widths.max() < 265
    assert np.percentile(widths, 5) > 60 and np.percentile(widths, 95) > 235


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 1000))
@settings(deadline=None, max_examples=150)
def test_a_crop_lies_in_the_photo(height, width, seed):
    box = random_crop(height, width, random.Random(seed))
    assert box.top >= 0 and box.left >= 0 and box.height >= 1 and box.width >= 1
    assert box.top + box.height <= height and box.left + box.width <= width
    if min(box.height, box.width) > 50:
        assert 0.73 < box.width / box.height < 1.36


def test_crops_have_the_areas_of_the_source():
    generator = random.Random(0)
    boxes = [random_crop(600, 600, generator) for _ in range(4000)]
    areas = np.array([box.height * box.width for box in boxes]) / 360_000
    assert 0.079 < areas.min() < 0.09 and areas.max() <= 1
    # Uniform in [0.08, 1], but for areas near 1, where only nearly square crops fit.
    assert abs((areas < 0.4).mean() / (areas < 0.72).mean() - 0.5) < 0.04
    aspects = np.array([box.width / box.height for box in boxes])
    assert 0.74 < aspects.min() < 0.77 and 1.3 < aspects.max() < 1.35
    corners = np.array([(box.top, box.left) for box in boxes if box.height < 300 > box.width])
    assert (corners.max(axis=0) > 300).all() and (corners.min(axis=0) < 20).all()


@pytest.mark.parametrize("most", [0, 1, 4, 5, 6, 9])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_validation_sees_the_same_photos_each_time(many, most, workers):
    """As many as it may, from all over the shards, whatever the seed and the number of workers."""
    seen = []
    for rank in range(workers):
        options = {"rank_id": rank, "rank_size": workers, "most_photos": most, "seed": rank + most}
        photos = PhotoBatches(many, image_size=8, batch_size=2, training=False, **options)
        for _ in range(2):
            seen.append(labels(batches(photos.epoch())))
        assert photos.photos == min(most or 6, 6)
    for first, second in zip(seen[::2], seen[1::2]):
        assert first == second
    wanted = {0: range(6), 1: [0], 4: [0, 1, 3, 4], 5: [0, 1, 2, 3, 4], 6: range(6), 9: range(6)}
    assert sorted(label for part in seen[::2] for label in part) == list(wanted[most])
    assert PhotoBatches(many, image_size=8, batch_size=2, most_photos=3).photos == PHOTOS


def test_classes_are_counted_and_checked(many, tmp_path):
    assert count_classes(many) == count_classes(many / "train.mindrecord000") == PHOTOS
    assert count_labels(many / "train.mindrecord001") == dict.fromkeys(range(9, 18), 1)
    folder = Path(shutil.copytree(many, tmp_path / "copy"))
    write_classes(folder, PHOTOS - 1)
    with pytest.raises(UserError, match=r"train\.mindrecord002 holds the label 26"):
        count_classes(folder)
    write_classes(folder, PHOTOS)
    write_shard(tmp_path / "x" / "validation.mindrecord001", [("v", -1, encoded(smooth(0)))])
    for name in ("validation.mindrecord001", "validation.mindrecord001.db"):
        shutil.copy(tmp_path / "x" / name, folder / name)
    with pytest.raises(UserError, match=r"validation\.mindrecord001 holds the label -1"):
        count_classes(folder)
    (folder / "relabeling.csv").write_text("new_label,old_label\n0,1\n2,5\n")
    with pytest.raises(UserError, match="does not count"):
        count_classes(folder)
    (folder / "relabeling.csv").unlink()
    with pytest.raises(UserError, match=r"no relabeling\.csv"):
        count_classes(folder)


def test_shards_are_found_from_one(many, tmp_path):
    names = [str(many / f"train.mindrecord{number:03d}") for number in range(3)]
    assert find_shards(many / "train.mindrecord001") == names
    assert find_shards(many) == names
    assert find_shards(names[1:2]) == names[1:2]
    validation = find_shards(names[0], "validation")
    assert [Path(path).name for path in validation] == [
        "validation.mindrecord000",
        "validation.mindrecord001",
    ]
    folder = Path(shutil.copytree(many, tmp_path / "copy"))
    for path in folder.glob("validation*"):
        path.unlink()
    assert find_shards(folder, "validation") == []
    with pytest.raises(UserError, match="no photo in the validation"):
        create_dataset(folder, training=False)
    (folder / "train.mindrecord001").unlink()
    (folder / "train.mindrecord001.db").unlink()
    with pytest.raises(UserError, match=r"shard 1 of train\.mindrecord is missing"):
        find_shards(folder)
    with pytest.raises(UserError, match="no shard at"):
        find_shards(tmp_path / "nowhere" / "train.mindrecord000")


@pytest.mark.parametrize("left", [0, 100, 1 << 20, (9 << 20) // 2 + 1000, -1])
def test_a_shard_cut_short_is_refused(many, tmp_path, left):
    folder = Path(shutil.copytree(many, tmp_path / "copy"))
    path = folder / "train.mindrecord001"
    if left < 0:
        (folder / "train.mindrecord001.db").unlink()
    else:
        os.truncate(path, left)
    with pytest.raises(UserError, match=r"train\.mindrecord001"):
        create_dataset(folder, image_size=8, batch_size=1)


def test_shards_written_in_one_go_by_mindspore_are_read_too(tmp_path):
    writer = FileWriter(str(tmp_path / "train.mindrecord"), shard_num=4)
    writer.add_schema(SCHEMA, "photos")
    for number in range(8):
        row = {"file_id": f"p{number}", "label": number, "data": encoded(smooth(number))}
        writer.write_raw_data([row])
    writer.commit()
    data = create_dataset(tmp_path / "train.mindrecord0", image_size=8, batch_size=2)
    assert sorted(labels(batches(data))) == list(range(8))


@pytest.mark.parametrize(
    "wrong",
    [{"image_size": 0}, {"batch_size": 0}, {"seed": -1}, {"rank_id": 2, "rank_size": 2}],
)
def test_impossible_settings(many, wrong):
    with pytest.raises(UserError):
        create_dataset(many, **wrong)


def test_what_is_built_can_be_trained_on(tmp_path):
    """The two halves together: files and tables → shards → batches."""
    (tmp_path / "photos").mkdir()
    for number in range(10):
        (tmp_path / "photos" / f"{number:02d}.jpg").write_bytes(encoded(smooth(number)))
    Image.fromarray(smooth(20)).convert("RGBA").save(tmp_path / "photos" / "10.png")
    (tmp_path / "clean.csv").write_text(
        "landmark_id,images\n500,00 01 02 03 04\n9,05 06 07 08 09 10 11\n"
    )
    where = tmp_path / "clean.csv", tmp_path / "photos", tmp_path / "out"
    build_image_dataset(BuildSettings(*where, num_shards=2))
    first = tmp_path / "out" / "train.mindrecord000"
    assert count_classes(first) == 2
    train = create_dataset(first, image_size=32, batch_size=9)
    assert sorted(labels(batches(train))) == [0] * 5 + [1] * 4
    validation = create_dataset(first, image_size=32, batch_size=9, training=False)
    assert sorted(labels(batches(validation))) == [0, 1]
