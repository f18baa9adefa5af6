"""The page in a real browser: what a person does with it, by mouse, by keyboard, on a phone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.helpers.browser import CHROMIUM
from tests.helpers.driven_browser import DrivenBrowser
from tests.serve.conftest import HTML_NAME

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

FOUND = "document.querySelectorAll('.hit').length && !document.querySelector('#hits.working')"
AREA = """(() => {
    const area = document.getElementById("stage").getBoundingClientRect();
    return [area.x, area.y, area.width, area.height];
})()"""


def names(browser):
    return browser.run(
        "[...document.querySelectorAll('.hit small:last-child')].map(s => s.textContent)"
    )


def open_page(browser, page):
    browser.open(page.address)
    browser.until("document.getElementById('state').textContent.includes('7')")


@pytest.fixture(scope="module")
def both(photos):
    """A query whose left half is of one photo and whose right half of another."""
    path = photos.parent / "both.png"
    halves = [np.asarray(Image.open(photos / name)) for name in ("a/1.png", "d.png")]
    Image.fromarray(np.concatenate(halves, axis=1)).save(path)
    return path


def test_drop_box_result_and_why_it_matches(page, photos, both):
    with DrivenBrowser() as browser:
        open_page(browser, page)
        assert browser.run("document.getElementById('folder').textContent") == "my photos"
        browser.drop(photos.parent / "query.png")
        browser.until(FOUND)
        assert names(browser)[0] == HTML_NAME  # as text, and nothing of it was run
        assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
        # Why: both photos side by side, a line for each point, and the box of where it was found.
        browser.run("document.querySelector('.hit').click()")
        browser.until("document.querySelectorAll('#lines line').length >= 10")
        where = browser.run("""(() => {
            const area = id => document.getElementById(id).getBoundingClientRect();
            const box = document.querySelector("#lines rect").getBoundingClientRect();
            const [query, photo] = [area("match-query"), area("match-photo")];
            return {side: photo.left >= query.right, inside: box.left >= photo.left - 2
                && box.right <= photo.right + 2 && box.top >= photo.top - 2
                && box.bottom <= photo.bottom + 2, large: box.width > photo.width / 4,
                lines: document.querySelectorAll("#lines line").length};
        })()""")
        assert where == {"side": True, "inside": True, "large": True, "lines": where["lines"]}
        told = browser.run("document.getElementById('match-told').textContent")
        assert told.startswith(f"{where['lines']} of ") and "agree" in told
        browser.press("Escape")
        browser.until("!document.getElementById('match').open")
        # A box over the right half of another photo.
        browser.drop(both)
        browser.until(f"{FOUND} && document.getElementById('photo').naturalWidth === 448")
        x, y, width, height = browser.run(AREA)
        browser.drag((x + width * 0.51, y + height * 0.02), (x + width * 0.99, y + height * 0.98))
        browser.until(
            f"{FOUND} && document.querySelector('.hit small:last-child').textContent === 'd.png'"
        )
        assert browser.run("document.getElementById('box').hidden") is False
        assert any("box=2" in address for address in browser.requests)
        # More like this: from the hit.
        browser.run("document.querySelector('.like').click()")
        browser.until(f"{FOUND} && document.getElementById('photo').src.includes('/api/photos/')")
        assert "d.png" not in names(browser)
        assert browser.troubles == []
        elsewhere = {a for a in browser.requests if not a.startswith((page.address, "blob:"))}
        assert elsewhere <= {"about:blank"}


def test_by_keyboard_alone(page, both):
    with DrivenBrowser() as browser:
        open_page(browser, page)
        browser.drop(both)
        browser.until(FOUND)
        browser.run("document.getElementById('stage').focus()")
        browser.press("Enter")  # a box in the middle, moved into the corner, and made higher
        browser.press("ArrowRight", 13)
        browser.press("ArrowUp", 13)
        browser.press("ArrowDown", 25, shift=True)
        browser.press("Enter")
        browser.until(
            f"{FOUND} && document.querySelector('.hit small:last-child').textContent === 'd.png'"
        )
        browser.run("document.querySelector('.hit').focus()")
        browser.press("ArrowRight")
        at = "[...document.querySelectorAll('.hit')].indexOf(document.activeElement)"
        assert browser.run(at) == 1
        browser.press("Enter")
        browser.until("document.getElementById('match').open")
        title = "document.getElementById('match-title').textContent"
        assert browser.run(title).startswith("2.")
        browser.press("ArrowLeft")
        browser.until(f"{title}.startsWith('1.')")
        browser.press("Escape")
        browser.until("!document.getElementById('match').open")
        browser.until(f"{at} === 0")  # back at the hit
        assert browser.troubles == []


def test_on_a_dark_phone_in_chinese(page, photos):
    dark = {"prefers-color-scheme": "dark"}
    with DrivenBrowser((360, 740), dark, "zh-CN") as browser:
        open_page(browser, page)
        assert browser.run("document.documentElement.lang") == "zh-CN"
        assert "照片" in browser.run("document.body.innerText")
        browser.drop(photos.parent / "query.png")
        browser.until(FOUND)
        fits = "document.documentElement.scrollWidth <= innerWidth"
        assert browser.run(fits)
        browser.run("document.querySelector('.hit').click()")
        browser.until("document.querySelectorAll('#lines line').length")
        assert browser.run("""document.getElementById("match-photo").getBoundingClientRect().top
            >= document.getElementById("match-query").getBoundingClientRect().bottom""")
        assert browser.run(fits)
        colours = browser.run("""[document.body, document.querySelector(".card")].map(
            e => getComputedStyle(e).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number))""")
        assert max(map(max, colours)) < 80
        browser.press("Escape")
        browser.run("document.getElementById('language').click()")
        assert browser.run("document.title") == "Photo search"
        browser.open(f"{page.address}/api/docs")
        browser.until("document.querySelectorAll('h2').length > 5")
        assert "POST /api/search" in browser.run("document.body.innerText")
        assert browser.run(fits)
        assert browser.troubles == []


def test_what_the_browser_cannot_show_and_what_is_no_photo(page, photos, tmp_path):
    Image.open(photos / "d.png").save(tmp_path / "d.tif")
    (tmp_path / "none.png").write_bytes(b"no photo")
    with DrivenBrowser() as browser:
        open_page(browser, page)
        browser.drop(tmp_path / "d.tif", "image/tiff")
        browser.until(f"{FOUND} && document.getElementById('photo').naturalWidth === 224")
        assert names(browser)[0] == "d.png"
        assert browser.troubles == []
        browser.drop(tmp_path / "none.png")
        message = "document.getElementById('message').textContent"
        browser.until(message)
        assert browser.run(message) == "the photo is not an image of a known format"
        assert browser.run("document.getElementById('found').hidden") is True


def test_groups_and_the_photos_of_the_folder(page):
    with DrivenBrowser() as browser:
        open_page(browser, page)
        browser.run("document.getElementById('browse').open = true")
        browser.until("document.querySelectorAll('#photos .card').length === 7")
        browser.run("document.getElementById('groups').open = true")
        browser.until("document.getElementById('groups-told').textContent")
        if not browser.run("document.getElementById('compare').hidden"):
            browser.run("document.getElementById('compare').click()")
        browser.until("document.querySelectorAll('.group').length === 1")
        told = browser.run("document.querySelector('.group').innerText")
        assert "c.png" in told and "c again.png" in told and "the same file" in told
        failed = browser.run("document.getElementById('failed').textContent")
        assert "broken.jpg" in failed and "not an image" in failed
        assert browser.troubles == []
