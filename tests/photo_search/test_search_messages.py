"""What a search says: each photo that was left out with its reason, and counts that add up."""

from __future__ import annotations

import logging
import re

import pytest
from PIL import Image

from src.describe.folder import ExtractionSummary
from src.photos.reading import reason
from tests.helpers.search import find, names, photo


@pytest.fixture
def mixed(tmp_path):
    """Five photos, a file that is none, and two that cannot be read."""
    folder = tmp_path / "mixed"
    for seed in range(5):
        photo(folder / f"{seed}.png", seed)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0nothing")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("x")
    return folder


def test_every_photo_is_searched_or_named_with_its_reason(mixed, caplog):
    caplog.set_level(logging.INFO)
    found, _, _ = find(mixed, mixed / "1.png")
    skipped = [line for line in caplog.messages if line.startswith("skipped: ")]
    assert len(skipped) == 2
    assert any("broken.jpg" in line and "cannot be read" in line for line in skipped)
    assert any("empty.png is empty" in line for line in skipped)
    assert any("5 of 7 photos" in line and "can be searched" in line for line in caplog.messages)
    (summary,) = [line for line in caplog.messages if "photos described (" in line]
    described, there, failed = (
        int(count)
        for count in re.findall(r"(\d+) (?:photos described|were there|could not)", summary)
    )
    assert described + there + failed == 7 and failed == 2
    # They are no results, and do not count among those that were searched.
    assert sorted(names(found)) == ["0.png", "2.png", "3.png", "4.png"]
    assert found[0].photos == 5
    page = found[0].page.read_text(encoding="utf-8")
    assert "5 photos of" in page and "broken.jpg" not in page


def test_a_second_search_tells_of_them_once_more_and_describes_nothing(mixed, caplog):
    find(mixed)
    caplog.clear()
    caplog.set_level(logging.INFO)
    _, described, _ = find(mixed)
    assert not described
    assert any(line.startswith("5 of 7 photos of") for line in caplog.messages)
    assert any(
        line.startswith("2 photos of") and "(the first: " in line for line in caplog.messages
    )
    assert not [line for line in caplog.messages if re.search(r"\b0 of \d|of 0 photos", line)]


def test_a_first_search_says_nothing_that_is_not_so(tmp_path, caplog):
    """The PCA is fitted to all of the photos: they are described when it is there."""
    folder = tmp_path / "few"
    for seed in range(4):
        photo(folder / f"{seed}.png", seed)
    caplog.set_level(logging.INFO)
    find(folder)
    told = "\n".join(caplog.messages)
    assert "fitting a PCA for these photos on 4 of them" in told
    assert f"all 4 photos of {folder} are described" in told
    assert not re.search(r"\b0 of|of 0\b|before|\b0 photos", told)


def test_the_summary_tells_of_time_only_where_some_was_spent():
    nothing = ExtractionSummary(0, 3, {"a": "is empty"}, 0, 0, 0.01, {"network": 0.0}, 1500.0, [])
    assert nothing.text() == (
        "0 photos described (0 features), 3 were there, 1 could not be described"
    )
    some = ExtractionSummary(2, 0, {}, 0, 80, 4.0, {"network": 3.0}, 0.0, [])
    assert some.text() == (
        "2 photos described (80 features), 0 were there, 0 could not be described; 4.0 s, "
        "0.500 photos/s (network 3.0 s)"
    )


def test_a_photo_that_is_too_large_is_told_of_in_our_words(tmp_path, caplog):
    folder = tmp_path / "large"
    for seed in range(5):
        photo(folder / f"{seed}.png", seed)
    Image.new("1", (20000, 10000)).save(folder / "bomb.png")
    find(folder)
    (skipped,) = [line for line in caplog.messages if line.startswith("skipped: ")]
    assert skipped.endswith(
        "bomb.png is larger than 179 megapixels (20000×10000 pixels); scale it down"
    )
    attack = Image.DecompressionBombError(
        "Image size (999000000 pixels) exceeds a limit, an attack"
    )
    assert reason(attack) == "is larger than 179 megapixels (999000000 pixels); scale it down"
