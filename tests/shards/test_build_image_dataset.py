from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.shards import build as module
from src.shards import output_folder, plan, selection
from src.shards import writer as shard_writer
from src.shards.build import BuildSettings, build_image_dataset
from tests.helpers.files import digests
from tests.helpers.landmarks import Landmarks, encoded, picture
from tests.helpers.other_process import OtherProcess

SCRIPT = PROJECT_ROOT / "src" / "build_image_dataset.py"


@pytest.fixture
def world(tmp_path) -> Landmarks:
    return Landmarks(tmp_path)


def test_every_photo_arrives_once_unchanged_and_nothing_of_the_users_changes(world):
    world.write_tables()
    before = digests(world.photos)
    manifest = world.build()
    assert digests(world.photos) == before
    train, validation = world.rows("train"), world.rows("validation")
    assert not set(train) & set(validation)
    together = {**train, **validation}
    wanted = {
        name: (landmark, world.path(name).read_bytes())
        for landmark, names in world.classes.items()
        for name in names
    }
    assert together == wanted
    # Landmarks of 6, 5 and 1 photos: a fifth of 12 is 2, one of each that can spare it.
    assert sorted(old for old, _ in validation.values()) == [7, 30]
    assert manifest["counts"]["train"] == 10 and manifest["counts"]["validation"] == 2
    text = (world.root / "out" / "relabeling.csv").read_text()
    assert text == "new_label,old_label\n0,7\n1,30\n2,31\n"
    names = sorted(path.name for path in (world.root / "out").iterdir())
    assert names == [
        "dataset.json",
        "relabeling.csv",
        "skipped_images.csv",
        "train.mindrecord000",
        "train.mindrecord000.db",
        "validation.mindrecord000",
        "validation.mindrecord000.db",
    ]


def test_same_bytes_on_any_number_of_workers_and_wherever_the_photos_lie(world):
    world.build("one", num_workers=1, num_shards=3, seed=5)
    pattern = str(world.photos) + "/*/*/*/"
    world.build("three", num_workers=3, num_shards=3, seed=5, where=pattern)
    one = digests(world.root / "one")
    assert one == digests(world.root / "three")
    shards = sorted(name for name in one if name.endswith(tuple("0123456789")))
    assert shards == [
        *(f"train.mindrecord{number:03d}" for number in range(3)),
        *(f"validation.mindrecord{number:03d}" for number in range(2)),  # it has two photos
    ]
    world.build("other", num_shards=3, seed=6)
    other = digests(world.root / "other")
    assert all(one[name] != other[name] for name in shards if name.startswith("train"))


def photos_to_convert(plain):
    """Photos of other formats: what they are, bytes, suffix, and the pixels wanted."""
    few = plain.quantize(64)
    grey = Image.fromarray(np.full((9, 9), 32768, np.uint16))
    alpha = plain.convert("RGBA")
    alpha.putalpha(0)
    return {
        "aa00": ("RGB", encoded(plain, "PNG"), ".png", plain),
        "aa01": ("alpha", encoded(alpha, "PNG"), ".PNG", Image.new("RGB", plain.size, "white")),
        "aa02": ("palette", encoded(few, "PNG"), ".png", few.convert("RGB")),
        "aa03": ("webp", encoded(plain, "WEBP", quality=95), ".webp", plain),
        "aa04": ("cmyk", encoded(plain.convert("CMYK"), quality=95), ".jpg", plain),
        "aa05": ("gif", encoded(few, "GIF"), ".gif", few.convert("RGB")),
        "aa06": ("misnamed", encoded(plain, "PNG"), ".jpg", plain),
        "aa07": ("16 bit", encoded(grey, "PNG"), ".png", Image.new("RGB", (9, 9), (127,) * 3)),
    }


def photos_to_keep(plain):
    """JPEG files that go in byte by byte."""
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "bb00": encoded(plain.convert("L")),
        "bb01": encoded(plain, progressive=True),
        "bb02": encoded(picture(1, 20, 20)),
        "bb03": encoded(picture(2, 1500, 90)),
        "bb04": encoded(plain, exif=turned),
        "bb05": encoded(plain) + b"what a camera leaves behind",
        "bb06": encoded(plain, restart_marker_rows=1),
        "bb07": encoded(picture(3, 1, 1)),
    }


