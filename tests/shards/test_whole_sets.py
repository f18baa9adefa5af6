"""A data set that has lost something is refused in one line, whatever it has lost."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from mindspore.mindrecord import FileWriter

from src.common.errors import UserError
from src.data_augmentation_parallel import create_dataset
from src.shards import output_folder
from src.shards.inventory import count_classes, find_shards
from src.shards.writer import SCHEMA
from tests.helpers.landmarks import Landmarks, encoded, picture


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Three training shards of three photos each, and validation shards."""
    world = Landmarks(tmp_path_factory.mktemp("built"), sizes=(6, 5))
    world.build(num_shards=3, num_workers=1)
    world.build("other", num_shards=3, num_workers=1, seed=1)
    return world.root / "out"


@pytest.fixture
def folder(built, tmp_path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "set"))


def remove(folder, *patterns):
    found = [path for pattern in patterns for path in folder.glob(pattern)]
    assert found
    for path in found:
        path.unlink()


def edit_manifest(folder, **changes):
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def one_photo_more(folder, shard):
    manifest = json.loads((folder / "dataset.json").read_text())
    manifest["shards"][shard] += 1
    manifest["counts"]["train"] += 1
    edit_manifest(folder, **manifest)


def bring(folder, built, name):
    """Copy a shard of a set with the same photos in another order."""
    for file in (name, f"{name}.db"):
        shutil.copy(built.with_name("other") / file, folder / file)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


LOST = {
    "the last shard": (
        lambda folder, _: remove(folder, "train.mindrecord002*"),
        r"1 of the 3 shards of train\.mindrecord .*dataset\.json lists .*train\.mindrecord002",
    ),
    "the first shard": (
        lambda folder, _: remove(folder, "train.mindrecord000*"),
        r"1 of the 3 shards .*train\.mindrecord000",
    ),
    "all but one": (
        lambda folder, _: remove(folder, "train*1*", "train*2*", "validation*"),
        "2 of the 3 shards",
    ),
    "the validation": (
        lambda folder, _: remove(folder, "validation*"),
        r"shards of validation\.mindrecord .* missing",
    ),
    "an index": (lambda folder, _: remove(folder, "train*2.db"), r"002\.db is missing"),
    "the labels": (lambda folder, _: remove(folder, "relabeling.csv"), r"no relabeling\.csv"),
    "a label": (
        lambda folder, _: (folder / "relabeling.csv").write_text("new_label,old_label\n0,7\n"),
        r"has 1 classes, but .*dataset\.json says 2",
    ),
    "an old label": (
        lambda folder, _: (folder / "relabeling.csv").write_text(
            "new_label,old_label\n0,7\n1,31\n"
        ),
        r"relabeling\.csv is not the file",
    ),
    "a photo": (
        lambda folder, _: one_photo_more(folder, "train.mindrecord001"),
        r"train\.mindrecord001 holds 3 photos, but .*dataset\.json lists it with 4",
    ),
    "its own shard": (
        lambda folder, built: bring(folder, built, "train.mindrecord001"),
        r"train\.mindrecord001\.db is not the file",
    ),
    "the match of shard and index": (
        lambda folder, _: shutil.copy(
            folder / "train.mindrecord001.db", folder / "train.mindrecord000.db"
        ),
        r"train\.mindrecord000 was written as train\.mindrecord001",
    ),
    "a number in an index": (
        lambda folder, _: flip(folder / "train.mindrecord001.db", -100),
        r"train\.mindrecord001",
    ),
    "the end of the manifest": (
        lambda folder, _: os.truncate(folder / "dataset.json", 200),
        r"dataset\.json is damaged",
    ),
    "the content of the manifest": (
        lambda folder, _: (folder / "dataset.json").write_text("[]"),
        r"dataset\.json is damaged",
    ),
    "sense in the manifest": (
        lambda folder, _: edit_manifest(folder, shards={"train.mindrecord000": 3}),
        r"dataset\.json is damaged .*9 train photos, but 3 in the shards",
    ),
    "a format we know": (lambda folder, _: edit_manifest(folder, format=2), "format 2"),
}


