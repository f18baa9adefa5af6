"""Describing photos again by another engine, precision or weights says so, and what it costs."""

from __future__ import annotations

import dataclasses
import logging
import os

import pytest

from src.common.errors import UserError
from src.describe.folder import extract_folder
from src.describe.recipe import Describer
from src.describe.stopwatch import Pace
from tests.helpers.toy_engine import CONFIG, PCA, FakeEngine


class OtherEngine(FakeEngine):
    """The same network by another name."""

    def settings(self):
        return {"name": "OpenVINO", "precision": "bfloat16"}


def describer(engine=None, config=CONFIG):
    return Describer(engine or FakeEngine(), config, "fake.ckpt")


def describe(photos, work, what):
    folder = work / what.folder_name(photos)
    what.extract(photos, folder / "features", PCA if what.features.use_pca else None)
    return folder


@pytest.fixture
def before(photos, tmp_path, caplog):
    """The folder of what was described at first."""
    caplog.set_level(logging.INFO)
    folder = describe(photos, tmp_path / "work", describer())
    assert "again" not in caplog.text
    return folder


def told(caplog):
    return [line for line in caplog.messages if "described again" in line]


@pytest.mark.parametrize(
    ("engine", "config", "difference"),
    [
        (
            OtherEngine(),
            CONFIG,
            "engine: MindSpore before, OpenVINO now; precision: float32 before, bfloat16 now",
        ),
        (FakeEngine("other"), CONFIG, "other weights"),
        (
            FakeEngine(),
            dataclasses.replace(CONFIG, max_feature_num=3),
            f"max_feature_num: {CONFIG.max_feature_num} before, 3 now",
        ),
    ],
)
def test_what_differs_is_said_once(photos, before, caplog, engine, config, difference):
    describe(photos, before.parent, describer(engine, config))
    (line,) = told(caplog)
    assert line == (
        f"7 photos of {photos} are described again, by other settings than before ({difference}); "
        f"what was made with those is kept in {before}"
    )
    describe(photos, before.parent, describer(engine, config))
    describe(photos, before.parent, describer())
    assert len(told(caplog)) == 1


def test_only_photos_that_were_described_and_are_as_they_were_count(photos, before, caplog):
    os.utime(photos / "photo_0.png", (2e9, 1.5e9))
    (photos / "photo_1.png").rename(photos / "new.png")
    describe(photos, before.parent, describer(OtherEngine()))
    assert told(caplog)[0].startswith("5 photos of")


def test_of_several_the_one_that_differs_least_is_named(photos, before, caplog):
    other = dataclasses.replace(CONFIG, max_feature_num=3)
    describe(photos, before.parent, describer(OtherEngine(), other))
    caplog.clear()
    describe(photos, before.parent, describer(FakeEngine(), other))
    (line,) = told(caplog)
    assert (
        f"(max_feature_num: {CONFIG.max_feature_num} before, 3 now)" in line and str(before) in line
    )


def test_another_folder_of_the_same_name_is_none(photos, before, tmp_path, caplog):
    other = tmp_path / "elsewhere" / photos.name
    other.mkdir(parents=True)
    for path in photos.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    describe(other, before.parent, describer(OtherEngine()))
    assert not told(caplog)


def test_damaged_neighbours_are_none(photos, before, caplog):
    for path in (before / "features").glob("*.json"):
        path.write_text("{")
    describe(photos, before.parent, describer(OtherEngine()))
    assert not told(caplog)


def test_a_refused_folder_says_how_many_photos_it_holds(photos, tmp_path):
    extract_folder(photos, tmp_path / "out", FakeEngine(), CONFIG, PCA)
    with pytest.raises(UserError, match=r"7 photos described, was made with other settings"):
        extract_folder(photos, tmp_path / "out", OtherEngine(), CONFIG, PCA)


@pytest.mark.parametrize(
    ("photos", "seconds", "wanted"),
    [
        (100, 2.0, ["2 s a photo: describing the other 96 takes about 3 min"]),
        (100, 0.05, []),
        (4, 60.0, []),
        (5, 60.0, ["60 s a photo: describing the other 1 takes about 60 s"]),
        (3, 60.0, []),
    ],
)
def test_pace_is_said_once_the_first_photos_are_described(caplog, photos, seconds, wanted):
    caplog.set_level(logging.INFO)
    now = [0.0]
    pace = Pace(photos, clock=lambda: now[0])
    for number in range(photos):
        now[0] += seconds if number else 30.0  # the first one waits for the network
        pace.photo_done()
    assert caplog.messages == wanted
