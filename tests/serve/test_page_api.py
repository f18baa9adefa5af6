"""What programs are answered: the same as a search from Python finds."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.feature_io import read_features
from src.photo_search.asking import Query
from src.serve.desk import key_of
from src.serve.settings import UploadSettings
from tests.helpers.page_server import PageServer
from tests.helpers.search import photo
from tests.serve.conftest import HTML_NAME


def query_of(photos):
    return (photos.parent / "query.png").read_bytes()


def test_a_photo_that_is_sent_finds_what_a_search_finds(page, photos):
    found = page.json("POST", "/api/search?top=3", query_of(photos))
    asked = page.folder.ask(Query(photos.parent / "query.png"), 3)
    assert [(hit["name"], hit["inliers"], hit["votes"]) for hit in found["hits"]] == [
        (result.name, result.inliers, result.votes) for result in asked.results
    ]
    assert found["hits"][0]["name"] == HTML_NAME
    assert found["size"] == {"width": 224, "height": 160} and found["final"] is True
    # A confidence there is for the weights that ship only.
    assert {(hit["verdict"], hit["confidence"]) for hit in found["hits"]} == {("unknown", None)}


def test_a_hit_says_which_points_match_and_where_it_was_found(page, photos):
    found = page.json("POST", "/api/search", query_of(photos))
    first = found["hits"][0]
    match = page.json("GET", f"/api/searches/{found['search']}/matches/{first['photo']}")
    points = np.array(match["inliers"])
    assert len(points) == first["inliers"] >= 10 and match["matches"] >= len(points)
    assert np.abs(points[:, :2] - points[:, 2:]).max() < 5  # the query is the photo, half darker
    left, top, right, bottom = match["box"]
    np.testing.assert_allclose(
        (left, top, right, bottom), [*points[:, 2:].min(axis=0), *points[:, 2:].max(axis=0)],
        atol=0.1,
    )  # fmt: skip
    assert match["photo_size"] == {"width": 224, "height": 160} == match["query_size"]
    shown = page.call("GET", f"/api/searches/{found['search']}/query")
    assert shown[1]["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(shown[2])).size == (224, 160)
    other = page.json("GET", f"/api/searches/{found['search']}/matches/{key_of('d')}", status=404)
    assert other["error"].startswith("there is no such photo")
    page.json("GET", f"/api/searches/nothing/matches/{first['photo']}", status=404)


def test_a_part_of_the_photo_is_looked_for(page, photos, tmp_path):
    halves = [np.asarray(Image.open(photos / name)) for name in ("c.png", "d.png")]
    Image.fromarray(np.concatenate(halves, axis=1)).save(tmp_path / "both.png")
    both = (tmp_path / "both.png").read_bytes()
    for box, name in (("0,0,224,160", "c"), ("224,0,448,160", "d")):
        found = page.json("POST", f"/api/search?top=1&box={box}", both)
        assert found["hits"][0]["name"].startswith(name)
    for wrong in ("1,2,3", "5,5,1,9", "nan,0,1,1", "0,0,inf,3", "x"):
        told = page.json("POST", f"/api/search?box={wrong}", both, status=422)
        assert told["error"].startswith("the box is none")
    outside = page.json("POST", "/api/search?box=500,0,600,100", both, status=422)
    assert outside["error"] == "the box holds nothing of the photo, which is 448×160 pixels"


def test_hits_come_as_lines_and_a_mistake_is_one_of_them(page, photos):
    _, headers, content = page.call("POST", "/api/search?stream=true", query_of(photos))
    assert headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in content.decode().splitlines()]
    # Nothing here convinces upright (60 inliers), but turns are not asked for: one line.
    assert [line["final"] for line in lines] == [True] and lines[0]["hits"]
    _, _, content = page.call("POST", "/api/search?stream=true", b"no photo")
    (line,) = content.decode().splitlines()
    assert json.loads(line) == {"error": "the photo is not an image of a known format"}


def test_what_is_found_upright_is_said_before_the_query_is_turned(photos, tmp_path):
    lying = tmp_path / "lying.png"
    Image.open(photos / "d.png").rotate(90, expand=True).save(lying)
    with PageServer(photos, rotations="auto") as page:
        _, _, content = page.call("POST", "/api/search?stream=true&top=3", lying.read_bytes())
    first, last = map(json.loads, content.decode().splitlines())
    assert (first["final"], first["search"], len(first["hits"])) == (False, None, 3)
    assert last["final"] and last["hits"][0]["name"] == "d.png"
    assert last["hits"][0]["inliers"] > max(hit["inliers"] for hit in first["hits"])


def test_more_like_a_photo_of_the_folder(page):
    found = page.json("POST", f"/api/photos/{key_of('c.png')}/search?top=2")
    assert found["hits"][0]["name"] == "c again.png"
    assert "c.png" not in [hit["name"] for hit in found["hits"]]
    page.json("POST", "/api/photos/nothing/search", status=404)


def test_features_are_those_of_the_folder(page, photos):
    described = page.json("POST", "/api/describe", (photos / "d.png").read_bytes())
    (folder,) = (photos.parent / "work").glob("*/features-*")
    kept = read_features(folder / "d.png.npz")
    np.testing.assert_allclose(described["descriptors"], kept.descriptors, atol=1e-6)
    np.testing.assert_allclose(described["locations"], kept.locations)
    np.testing.assert_allclose(described["scores"], kept.attention, rtol=1e-6)
    assert described["size"] == {"width": 224, "height": 160}


def test_pictures_are_small_copies_without_what_the_camera_wrote(photos, tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    large = Image.open(photos / "d.png").resize((1000, 700))
    large.save(folder / "large.jpg", exif=exif)
    photo(folder / "other.png", 3)
    with PageServer(folder) as page:
        status, headers, content = page.call(
            "GET", f"/api/photos/{key_of('large.jpg')}/picture?side=200"
        )
        picture = Image.open(io.BytesIO(content))
        assert (status, headers["content-type"], picture.size) == (200, "image/jpeg", (224, 320))
        assert b"a camera" not in content
        _, headers, content = page.call("POST", "/api/preview", (folder / "large.jpg").read_bytes())
        assert headers["x-photo-size"] == "700x1000"
        assert Image.open(io.BytesIO(content)).size == (700, 1000)


def test_the_state_says_what_can_be_searched_and_what_cannot(page):
    state = page.json("GET", "/api/state")
    assert (state["photos"], state["searchable"], state["what"]) == (8, 7, "")
    (failed,) = state["failed"]
    assert failed == {
        "name": "broken.jpg",
        "reason": "image broken.jpg is not an image of a known format",
    }
    listed = page.json("GET", "/api/photos?first=2&count=3")
    assert listed["count"] == 7 and len(listed["photos"]) == 3
    assert [each["photo"] for each in listed["photos"]] == [
        key_of(each["name"]) for each in listed["photos"]
    ]


def test_groups_of_the_same(page):
    assert page.json("GET", "/api/duplicates") == {"ready": False, "groups": []}
    page.json("POST", "/api/duplicates", status=202)
    while page.json("GET", "/api/state")["what"]:
        pass
    found = page.json("GET", "/api/duplicates")
    assert found["ready"]
    (group,) = found["groups"]
    assert {each["name"] for each in group} == {"c.png", "c again.png"}
    assert {each["kind"] for each in group} == {"same file"}


def test_new_photos_are_found_when_it_is_told_to_look(photos, tmp_path):
    folder = tmp_path / "album"
    for seed in (1, 2):
        photo(folder / f"{seed}.png", seed)
    with PageServer(folder) as page:
        photo(folder / "3.png", 3)
        assert page.json("GET", "/api/state")["searchable"] == 2
        page.json("POST", "/api/update", status=202)
        while page.json("GET", "/api/state")["what"]:
            pass
        assert page.json("GET", "/api/state")["searchable"] == 3
        found = page.json("POST", "/api/search?top=1", (folder / "3.png").read_bytes())
        assert found["hits"][0]["name"] == "3.png"


def test_what_is_sent_is_nowhere_kept_unless_asked(page, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    work = photos.parent / "work"
    before = sorted(work.rglob("*"))
    page.json("POST", "/api/search?box=0,0,100,100", query_of(photos))
    page.json("POST", "/api/describe", query_of(photos))
    page.call("POST", "/api/search", b"no photo")
    assert sorted(work.rglob("*")) == before and not os.listdir(tmp_path / "tmp")
    with PageServer(photos, kept=tmp_path / "kept") as keeping:
        for _ in range(2):
            keeping.json("POST", "/api/search", query_of(photos))
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == query_of(photos)


def test_many_at_once_get_what_one_gets(page, photos):
    asked = [
        ("/api/search?top=3", query_of(photos)),
        (f"/api/photos/{key_of('d.png')}/search", None),
    ]
    alone = [page.json("POST", *each)["hits"] for each in asked]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda i: page.json("POST", *asked[i % 2])["hits"], range(32)))
    assert all(hits == alone[i % 2] for i, hits in enumerate(together))


def test_too_many_are_told_to_come_again(page, photos, monkeypatch):
    monkeypatch.setattr("src.serve.app._MOST_WAITING", 0)
    status, headers, _ = page.call("POST", "/api/search", query_of(photos))
    assert status == 503 and headers["retry-after"]


def test_the_api_is_described_offline(page):
    api = page.json("GET", "/api/openapi.json")
    assert {"/api/search", "/api/describe", "/api/duplicates"} <= api["paths"].keys()
    # What changes anything, or costs anything, is no GET, which other sites can bring about.
    assert {path for path, what in api["paths"].items() if "get" in what} == {
        "/api/state", "/api/photos", "/api/duplicates", "/api/photos/{photo}/picture",
        "/api/searches/{search}/query", "/api/searches/{search}/matches/{photo}",
    }  # fmt: skip
    folder = Path(__file__).resolve().parents[2] / "src" / "serve" / "page"
    for file in folder.iterdir():
        elsewhere = re.findall(r"https?://[^\s\"'`]+", file.read_text(encoding="utf-8"))
        assert set(elsewhere) <= {"http://www.w3.org/2000/svg"}, file


@pytest.mark.parametrize("name", ["megabytes", "megapixels", "seconds"])
def test_limits_of_uploads_have_bounds(name):
    from src.common.errors import UserError

    with pytest.raises(UserError, match=f"{name} is 0"):
        UploadSettings(**{name: 0})


def test_the_page_says_the_same_in_both_languages():
    folder = Path(__file__).resolve().parents[2] / "src" / "serve" / "page"
    text = (folder / "words.js").read_text(encoding="utf-8")
    english, chinese = text.split("const WORDS")[1].split("};")[0].split("  zh: {")
    entry = re.compile(r'"?(\w[\w -]*)"?: ("[^"]*")')
    said = [dict(entry.findall(each)) for each in (english, chinese)]
    assert said[0].keys() == said[1].keys() and len(said[0]) > 50
    for name, sentence in said[0].items():
        holes = [sorted(re.findall(r"{(\w+)}", each)) for each in (sentence, said[1][name])]
        assert holes[0] == holes[1], name
    asked = set(re.findall(r'data-(?:word|label)="(\w+)"', (folder / "index.html").read_text()))
    asked |= set(re.findall(r'\bword\("(\w+)"', (folder / "app.js").read_text()))
    assert asked <= said[0].keys()
