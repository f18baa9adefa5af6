"""Photos of one thing: the same file, the same picture, the same building."""

from __future__ import annotations

import csv
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.describe.engines import choice
from src.extract_utils_np import unit_length
from src.feature_io import Features
from src.index.folder import load_index
from src.photo_search import links as links_module
from src.photo_search.duplicates import (
    NEAR_DUPLICATE,
    SAME_BUILDING,
    SAME_FILE,
    TABLE_NAME,
    find_groups,
    summary,
    write_report,
)
from src.photo_search.links import LinkFinder, corner_shift, is_near_duplicate
from src.photo_search.opening import open_collection, photos_of
from src.ranking.pair import PairMatch
from tests.helpers.search import CountingEngine, configuration, photo


@pytest.fixture
def album(tmp_path):
    """Two photos of which there are others, and two of which there are none."""
    folder = tmp_path / "album"
    photo(folder / "a.png", 1)
    (folder / "old").mkdir()
    shutil.copy(folder / "a.png", folder / "old" / "=a <b>.png")  # the same file
    Image.open(folder / "a.png").save(folder / "a.bmp")  # the same picture
    photo(folder / "b.png", 2)
    photo(folder / "b_left.png", 2, (150, 160))  # two thirds of it
    for seed in (3, 4):
        photo(folder / f"{seed}.png", seed)
    return folder


def finder(album, monkeypatch):
    monkeypatch.setitem(choice.ENGINES, "mindspore", CountingEngine)
    settings = configuration(album.parent / "work")
    images = photos_of(settings, album)
    collection = open_collection(settings, album)
    collection.update(images)
    return LinkFinder(collection, load_index(collection.index), settings.retrieval)


def test_photos_are_grouped_by_the_thing_and_say_how_they_are_alike(album, monkeypatch):
    groups = find_groups(finder(album, monkeypatch))
    told = [
        (group.number, group.kind, {(each.name, each.kind) for each in group.members})
        for group in groups
    ]
    assert told == [
        (
            1,
            NEAR_DUPLICATE,
            {("a.png", SAME_FILE), ("old/=a <b>.png", SAME_FILE), ("a.bmp", NEAR_DUPLICATE)},
        ),
        (2, SAME_BUILDING, {("b.png", SAME_BUILDING), ("b_left.png", SAME_BUILDING)}),
    ]
    assert {each.like for each in groups[1].members} == {"b.png", "b_left.png"}
    for each in itertools.chain(*(group.members for group in groups)):
        assert each.path == album / each.name
        assert each.inliers >= 25
    assert summary(groups, 7) == (
        "2 groups of 5 photos among 7 (near-duplicate: 1, same building: 1)"
    )


def test_a_second_call_asks_nothing_and_an_interrupted_one_goes_on(album, monkeypatch):
    seeker = finder(album, monkeypatch)
    asked = []
    ask = LinkFinder._ask

    def counted(self, name):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(name)
        return ask(self, name)

    monkeypatch.setattr(LinkFinder, "_ask", counted)
    with pytest.raises(KeyboardInterrupt):
        seeker.links()
    (journal,) = (seeker.collection.folder / "duplicates").glob("asked-*.jsonl")
    with open(journal, "ab") as file:
        file.write(b'["b.png", [["3.png", true, nu')  # and the disk was full
    first, asked[:] = list(asked), []
    monkeypatch.setattr(
        LinkFinder, "_ask", lambda self, name: asked.append(name) or ask(self, name)
    )
    resumed = seeker.links()
    assert not set(asked) & set(first)
    assert len(first) + len(asked) == 6  # files, not photos
    asked.clear()
    assert seeker.links() == resumed and not asked
    journal.unlink()
    assert seeker.links() == resumed and len(asked) == 6


def test_another_state_of_the_folder_is_asked_anew(album, monkeypatch):
    assert len(find_groups(finder(album, monkeypatch))) == 2
    shutil.copy(album / "3.png", album / "5.png")
    (album / "b_left.png").unlink()
    seeker = finder(album, monkeypatch)
    groups = find_groups(seeker)
    assert [group.kind for group in groups] == [NEAR_DUPLICATE, SAME_FILE]
    assert {each.name for each in groups[1].members} == {"3.png", "5.png"}
    assert len(list((seeker.collection.folder / "duplicates").glob("asked-*.jsonl"))) == 1


def test_a_page_and_a_table_show_the_groups(album, monkeypatch, tmp_path):
    groups = find_groups(finder(album, monkeypatch))
    page = write_report(tmp_path / "out", album, 7, groups)
    text = page.read_text(encoding="utf-8")
    assert "<b>" not in text and "=a &lt;b&gt;.png" in text
    assert text.count("<img ") == 5
    for picture in (tmp_path / "out" / "photos").iterdir():
        assert f"photos/{picture.name}" in text
    with open(tmp_path / "out" / TABLE_NAME, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["group", "kind", "name", "confidence", "inliers", "like"]
    assert {row["name"] for row in rows} == {
        each.name for group in groups for each in group.members
    }
    # Again, without one of the photos: its small picture goes, the others are not drawn again.
    times = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "photos").iterdir()}
    (album / "b.png").unlink()
    write_report(tmp_path / "out", album, 6, groups)
    left = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "photos").iterdir()}
    assert len(left) == len(times) - 1 and left.items() <= times.items()
    assert "cannot be read" in page.read_text(encoding="utf-8")


