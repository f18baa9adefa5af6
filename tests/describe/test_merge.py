"""Parts of a list, described apart and merged."""

from __future__ import annotations

import multiprocessing
import shutil
import tarfile

import pytest

from src.common.errors import UserError
from src.common.packed_store import PackedStore
from src.describe.folder import extract_folder
from src.describe.levels import photo_levels
from src.describe.merge import merge
from src.describe.parts import Part
from src.describe.tasks import list_tasks
from src.feature_io import feature_path, read_features, read_manifest
from tests.helpers.toy_engine import CONFIG, PCA, FakeEngine


def describe(photos, folder, part=None, store="packed", engine=None):
    part = Part.parse(part) if part else None
    engine = engine or FakeEngine()
    return extract_folder(photos, folder, engine, CONFIG, PCA, store=store, part=part)


@pytest.fixture
def parts(photos, tmp_path):
    folders = [tmp_path / f"part{number}" for number in (1, 2, 3)]
    for number, folder in enumerate(folders, 1):
        describe(photos, folder, f"{number}/3")
    return folders


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


def test_every_nth_photo(parts):
    names = [read_manifest(part).names for part in parts]
    assert names[0] == ("photo_0", "photo_3", "photo_6")
    assert names[1] == ("photo_1", "photo_4")
    assert names[2] == ("photo_2", "photo_5")


def test_parts_merged_are_the_whole_byte_for_byte(photos, parts, tmp_path):
    describe(photos, tmp_path / "whole")
    for order, name in ((parts, "a"), (parts[::-1], "b")):
        merge(order, tmp_path / name)
        for file in ("features-000.records", "table.npz", "features.json"):
            expected = (tmp_path / "whole" / file).read_bytes()
            assert (tmp_path / name / file).read_bytes() == expected
    assert describe(photos, tmp_path / "a").extracted == 0


def test_merging_again_changes_nothing(parts, tmp_path):
    merge(parts, tmp_path / "all")
    files = [(path, path.stat().st_mtime_ns) for path in (tmp_path / "all").iterdir()]
    before = contents(tmp_path / "all")
    merge(parts, tmp_path / "all")
    assert contents(tmp_path / "all") == before
    assert all(path.stat().st_mtime_ns == when for path, when in files if path.suffix != ".lock")


def test_a_merge_that_was_ended_goes_on(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("src.common.block_files.BLOCK_BYTES", 1)
    merge(parts, tmp_path / "all")
    before = contents(tmp_path / "all")
    blocks = list(PackedStore(tmp_path / "all").files[0].blocks())
    records = tmp_path / "all" / "features-000.records"
    records.write_bytes(records.read_bytes()[: blocks[3].end - 5])
    for name in ("features.json", "table.npz", "photos.json"):
        (tmp_path / "all" / name).unlink()
    merge(parts, tmp_path / "all")
    assert contents(tmp_path / "all") == before


def test_two_merges_at_once(parts, tmp_path):
    merge(parts, tmp_path / "alone")
    context = multiprocessing.get_context("fork")
    merges = [context.Process(target=merge, args=(parts, tmp_path / "all")) for _ in range(2)]
    for each in merges:
        each.start()
    for each in merges:
        each.join()
        assert each.exitcode == 0
    assert contents(tmp_path / "all") == contents(tmp_path / "alone")


def test_a_missing_part_is_named(parts, tmp_path):
    with pytest.raises(UserError, match=r"^part 2 of 3 is missing among .*--part 2/3"):
        merge([parts[0], parts[2]], tmp_path / "all")
    with pytest.raises(UserError, match=r"^parts 1, 2 of 3 are missing"):
        merge([parts[2]], tmp_path / "all")
    with pytest.raises(UserError, match="there is no part"):
        merge([*parts, tmp_path / "nowhere"], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_part_that_ends_half_way_is_named(parts, tmp_path):
    (parts[1] / "features.json").unlink()
    with pytest.raises(UserError, match=r"part2 \(part 2 of 3\) ends half-way"):
        merge(parts, tmp_path / "all")


def test_other_settings_are_named(photos, parts, tmp_path):
    shutil.rmtree(parts[2])
    describe(photos, parts[2], "3/3", engine=FakeEngine("other"))
    with pytest.raises(UserError, match=r'part3.*checkpoint: "other" there, "fake" wanted'):
        merge(parts, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_parts_of_other_lists_are_refused(photos, parts, tmp_path):
    (photos / "photo_0.png").rename(photos / "photo_9.png")
    describe(photos, tmp_path / "new", "2/3")
    with pytest.raises(UserError, match="another list of photos"):
        merge([parts[0], tmp_path / "new", parts[2]], tmp_path / "all")
    describe(photos, tmp_path / "quarter", "2/4")
    with pytest.raises(UserError, match=r"part 2 of 4 .*one division"):
        merge([parts[0], tmp_path / "quarter", parts[2]], tmp_path / "all")


def test_a_folder_stays_the_part_that_it_is(photos, parts, tmp_path):
    with pytest.raises(UserError, match=r'part: "1/3" there, "2/3" wanted'):
        describe(photos, parts[0], "2/3")
    with pytest.raises(UserError, match=r'part: "1/3" there, "all photos" wanted'):
        describe(photos, parts[0])


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_no_part(text):
    with pytest.raises(UserError, match=r"part is .*give i/N"):
        Part.parse(text)


def test_files_are_packed_and_unpacked(photos, parts, tmp_path):
    shutil.rmtree(parts[1])
    describe(photos, parts[1], "2/3", store="files")
    merge(parts, tmp_path / "all")
    merge([tmp_path / "all"], tmp_path / "files", "files")
    for name in read_manifest(tmp_path / "all").names:
        there, here = (read_features(feature_path(tmp_path / k, name)) for k in ("all", "files"))
        assert (there.descriptors == here.descriptors).all()
        assert (there.locations == here.locations).all()
    assert describe(photos, tmp_path / "files", store="files").extracted == 0
    with pytest.raises(UserError, match="are in files; give another folder"):
        merge(parts, tmp_path / "files")


def test_others_in_the_folder_are_kept_and_told(photos, parts, tmp_path):
    describe(photos, tmp_path / "whole")
    (tmp_path / "few").mkdir()
    shutil.copy(photos / "photo_2.png", tmp_path / "few" / "photo_2.png")
    describe(tmp_path / "few", tmp_path / "part")
    with pytest.raises(UserError, match=r"whole holds 6 photos that are in none .*photo_0"):
        merge([tmp_path / "part"], tmp_path / "whole")


def test_photos_of_archives_are_described_as_those_of_folders(photos, tmp_path):
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "images_000.tar", "w") as tar:
        tar.add(photos, "0")
    describe(photos, tmp_path / "folder")
    describe(tmp_path / "tars", tmp_path / "archive")
    name = "features-000.records"
    assert (tmp_path / "folder" / name).read_bytes() == (tmp_path / "archive" / name).read_bytes()
    assert describe(tmp_path / "tars", tmp_path / "archive").extracted == 0


def test_every_engine_reads_photos_of_archives(photos, tmp_path):
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "images_000.tar", "w") as tar:
        tar.add(photos, "0")
    made = [list(photo_levels(p, list_tasks(p), CONFIG)) for p in (photos, tmp_path / "tars")]
    for one, other in zip(*made):
        assert (one.name, one.size, one.reason) == (other.name, other.size, "")
        assert all((a == b).all() for a, b in zip(one.levels, other.levels))
