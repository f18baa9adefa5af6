"""What the tests of the page share: a few photos, and a server over them."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from src.describe.engines import choice
from tests.helpers.page_server import PageServer
from tests.helpers.search import photo

HTML_NAME = "<img src=x onerror=alert(1)>&amp;'\".png"


@pytest.fixture(scope="module", autouse=True)
def restored():
    before = dict(choice.ENGINES)
    yield
    choice.ENGINES.update(before)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six photos, one with HTML in its name, and two that are none; a query beside the folder."""
    folder = tmp_path_factory.mktemp("page") / "my photos"
    for number, name in enumerate(("a/1.png", "a/2.png", "b/1.png", "c.png", "d.png", HTML_NAME)):
        os.utime(photo(folder / name, number), (1e9, 1e9))
    shutil.copy(folder / "c.png", folder / "c again.png")
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder / "secret.txt").write_text("secret")
    (folder.parent / "secret.png.txt").write_text("secret")
    pixels = np.asarray(Image.open(folder / HTML_NAME)).copy()
    pixels[:, 150:] //= 2
    Image.fromarray(pixels).save(folder.parent / "query.png")
    return folder


@pytest.fixture(scope="module")
def page(photos):
    """The page's server over these photos."""
    with PageServer(photos) as running:
        yield running
