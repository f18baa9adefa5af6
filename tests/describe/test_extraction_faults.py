"""Faults in the middle of an extraction: what goes away, what is no number, power cuts, kills."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import random
import signal

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError, system_line
from src.describe.fit_pca import fit_pca_on_photos
from src.describe.folder import extract_folder
from src.describe.record import RECORD_NAME
from src.feature_io import MANIFEST_NAME, feature_path, read_manifest
from tests.helpers.faults import small_disk
from tests.helpers.files import digests
from tests.helpers.toy_engine import CONFIG, PCA, ActingEngine, FakeEngine


def extract(photos, out, engine=None, **options):
    return extract_folder(photos, out, engine or FakeEngine(), CONFIG, PCA, **options)


@pytest.fixture
def whole(photos, tmp_path):
    """The files of an undisturbed extraction."""
    extract(photos, tmp_path / "undisturbed")
    return digests(tmp_path / "undisturbed")


# --- what the system refuses


@pytest.mark.parametrize("devices", [(0,), (0, 1)])
def test_a_full_disk_is_told_with_its_file_from_any_process(photos, tmp_path, devices):
    with small_disk(tmp_path / "disk", 8192) as disk:
        with pytest.raises((OSError, UserError)) as caught:
            extract(photos, disk / "features", devices=devices)
        error = caught.value
        told = system_line(error) if isinstance(error, OSError) else str(error)
    assert told.startswith(f"the disk is full while writing {disk}/features/"), told


# --- what goes away (the network is called twice for a photo)


def move(folder, elsewhere):
    with contextlib.suppress(OSError):  # another worker was faster
        os.rename(folder, elsewhere)


@pytest.mark.parametrize("had_manifest", [False, True])
@pytest.mark.parametrize("devices", [(0,), (0, 1)])
def test_an_output_folder_that_is_moved_ends_the_run(
    photos, tmp_path, whole, devices, had_manifest
):
    out, elsewhere = tmp_path / "features", tmp_path / "elsewhere"
    if had_manifest:
        for name in ("photo_0.png", "photo_1.png"):
            (photos / name).rename(tmp_path / name)
        extract(photos, out)
        for name in ("photo_0.png", "photo_1.png"):
            (tmp_path / name).rename(photos / name)
    engine = ActingEngine(1 if had_manifest else 2, functools.partial(move, out, elsewhere))
    with pytest.raises(UserError, match=r"ha(s|ve) gone"):
        extract(photos, out, engine, devices=devices)
    assert not (out / MANIFEST_NAME).exists()
    assert elsewhere.exists()
    extract(photos, out)
    assert digests(out) == whole


def test_a_feature_file_that_is_deleted_meanwhile_is_missed(photos, tmp_path, whole):
    out = tmp_path / "features"
    engine = ActingEngine(8, functools.partial(os.remove, out / "photo_1.npz"))
    with pytest.raises(UserError, match=r"1 of 7 feature files.*photo_1"):
        extract(photos, out, engine)
    assert not (out / MANIFEST_NAME).exists()
    summary = extract(photos, out)
    assert (summary.extracted, summary.skipped) == (1, 6)
    assert digests(out) == whole


def test_photos_that_go_away_are_not_broken_ones(photos, tmp_path, whole):
    out = tmp_path / "features"
    engine = ActingEngine(8, functools.partial(os.rename, photos, tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"photos has gone.*bring it back"):
        extract(photos, out, engine, max_bad_fraction=1.0)
    os.rename(tmp_path / "elsewhere", photos)
    # The one that was under way cannot be compared with what was read.
    assert extract(photos, out).extracted == 3
    assert digests(out) == whole


# --- what is no number


def bright(photos, *numbers):
    """Let photos be bright ones, of which the network makes no numbers."""
    for number in numbers:
        image = np.random.default_rng(number).integers(220, 256, (80, 100, 3)).astype(np.uint8)
        Image.fromarray(image).save(photos / f"photo_{number}.png")


@pytest.mark.parametrize("devices", [(0,), (0, 1)])
def test_a_photo_without_finite_output_is_one_bad_photo(photos, tmp_path, caplog, devices):
    out = tmp_path / "features"
    bright(photos, 2)
    engine = FakeEngine(trouble="not a number")
    summary = extract(photos, out, engine, devices=devices, max_bad_fraction=0.2)
    assert (summary.extracted, len(summary.failed), summary.not_finite) == (6, 1, 1)
    assert "1 could not be described (1 for values not finite)" in summary.text()
    assert "photo_2" in read_manifest(out).failed["photo_2"]
    assert "skipped: photo photo_2" in caplog.text
    # The next run counts it, and does not try it again as long as there is nothing else to do.
    again = extract(photos, out, ActingEngine(0, pytest.fail), max_bad_fraction=0.2)
    assert (again.extracted, again.skipped, list(again.failed)) == (0, 6, ["photo_2"])
    with pytest.raises(UserError, match=r"1 of 7.*photo_2"):
        extract(photos, out, engine)
    assert extract(photos, out, FakeEngine(), max_bad_fraction=0.2).failed
    os.utime(out / "photo_3.npz")
    (out / "photo_3.npz").unlink()
    assert not extract(photos, out).failed


def test_weights_are_to_blame_when_no_output_is_finite(photos, tmp_path):
    bright(photos, *range(7))
    (photos / "photo_0.png").write_bytes(b"no photo")
    engine = FakeEngine(trouble="not a number")
    for _ in range(2):
        with pytest.raises(UserError, match=r"6 photos: the weights my\.ckpt are damaged"):
            extract(photos, tmp_path / "f", engine, source="my.ckpt", max_bad_fraction=1.0)
        assert not (tmp_path / "f" / MANIFEST_NAME).exists()
    files = [f"photo_{number}.png" for number in range(7)]
    with pytest.raises(UserError, match=r"the weights my\.ckpt are damaged"):
        fit_pca_on_photos(engine, photos, files, CONFIG, 4, source="my.ckpt")
    assert extract(photos, tmp_path / "f", max_bad_fraction=0.2).extracted == 6


# --- power cuts and kills


def test_nothing_is_said_to_be_complete_before_it_is_on_the_disk(photos, tmp_path, monkeypatch):
    out = tmp_path / "features"
    events = []
    flush, replace = os.fsync, os.replace

    def fsync(opened):
        events.append(("flush", os.path.basename(os.readlink(f"/proc/self/fd/{opened}"))))
        flush(opened)

    def renamed(source, target):
        events.append(("rename", os.path.basename(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    extract(photos, out)
    record = events.index(("rename", RECORD_NAME))
    manifest = events.index(("rename", MANIFEST_NAME))
    flushed = [name for kind, name in events[:record] if kind == "flush"]
    assert {f"photo_{number}.npz" for number in range(7)} <= set(flushed)
    assert flushed.index("features", flushed.index("photo_6.npz")) > 0  # then the folder
    assert record < manifest
    between = [name for kind, name in events[record:manifest] if kind == "flush"]
    assert between[0] == "features" and between[1].startswith(f".{MANIFEST_NAME[:8]}")
    assert events[manifest + 1] == ("flush", "features")
    flushes = len([kind for kind, _ in events if kind == "flush"])
    assert flushes <= 7 + 7  # one a photo, and a few


def killed_extraction(photos, out, calls, workers):
    engine = ActingEngine(calls, functools.partial(os.kill, os.getpid(), signal.SIGKILL))
    extract(photos, out, engine, devices=range(workers))


def killed_writing(photos, out, renames, workers):
    replace = os.replace

    def counting(source, target):
        nonlocal renames
        if renames == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        renames -= 1
        replace(source, target)

    os.replace = counting
    extract(photos, out, devices=range(workers))


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_extraction_ends_as_an_undisturbed_one(photos, tmp_path, whole, seed):
    out = tmp_path / "features"
    chance = random.Random(seed)
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        how = chance.choice((killed_extraction, killed_writing))
        arguments = (photos, out, chance.randrange(10), 1)
        process = context.Process(target=how, args=arguments)
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
    extract(photos, out)
    for path in out.glob(".*.tmp.*"):  # nobody knows whether another process is just writing it
        path.unlink()
    assert digests(out) == whole
    assert feature_path(out, "photo_6").exists()