def photos_to_refuse(plain):
    """Files that cannot be read whole."""
    whole = encoded(plain, quality=95)
    tables = bytearray(whole)
    start = whole.index(b"\xff\xc4") + 5
    tables[start : start + 16] = b"\xff" * 16  # libjpeg aborts on it, and MindSpore crashes
    return {
        "cc00": whole[: len(whole) * 9 // 10],
        "cc01": b"",
        "cc02": b"<html>not found</html>",
        "cc03": bytes(tables),
        "cc04": whole[:200],
        "cc05": encoded(plain, "PNG")[:-40],
        "cc06": whole[:-2],
        "cc07": encoded(plain, progressive=True)[:-60],
    }


def check_converted(rows, photos):
    for name, (what, data, _, wanted) in photos.items():
        stored = rows[name][1]
        assert stored != data, what
        read = Image.open(io.BytesIO(stored))
        assert read.format == "JPEG" and read.mode == "RGB", what
        difference = np.abs(np.asarray(read, float) - np.asarray(wanted, float))
        assert difference.mean() < 9, what  # GIF and palettes are dithered


def test_other_formats_are_converted_and_bad_photos_are_listed(world):
    plain = picture(100)
    good, kept = photos_to_convert(plain), photos_to_keep(plain)
    bad = photos_to_refuse(plain)
    for name, (_, data, ending, _) in good.items():
        world.add(7, name, data, ending)
    for name, data in {**kept, **bad}.items():
        world.add(7, name, data)
    world.add(7, "dd00", None)
    world.add(7, "dd01", encoded(plain))
    del world.train_rows["dd01"]
    world.add(7, "dd02", encoded(plain))
    world.train_rows["dd02"] = 30
    manifest = world.build(validation_split_size=0.0)
    rows = world.rows("train")
    assert not list((world.root / "out").glob("validation*"))
    check_converted(rows, good)
    for name, data in kept.items():
        assert rows[name][1] == data, name
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
    skipped = world.skipped()
    assert set(skipped) == {*bad, "dd00", "dd01", "dd02"}
    assert not set(skipped) & set(rows)
    assert skipped["dd00"] == "no such file"
    assert skipped["dd01"] == "not in train.csv"
    assert skipped["dd02"] == "another landmark in train.csv"
    assert skipped["cc01"] == "the file is empty"
    assert "known format" in skipped["cc02"]
    counts = manifest["counts"]
    assert counts["converted"] == len(good)
    assert counts["unreadable"] == len(bad)
    assert counts["missing"] == 1
    assert counts["used"] == counts["train"] == 12 + len(good) + len(kept)


def test_a_landmark_without_photos_gets_no_label(world):
    for name in world.classes[30]:
        world.path(name).write_bytes(b"broken")
    manifest = world.build()
    text = (world.root / "out" / "relabeling.csv").read_text()
    assert text == "new_label,old_label\n0,7\n1,31\n"
    assert manifest["counts"]["classes"] == 2
    assert {old for old, _ in {**world.rows("train"), **world.rows("validation")}.values()} == {
        7,
        31,
    }


def test_too_many_bad_photos_end_the_build(world):
    for name in world.classes[7]:
        world.path(name).unlink()
    world.build("half")  # 6 of 12: not more than half
    for name in world.classes[30][:1]:
        world.path(name).unlink()
    with pytest.raises(UserError, match=r"7 of 12 .*max_bad_fraction=0.59"):
        world.build("more")
    assert len(world.skipped("more")) == 7
    assert world.build("more", max_bad_fraction=0.59)["counts"]["used"] == 5
    for names in world.classes.values():
        for name in names:
            world.path(name).unlink(missing_ok=True)
    with pytest.raises(UserError, match="no photo of the table"):
        world.build("none")


def test_second_run_does_nothing_and_other_settings_are_refused(world, caplog):
    first = world.build(seed=1)
    stamps = {path: path.stat().st_mtime_ns for path in (world.root / "out").iterdir()}
    assert world.build(seed=1) == first
    assert {path: path.stat().st_mtime_ns for path in (world.root / "out").iterdir()} == stamps
    with pytest.raises(UserError, match=r"seed was 1, now 2"):
        world.build(seed=2)
    world.add(7, "ee00", encoded(picture(5)))
    with pytest.raises(UserError, match=r"photos_found was"):
        world.build(seed=1)
    assert {path: path.stat().st_mtime_ns for path in (world.root / "out").iterdir()} == stamps


def test_foreign_shards_are_not_touched(world):
    (world.root / "out").mkdir()
    (world.root / "out" / "train.mindrecord003").write_bytes(b"precious")
    with pytest.raises(UserError, match=r"train\.mindrecord003"):
        world.build()
    assert (world.root / "out" / "train.mindrecord003").read_bytes() == b"precious"


@pytest.mark.parametrize("stop_at", ["train.mindrecord001", "validation.mindrecord000"])
def test_an_interrupted_build_goes_on(world, monkeypatch, stop_at):
    world.build("whole", num_shards=2)
    real = shard_writer.write_shard

    def stop(task):
        if task.name == stop_at:
            Path(task.folder, f"partial-{task.name}").mkdir()
            Path(task.folder, f"partial-{task.name}", task.name).write_bytes(b"half a shard")
            raise KeyboardInterrupt
        real(task)

    monkeypatch.setattr(module, "in_processes", lambda f, tasks, _: map(f, tasks))
    monkeypatch.setattr(module, "write_shard", stop)
    with pytest.raises(KeyboardInterrupt):
        world.build(num_shards=2)
    assert not (world.root / "out" / "dataset.json").exists()
    written = []

    def note(task):
        written.append(task.name)
        real(task)

    monkeypatch.setattr(module, "write_shard", note)
    world.build(num_shards=2)
    assert stop_at in written and "train.mindrecord000" not in written
    assert digests(world.root / "out") == digests(world.root / "whole")


@pytest.mark.parametrize("moves", range(7))
def test_a_build_killed_while_moving_is_finished(world, monkeypatch, moves):
    world.build("whole")
    real, done = os.replace, []

    def replace(source, target):
        if Path(target).parent.name == "out" and Path(source).parent.name == ".building":
            if len(done) == moves:
                raise RuntimeError("killed")
            done.append(target)
        real(source, target)

    if moves < 6:
        monkeypatch.setattr(output_folder.os, "replace", replace)
        with pytest.raises(RuntimeError, match="killed"):
            world.build()
        monkeypatch.undo()
    world.build()
    assert digests(world.root / "out") == digests(world.root / "whole")


def test_remains_of_other_settings_are_not_used(world, monkeypatch):
    def fail(task):
        if task.name == "validation.mindrecord000":
            raise RuntimeError("stopped")
        shard_writer.write_shard(task)

    world.build("whole", seed=2)
    monkeypatch.setattr(module, "in_processes", lambda f, tasks, _: map(f, tasks))
    monkeypatch.setattr(module, "write_shard", fail)
    with pytest.raises(RuntimeError, match="stopped"):
        world.build(seed=1)
    monkeypatch.undo()
    world.build(seed=2)
    assert digests(world.root / "out") == digests(world.root / "whole")


def test_a_worker_that_dies_ends_the_build_with_one_line(world, monkeypatch):
    monkeypatch.setattr(selection, "_check_photo", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(UserError, match="a worker process died"):
        world.build()


def test_a_full_disk_is_told_beforehand(world, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="free some space"):
        world.build()


def test_two_builds_do_not_mix(world):
    """The one that is killed leaves the folder to the next."""
    lock = """
from src.shards.output_folder import work_folder
work_folder(Path(sys.argv[1]))
"""
    with OtherProcess.holding(lock, world.root / "out") as other:
        with pytest.raises(UserError, match="another build is writing"):
            world.build()
        other.kill()
    world.build()
    world.build("whole")
    assert digests(world.root / "out") == digests(world.root / "whole")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_shards": 0}, "num_shards is 0"),
        ({"num_shards": 11}, "only 10 photos"),
        ({"validation_split_size": 1.0}, "below 1"),
        ({"validation_split_size": -0.1}, "at least 0"),
        ({"num_workers": 0}, "num_workers is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"where": "/no/such/*/"}, "no folder /no/such"),
        ({"train_csv_path": "/no/train.csv"}, "no csv file"),
    ],
)
def test_impossible_settings(world, options, message):
    with pytest.raises(UserError, match=message):
        world.build(**options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("landmark,images\n1,aa\n", "no column landmark_id"),
        ("landmark_id,images\nx,aa\n", "line 2: landmark_id is x, not a whole number"),
        ("landmark_id,images\n1,aa\n\n9.5,bb\n", r"line 4: landmark_id is 9\.5, not a whole"),
        ("landmark_id,images,,\n1,aa,,\n,bb,,\n", "line 3: landmark_id is empty, not a whole"),
        (f"landmark_id,images\n{10**30},aa\n", "line 2: landmark_id is 1000000000.*, not a whole"),
        ("landmark_id,images\n", "lists no photo"),
        ("", "not a csv file"),
    ],
)
def test_wrong_tables(world, text, message):
    world.write_tables()
    table = world.root / "wrong.csv"
    table.write_text(text)
    with pytest.raises(UserError, match=message):
        build_image_dataset(BuildSettings(table, world.photos, world.root / "out"))


def run_script(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_command_line_from_any_folder_with_a_literal_pattern(world):
    world.write_tables()
    arguments = [
        f"--train_csv_path={world.root}/train.csv",
        f"--train_clean_csv_path={world.root}/train_clean.csv",
        f"--train_directory={world.photos}/*/*/*/",
        f"--output_directory={world.root}/a/b/mindrecord/",
        "--num_shards=2",
        "--validation_split_size=0.2",
    ]
    done = run_script(*arguments, cwd=world.root)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    counts = json.loads((world.root / "a/b/mindrecord/dataset.json").read_text())["counts"]
    assert (counts["train"], counts["validation"]) == (10, 2)
    done = run_script(*arguments[:-1], "--validation_split_size=2", cwd=world.root)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: validation_split_size is 2.0")
    file = world.root / "file"
    file.write_text("")
    done = run_script(*arguments[:3], f"--output_directory={file}", cwd=world.root)
    assert done.returncode == 2 and "cannot write" in done.stderr and "Trace" not in done.stderr
