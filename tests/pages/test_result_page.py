from __future__ import annotations

import os
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from src.dataset import EASY_MEDIUM_HARD, GroundTruth, Query
from src.evaluation.metrics import evaluate
from src.evaluation.page import JudgedQuery, write_evaluation_page
from src.pages.document import Entry, Page, write_page
from src.ranking.pair import PairMatch
from tests.helpers.browser import CHROMIUM, open_page

NASTY = ("<script>alert(1)<script>", "\"quoted\" & 'single'", "Zürich 東京", "a/../b%20c", "plain")
VOID = ("meta", "link", "img", "br", "input")


class Structure(HTMLParser):
    """Tags that are closed in order, and what a page refers to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.images, self.scripts = [], [], [], [], 0
        self.data = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert len(given) == len(attributes)
        assert not any(name.startswith("on") for name in given)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        if tag == "img":
            self.images.append(given["src"])
            assert given["alt"]
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append(data)


def matched(_):
    points = np.array([[20, 30], [60, 90], [100, 40]], np.float32)
    return PairMatch(points, points, np.ones(3, bool), np.eye(2, 3))


def evaluation(folder, labels=NASTY):
    """Write the page of some queries among twelve photos; return it and the metrics."""
    photos = []
    rng = np.random.default_rng(1)
    (folder / "photos").mkdir(exist_ok=True)
    for number in range(12):
        path = folder / "photos" / f"{number} <b> ü&.png"
        if not path.exists():
            Image.fromarray(rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)).save(path)
        photos.append((f"{number}<b onload=alert(1)>", path))
    lists = [([1, 2], [3], [4]), ([5], [6, 7], []), ([8, 9], [], []), ([], [], [2]), ([3], [4], [])]
    rng = np.random.default_rng(2)
    rows = [np.r_[rng.permutation(12)] for _ in lists]
    queries = [
        Query(label, photos[row][0], row, (10.0, 10.0, 50.0, 40.0), *map(np.array, kinds))
        for row, (label, kinds) in enumerate(
            zip(labels, ([np.array(k, dtype=np.int64) for k in kinds] for kinds in lists))
        )
    ]
    truth = GroundTruth(tuple(queries), 12, ())
    metrics = evaluate(np.array(rows), truth)
    judged = [
        JudgedQuery(
            query.label,
            photos[query.image][1],
            query.box,
            rows[number],
            np.arange(12, dtype=np.int32),
            np.arange(12, dtype=np.float64) / 3,
            {name: judge(query) for name, judge in EASY_MEDIUM_HARD.items()},
            "features",
            lambda: matched,
        )
        for number, query in enumerate(queries)
    ]
    page = write_evaluation_page(
        folder / "page",
        judged,
        photos,
        metrics,
        "<Retrieval> & more",
        ["Not cropped."],
        {"a<b": "\"'"},
    )
    return page, metrics


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return evaluation(tmp_path_factory.mktemp("evaluation"))


def test_the_page_is_whole_and_needs_nothing_else(made):
    page, _ = made
    text = page.read_text(encoding="utf-8")
    structure = Structure(text)
    assert len(set(structure.ids)) == len(structure.ids)
    assert structure.scripts == 1
    assert structure.images
    for address in (*structure.links, *structure.images):
        if address.startswith("#"):
            assert address[1:] in structure.ids
        else:
            assert (page.parent / unquote(address)).is_file(), address
            assert not address.startswith(("/", "http", "file"))
    assert "://" not in text
    assert len(structure.images) == 3 + 2 * len(NASTY)
    shown = "".join(structure.data)
    for name in (*NASTY, "<Retrieval> & more", "3<b onload=alert(1)>", "a<b"):
        assert name in shown


def test_the_numbers_are_those_of_the_metrics_and_the_worst_comes_first(made):
    page, metrics = made
    words = " ".join(Structure(page.read_text(encoding="utf-8")).data)
    for found in metrics.values():
        assert f"{found.mean_average_precision * 100:.2f}" in words
        for value in found.average_precisions[~np.isnan(found.average_precisions)]:
            assert f"{value:.2%}" in words
    easy = metrics["easy"].average_precisions
    assert np.isnan(metrics["hard"].average_precisions).any()
    text = page.read_text(encoding="utf-8")
    order = sorted(range(len(NASTY)), key=lambda row: (np.isnan(easy[row]), easy[row]))
    headings = [text.index(f'id="query-{number}"') for number in range(1, len(NASTY) + 1)]
    assert headings == sorted(headings)
    structure = Structure(text)
    labels = [data for data in structure.data if data in NASTY]
    assert labels[: len(NASTY)] == [NASTY[row] for row in order]


def test_a_second_run_changes_nothing_and_draws_nothing(made):
    page, _ = made
    files = [path for path in page.parent.rglob("*") if path.is_file() and path != page]
    before = {path: path.stat().st_mtime_ns for path in files}
    text = page.read_bytes()
    assert evaluation(page.parent.parent)[0].read_bytes() == text
    assert {path: path.stat().st_mtime_ns for path in files} == before
    files[0].unlink()
    evaluation(page.parent.parent)
    assert files[0].is_file()


def test_a_page_without_ground_truth_has_no_tables_of_it(tmp_path, made):
    from src.pages.query_sheet import Result, Sheet

    shutil.copytree(made[0].parent / "sheets", tmp_path / "sheets")
    picture = f"sheets/{os.listdir(tmp_path / 'sheets')[0]}"
    photo = tmp_path / picture
    result = Result(0, 1, "found", photo, "unknown", 12, 30.5)
    sheet = Sheet("asked", photo, None, "", (result,), "")
    page = write_page(tmp_path, Page("Photos like it", [], [Entry(sheet, picture)]))
    structure = Structure(page.read_text(encoding="utf-8"))
    assert structure.scripts == 0
    assert {"asked", "found", "30.5"} <= set(structure.data)


SORT = """
const table = document.querySelector("table.sortable");
const column = index => [...table.tBodies[0].rows].map(row => row.cells[index].dataset.value);
const click = index => table.tHead.rows[0].cells[index].querySelector("button").click();
const seen = {first: column(1)};
click(1); seen.falling = column(1);
click(1); seen.rising = column(1);
click(0); seen.names = column(0);
click(3); seen.hard = column(3);
seen.sorted = [...table.tHead.rows[0].cells].map(cell => cell.getAttribute("aria-sort"));
document.body.style.width = "340px";  // as on a phone
seen.phone = document.body.scrollWidth;
return seen;
"""


def rising(precisions):
    """The precisions as the page keeps them; queries without one come last."""
    values = sorted(precisions[~np.isnan(precisions)])
    return [*(f"{value:.6f}" for value in values), *[""] * int(np.isnan(precisions).sum())]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the page in")
def test_the_page_in_a_real_browser(made, tmp_path):
    moved = tmp_path / "moved # & été"
    shutil.copytree(made[0].parent, moved)
    opened = open_page(moved / "index.html", SORT)
    assert opened.troubles == []
    assert opened.console == []
    assert len(opened.images) == 3 + 2 * len(NASTY)
    assert all(width > 100 for _, width in opened.images), opened.images
    assert all(address.startswith("file:") for address in opened.resources)
    assert opened.width[0] <= opened.width[1]
    for name in NASTY:
        assert name in opened.text
    seen = opened.checks
    metrics = made[1]
    easy, hard = (rising(metrics[name].average_precisions) for name in ("easy", "hard"))
    assert seen["first"] == seen["rising"] == easy
    assert seen["falling"] == [*easy[-2::-1], ""]
    assert sorted(seen["names"]) == sorted(NASTY)
    assert seen["hard"] == hard
    assert seen["sorted"] == [None, None, None, "ascending"]
    assert seen["phone"] <= 340


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the page in")
def test_the_browser_test_sees_what_is_broken(tmp_path):
    (tmp_path / "page.html").write_text(
        '<!DOCTYPE html><html><head></head><body><img src="no.jpg" alt="">'
        "<script>nothing.here()</script></body></html>"
    )
    opened = open_page(tmp_path / "page.html")
    assert opened.images == [["no.jpg", 0]]
    assert len(opened.troubles) == 2
    assert opened.console
