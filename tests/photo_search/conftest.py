"""What the tests of the search share."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from src.describe.engines import choice
from tests.helpers.search import CountingNetwork, photo


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    before = dict(choice.ENGINES)
    choice.ENGINES["mindspore"] = None  # until a test searches with its small network
    monkeypatch.setattr(CountingNetwork, "stop_at", None)
    yield
    choice.ENGINES.update(before)


@pytest.fixture
def photos(tmp_path):
    """Six photos, two of them of one name; outside, a copy of one with some other pixels."""
    folder = tmp_path / "my photos é"
    for number, name in enumerate(("a/1.png", "a/2.png", "b/1.png", "c.png", "d.png", "e.png")):
        os.utime(photo(folder / name, number), (1e9, 1e9))
    pixels = np.asarray(Image.open(folder / "b" / "1.png")).copy()
    pixels[:, 150:] //= 2
    Image.fromarray(pixels).save(tmp_path / "query.png")
    return folder
