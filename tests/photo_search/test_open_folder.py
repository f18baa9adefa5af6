"""A folder that stays open: searched while it is described, and told how far that is."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from src.common.errors import UserError
from src.common.progress import part_of, progress, told_to
from src.describe.engines import choice
from src.photo_search import collection as collection_module
from src.photo_search import open_folder as open_folder_module
from src.photo_search.asking import Query
from src.photo_search.open_folder import OpenFolder
from tests.helpers.search import CountingEngine, CountingNetwork, configuration, find, names, photo


@pytest.fixture
def many(tmp_path, monkeypatch):
    """Twelve photos, described four at a time."""
    choice.ENGINES["mindspore"] = CountingEngine
    monkeypatch.setattr(collection_module, "PART_SECONDS", 0.0)
    monkeypatch.setattr(collection_module, "_SMALLEST_PART", 4)
    folder = tmp_path / "many"
    for seed in range(12):
        photo(folder / f"{seed:02}.png", seed)
    (folder / "00 broken.jpg").write_bytes(b"none")
    return folder


def test_what_is_described_can_be_searched_while_the_rest_is(many, monkeypatch):
    """After each part there is a larger index; at the end it is that of describing all at once."""
    folder = OpenFolder(configuration(many.parent / "work"), many)
    query = photo(many.parent / "query.png", 1)
    seen, heard = [], []
    listen = folder._listen

    def loaded():
        found = folder.ask(Query(query), 20).results
        seen.append((folder.standing().searchable, len(found), found[0].name))

    def heard_of(*told):
        listen(*told)
        heard.append(folder.standing())

    monkeypatch.setattr(folder, "_listen", heard_of)
    # Photos and queries are described by one network here: in between it is let go.
    let_through = folder._let_through

    def between():
        let_through()
        folder._network.release()
        loaded()
        folder._network.acquire()

    monkeypatch.setattr(folder, "_let_through", between)
    assert folder.update(in_parts=True) == 12
    loaded()
    counts = [count for count, _, _ in seen]
    assert counts[-1] == 12 and counts == sorted(counts) and len(set(counts)) >= 3
    assert seen[-1] == (12, 12, "01.png") and all(found <= count + 1 for count, found, _ in seen)
    told = [(now.done, now.total) for now in heard if now.what == "describing"]
    # All but those that the PCA was fitted to; the broken one is tried twice.
    assert told[0][0] == 0 and told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {total for _, total in told} == {told[0][1]}
    assert folder.failed.keys() == {"00 broken.jpg"}
    assert folder.standing() == open_folder_module.Standing(photos=13, searchable=12)

    at_once = OpenFolder(configuration(many.parent / "another work"), many)
    at_once.update()
    assert folder.index.names == at_once.index.names
    np.testing.assert_array_equal(folder.index.offsets, at_once.index.offsets)
    found = [
        [
            (each.name, each.inliers, each.votes)
            for each in one.ask(Query(many / "07.png"), 5).results
        ]
        for one in (folder, at_once)
    ]
    assert found[0] == found[1] and len(found[0]) == 5


def test_it_is_described_once_however_many_ask(many):
    folder = OpenFolder(configuration(many.parent / "work"), many)
    CountingNetwork.photos = 0
    answers = {}

    def ask(number):
        answers[number] = folder.ask(Query(many / "03.png"), 2).results[0].name

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6 and len(set(answers.values())) == 1
    assert CountingNetwork.photos == 12


def test_photos_that_could_not_be_described_are_no_results(many):
    found, _, _ = find(many, many / "05.png", top=50)
    assert "00 broken.jpg" not in names(found) and len(names(found)) == 11


def test_nothing_to_describe_is_said_to_whoever_asks(tmp_path):
    choice.ENGINES["mindspore"] = CountingEngine
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.png").write_bytes(b"none")
    folder = OpenFolder(configuration(tmp_path / "work"), tmp_path / "none")
    for _ in range(2):
        with pytest.raises(UserError, match="none of the 1 photos"):
            folder.ask(Query(tmp_path / "none" / "a.png"), 1)
    assert folder.standing().what == ""


def test_works_of_a_block_are_told_as_parts_of_one():
    heard = []
    with told_to(lambda *told: heard.append(told)):
        for before in (0, 2):
            with part_of(before, 4):
                list(progress(range(2), "counting", "number"))
    assert heard == [("counting", done, 4) for done in (0, 1, 2, 2, 3, 4)]
    list(progress(range(2), "counting", "number"))
    assert len(heard) == 6
