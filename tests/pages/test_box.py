"""The page on which a box is drawn, opened in a browser where there is one."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from PIL import Image

from src.pages.box import SHOWN_SIDE, write_box_page
from tests.helpers.browser import CHROMIUM, open_page

COMMAND = ["bash", "run search.sh", "my photos", "a'b<c>.jpg"]

#: A pointer goes down at a quarter of the picture and up at three quarters, right to left.
DRAW = """
const frame = document.querySelector("#photo img").getBoundingClientRect();
const send = (name, across, down) => document.getElementById("photo").dispatchEvent(
  new PointerEvent(name, {pointerId: 1, bubbles: true,
    clientX: frame.left + across * frame.width, clientY: frame.top + down * frame.height}));
send("pointermove", 0.1, 0.1);
const before = document.getElementById("command").textContent;
send("pointerdown", 0.75, 0.25);
send("pointermove", 0.25, 0.75);
send("pointerup", 0.25, 0.75);
send("pointermove", 0.9, 0.9);
return [before, document.getElementById("command").textContent];
"""


@pytest.fixture
def photo(tmp_path):
    """A photo larger than the page shows, which lies on its side by its EXIF."""
    image = Image.fromarray(np.full((1000, 2400, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a'b<c>.jpg"
    image.save(path, exif=exif)
    return path


def test_the_copy_stands_upright_and_fits(photo, tmp_path):
    page = write_box_page(tmp_path / "page", photo, COMMAND)
    shown = Image.open(page.parent / "query.jpg")
    assert shown.size == (round(SHOWN_SIDE / 2.4), SHOWN_SIDE)
    assert "<c>" not in page.read_text(encoding="utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed")
def test_what_is_drawn_becomes_the_box(photo, tmp_path):
    opened = open_page(write_box_page(tmp_path / "page", photo, COMMAND), DRAW)
    assert not opened.troubles
    before, after = opened.checks
    assert shlex.split(before) == COMMAND
    *command, box = shlex.split(after)
    assert command == COMMAND
    numbers = [int(each) for each in box.removeprefix("--box=").split(",")]
    # Of a photo of 1,000 × 2,400 pixels, from a quarter to three quarters each way.
    np.testing.assert_allclose(numbers, [250, 600, 500, 1200], atol=4)