def test_no_groups_are_told_as_none(album, monkeypatch, tmp_path):
    assert summary([], 3) == "0 groups of 0 photos among 3"
    page = write_report(tmp_path / "out", album, 3, [])
    assert "0 groups" in page.read_text(encoding="utf-8")


def test_the_shift_of_corners_is_that_of_the_map():
    def match(affine):
        nothing = np.zeros((0, 2), np.float32)
        return PairMatch(nothing, nothing, np.zeros(0, bool), np.array(affine, dtype=float))

    same = match([[1, 0, 0], [0, 1, 0]])
    assert corner_shift(same, (300, 400), (300, 400)) == 0
    half = match([[0.5, 0, 0], [0, 0.5, 0]])
    assert corner_shift(half, (300, 400), (150, 200)) == pytest.approx(0)
    moved = match([[1, 0, 30], [0, 1, 40]])  # 50 of 500 pixels
    assert corner_shift(moved, (300, 400), (300, 400)) == pytest.approx(0.1)
    upside_down = match([[-1, 0, 400], [0, -1, 300]])
    assert corner_shift(upside_down, (300, 400), (300, 400)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("scale", "kept", "expected"),
    [(1.0, 1.0, True), (0.6, 0.9, True), (2.0, 0.6, True), (1.0, 0.2, False)],
    ids=["equal", "smaller", "larger, some lost", "little in common"],
)
def test_one_picture_at_another_size_is_a_near_duplicate(scale, kept, expected):
    rng = np.random.default_rng(0)
    descriptors = unit_length(rng.normal(size=(100, 8)).astype(np.float32))
    locations = rng.uniform(0, 300, (100, 2))
    others = np.where(
        np.arange(100)[:, None] < 100 * kept, descriptors, unit_length(rng.normal(size=(100, 8)))
    )
    one = Features(locations, np.ones(100), descriptors, np.ones(100), (300, 300))
    size = (int(300 * scale), int(300 * scale))
    other = Features(locations * scale, np.ones(100), others, np.ones(100), size)
    assert is_near_duplicate(one, other) is expected
    assert is_near_duplicate(other, one) is expected
    shifted = Features(locations * scale + 60, np.ones(100), others, np.ones(100), size)
    assert not is_near_duplicate(one, shifted)


def test_a_chain_of_pictures_is_not_one_picture(album, monkeypatch):
    """Only neighbours are alike: a slow pan of the camera."""
    shutil.rmtree(album)
    for seed in range(8):
        photo(album / f"{seed}.png", seed)
    seeker = finder(album, monkeypatch)
    chain = [links_module.Link(f"{n}.png", f"{n + 1}.png", True, None, 40 - n) for n in range(7)]
    monkeypatch.setattr(LinkFinder, "links", lambda self: chain)
    groups = find_groups(seeker)
    pictures = [group for group in groups if group.kind == NEAR_DUPLICATE]
    assert max((len(group.members) for group in pictures), default=0) < 8


def test_photos_that_cannot_be_read_are_equal_to_their_own_file_only(album, monkeypatch):
    for name in ("broken.jpg", "broken again.jpg"):
        (album / name).write_bytes(b"\xff\xd8\xff\xe0nothing")
    (album / "other.jpg").write_bytes(b"\xff\xd8\xff\xe0more of nothing")
    groups = find_groups(finder(album, monkeypatch))
    assert len(groups) == 3
    assert [(each.name, each.kind, each.inliers) for each in groups[1].members] in (
        [("b.png", SAME_BUILDING, 25), ("b_left.png", SAME_BUILDING, 25)],
        [("broken again.jpg", SAME_FILE, 0), ("broken.jpg", SAME_FILE, 0)],
    )
    assert "other.jpg" not in {each.name for group in groups for each in group.members}


def test_photos_without_features_are_only_equal_to_their_own_file(album, monkeypatch):
    plain = Image.new("RGB", (224, 160), (9, 9, 9))
    plain.save(album / "plain.png")
    Image.new("RGB", (224, 160), (99, 99, 99)).save(album / "other.png")
    shutil.copy(album / "plain.png", album / "plain again.png")
    groups = find_groups(finder(album, monkeypatch))
    names = [sorted(each.name for each in group.members) for group in groups]
    assert ["plain again.png", "plain.png"] in names
    assert not any("other.png" in group for group in names)
    assert all(Path(name).name for group in names for name in group)