@pytest.mark.parametrize("what", LOST)
def test_what_a_set_has_lost_is_named(built, folder, what):
    assert count_classes(folder / "train.mindrecord000") == 2
    lose, message = LOST[what]
    lose(folder, built)
    with pytest.raises(UserError, match=message) as error:
        count_classes(folder / "train.mindrecord000")
    assert "\n" not in str(error.value)


def test_a_shard_too_many_is_refused(built, folder):
    for end in ("", ".db"):
        shutil.copy(folder / f"train.mindrecord002{end}", folder / f"train.mindrecord003{end}")
    with pytest.raises(UserError, match=r"does not list train\.mindrecord003"):
        create_dataset(folder, image_size=8, batch_size=1)


def test_a_set_of_another_program_is_read_with_a_word_of_warning(folder, caplog):
    remove(folder, "dataset.json")
    assert count_classes(folder) == 2
    (said,) = [record.getMessage() for record in caplog.records]
    assert "whether the last shards are missing cannot be told (3 for training, 2 for val" in said
    assert "11 photos of 2 classes" in said


def test_a_set_built_before_digests_were_noted_is_read(folder):
    edit_manifest(folder, sha256={})
    path = folder / "dataset.json"
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    path.write_text(json.dumps(manifest))
    assert count_classes(folder) == 2


@pytest.mark.parametrize("lost", [0, 2, 3])
def test_shards_that_were_written_together_know_each_other(tmp_path, lost):
    """What MindSpore writes in one go needs no manifest: each shard names all of them."""
    writer = FileWriter(str(tmp_path / "train.mindrecord"), shard_num=4)
    writer.add_schema(SCHEMA, "photos")
    photo = encoded(picture(0))
    rows = [{"file_id": f"p{n}", "label": n % 2, "data": photo} for n in range(8)]
    writer.write_raw_data(rows)
    writer.commit()
    (tmp_path / "relabeling.csv").write_text("new_label,old_label\n0,5\n1,6\n")
    assert count_classes(tmp_path / "train.mindrecord1") == 2
    remove(tmp_path, f"train.mindrecord{lost}*")
    with pytest.raises(UserError, match=rf"train\.mindrecord{lost}|shard {lost} of"):
        find_shards(tmp_path / "train.mindrecord1")


def test_a_set_that_is_no_longer_whole_does_not_count_as_built(tmp_path):
    world = Landmarks(tmp_path)
    world.build(num_shards=2, num_workers=1)
    os.truncate(world.root / "out" / "train.mindrecord001", 1 << 20)
    with pytest.raises(UserError, match=r"train\.mindrecord001 is cut short.*To build it again"):
        world.build(num_shards=2, num_workers=1)


def test_a_set_that_was_not_moved_to_the_end_is_not_trained_on(tmp_path, monkeypatch):
    world = Landmarks(tmp_path)
    real, moved = os.replace, []

    def replace(source, target):
        if Path(target).parent.name == "out" and Path(source).parent.name == ".building":
            if len(moved) == 4:
                raise RuntimeError("killed")
            moved.append(target)
        real(source, target)

    monkeypatch.setattr(output_folder.os, "replace", replace)
    with pytest.raises(RuntimeError, match="killed"):
        world.build(num_shards=3, num_workers=1)
    monkeypatch.undo()
    with pytest.raises(UserError, match="interrupted while its shards were moved"):
        find_shards(world.root / "out" / "train.mindrecord000")
    for name in ("train.mindrecord000", "train.mindrecord000.db"):
        (world.root / "out" / name).unlink()
    with pytest.raises(UserError, match=r"train\.mindrecord000\.db went away"):
        world.build(num_shards=3, num_workers=1)
