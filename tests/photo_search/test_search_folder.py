from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.describe.record import RECORD_NAME
from src.feature_io import read_features, read_manifest
from src.photo_search.__main__ import main, report, search, sort_arguments
from src.photos.finding import list_photos
from tests.helpers.browser import CHROMIUM, open_page
from tests.helpers.search import (
    CountingNetwork,
    configuration,
    features_folder,
    find,
    find_in_a_process,
    interrupt,
    names,
    photo,
    snapshot,
)


def test_the_photo_that_the_query_was_made_from_comes_first(photos):
    before = snapshot(photos)
    found, described, _ = find(photos, photos.parent / "query.png")
    assert described == 7
    assert found[0].photos == 6
    assert sorted(names(found)) == ["a/1.png", "a/2.png", "b/1.png", "c.png", "d.png", "e.png"]
    best = found[0].results[0]
    assert best.name == "b/1.png"
    assert best.votes >= 15
    assert best.inliers >= 15
    assert snapshot(photos) == before
    again, described, opened = find(photos, photos.parent / "query.png")
    assert (described, opened) == (0, 0)
    assert again == found


def test_a_photo_of_the_folder_is_not_its_own_result_and_needs_no_network(photos):
    find(photos)
    found, _, opened = find(photos, photos / "c.png", top=3)
    assert opened == 0
    assert len(names(found)) == 3
    assert "c.png" not in names(found)
    link = photos.parent / "link"
    link.symlink_to(photos)
    found, _, opened = find(photos, link / "c.png")
    assert opened == 0
    assert len(names(found)) == 5


def test_only_new_and_changed_photos_are_described(photos):
    find(photos)
    folder = features_folder(photos)
    pca = (folder.parent / "pca" / "mean.npy").read_bytes()
    before = snapshot(folder)
    photo(photos / "f.png", 6)
    os.utime(photo(photos / "d.png", 7), (9e8, 9e8))  # older than its features, and another one
    (photos / "a" / "2.png").unlink()
    found, described, _ = find(photos, photos / "f.png")
    assert described == 2
    assert sorted(names(found)) == ["a/1.png", "b/1.png", "c.png", "d.png", "e.png"]
    assert features_folder(photos) == folder
    assert (folder.parent / "pca" / "mean.npy").read_bytes() == pca
    after = snapshot(folder)
    # Of the one that is gone, too: it may come back.
    kept = {folder / f"{n}.npz" for n in ("a/1.png", "a/2.png", "b/1.png", "c.png", "e.png")}
    assert kept == {
        path for path in after if path.suffix == ".npz" and before.get(path) == after[path]
    }
    assert "a/2.png" not in read_manifest(folder).names
    assert len(list(folder.parent.glob("index-*"))) == 1
    assert find(photos)[1:] == (0, 0)


def test_a_photo_that_goes_away_is_no_result_any_more(photos):
    find(photos)
    (photos / "e.png").unlink()
    found, described, opened = find(photos, photos / "c.png")
    assert (described, opened) == (0, 0)
    assert sorted(names(found)) == ["a/1.png", "a/2.png", "b/1.png", "d.png"]


def test_the_photos_of_the_pca_are_described_as_all_others(photos):
    find(photos)
    folder = features_folder(photos)
    kept = {path: path.read_bytes() for path in folder.rglob("*.npz")}
    assert len(kept) == 6
    for path in kept:
        path.unlink()
    (folder / RECORD_NAME).unlink()
    assert find(photos)[1] == 6
    assert {path: path.read_bytes() for path in folder.rglob("*.npz")} == kept


def test_photos_that_cannot_be_read_are_passed_over_once(photos, caplog):
    (photos / "broken.jpg").write_bytes(b"no photo")
    found, _, _ = find(photos, photos.parent / "query.png")
    assert "broken.jpg is not an image" in caplog.text
    assert found[0].photos == 6
    assert set(read_manifest(features_folder(photos)).failed) == {"broken.jpg"}
    assert find(photos, photos.parent / "query.png")[1:] == (0, 0)
    photo(photos / "broken.jpg", 8)
    assert find(photos)[1] == 1
    assert not read_manifest(features_folder(photos)).failed


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda photos, query: query.unlink(), "there is no query photo"),
        (lambda photos, query: query.write_bytes(b""), "query.png is empty"),
        (lambda photos, query: query.write_bytes(b"text"), "is not an image"),
        (lambda photos, query: [p.unlink() for p in photos.rglob("*.png")], "no image in"),
        (
            lambda photos, query: [p.write_bytes(b"") for p in photos.rglob("*.png")],
            "none of the 6 photos",
        ),
        (lambda photos, query: photos.rename(photos.with_name("gone")), "does not exist"),
    ],
)
def test_mistakes_are_named(photos, break_it, message):
    query = photos.parent / "query.png"
    break_it(photos, query)
    with pytest.raises(UserError, match=message):
        find(photos, query)


def test_a_query_of_one_colour(photos):
    Image.new("RGB", (100, 80), "blue").save(photos.parent / "blue.png")
    found, _, _ = find(photos, photos.parent / "blue.png", photos / "c.png")
    assert found[0].results == ()
    assert len(found[1].results) == 5
    assert "nothing" in report(found, 1.0)
    assert found[0].page == found[1].page


def test_photos_of_one_colour_only(photos):
    for path in photos.rglob("*.png"):
        Image.new("RGB", (100, 80), "blue").save(path)
    with pytest.raises(UserError, match=r"no image .* has any features"):
        find(photos, photos.parent / "query.png")


def test_a_collection_that_starts_with_one_small_photo(tmp_path):
    photos = tmp_path / "photos"
    photo(photos / "tiny.png", 0, (40, 30))  # four features: too few for a PCA of four dimensions
    found, _, _ = find(photos, photos / "tiny.png")
    assert names(found) == []
    assert features_folder(photos).name == "features-plain"
    assert find(photos)[1:] == (0, 0)
    photo(photos / "large.png", 1)
    find(photos)
    assert features_folder(photos).name != "features-plain"
    assert read_features(features_folder(photos) / "tiny.png.npz").dimension == 4


def test_an_interrupted_description_goes_on(photos):
    CountingNetwork.stop_at, CountingNetwork.stop_by = 5, interrupt
    with pytest.raises(KeyboardInterrupt):
        find(photos)
    CountingNetwork.stop_at = None
    assert find(photos)[1] == 1  # four for the PCA, one more, and this one
    assert find(photos)[1:] == (0, 0)


def test_a_killed_search_goes_on_and_two_at_once_agree(photos):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()

    def start(stop_at):
        arguments = (photos, photos.parent / "query.png", stop_at, results)
        process = context.Process(target=find_in_a_process, args=arguments)
        process.start()
        return process

    killed = start(5)
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    both = [start(None), start(None)]
    answers = [results.get(timeout=60) for _ in both]
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert answers[0][0] == answers[1][0]
    assert sorted(count for _, count in answers) == [0, 2]  # one more photo and the query


def test_several_queries_share_a_page(photos):
    other = photo(photos.parent / "other" / "query.png", 4)
    found, _, _ = find(photos, photos.parent / "query.png", other, photos / "c.png")
    assert [each.results[0].name for each in found[:2]] == ["b/1.png", "d.png"]
    page = found[0].page
    text = page.read_text(encoding="utf-8")
    assert text.count("<article") == 3
    assert len(list((page.parent / "sheets").iterdir())) == 3
    if CHROMIUM is not None:
        opened = open_page(page)
        assert opened.troubles == opened.console == []
        assert len(opened.images) == 3
        assert all(width == 1600 for _, width in opened.images)


def test_names_that_no_list_can_hold_and_links_in_a_circle(tmp_path, caplog):
    photo(tmp_path / "good.png", 0)
    photo(tmp_path / "sub" / "good.png", 1)
    long = f"{'x' * 251}.png"
    photo(tmp_path / long, 2)
    photo(tmp_path / "two\nlines.png", 3)
    photo(Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin-\xe9.png")), 3)
    (tmp_path / "sub" / "circle").symlink_to(tmp_path)
    assert [name for name, _ in list_photos(tmp_path)] == ["good.png", "sub/good.png", long]
    assert caplog.text.count("skipped") == 2


def test_results_that_lie_among_the_photos_are_not_searched(photos):
    find(photos, photos.parent / "query.png")
    parent = photos.parent
    found = search(configuration(parent / "work"), parent, [photos / "c.png"], 10)
    assert found[0].photos == 7  # six, and the query beside them
    for path in parent.rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match="no image in"):
        find(parent / "my photos é")
    with pytest.raises(UserError, match="but those of"):
        search(configuration(parent / "work"), parent, [], 10)


def test_top_must_be_a_number_above_0(photos):
    with pytest.raises(SystemExit):
        main([str(photos), "--top=0"])


@pytest.mark.slow
def test_the_script_with_the_real_network(tmp_path, attention_checkpoint):
    photos = tmp_path / "my photos"
    for number in range(3):
        photo(photos / f"{number}.jpg", number)
    arguments = (
        *(f"--checkpoint_path={attention_checkpoint}", f"--work_path={tmp_path / 'work'}"),
        *("--device_target=CPU", "--max_feature_num=60", "--top=2"),
    )

    def run(*queries):
        return subprocess.run(
            ["bash", str(PROJECT_ROOT / "scripts" / "run_search.sh"), *queries, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=300,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )

    first = run("my photos")
    assert first.returncode == 0, first.stderr
    assert "ready" in first.stdout
    second = run("my photos", "my photos/1.jpg")
    assert second.returncode == 0, second.stderr
    assert "are described" in second.stderr
    page = Path(second.stdout.split("Why they match: ")[1].rsplit("  (", 1)[0])
    assert page.is_file()
    assert "1.jpg" not in [line.split()[1] for line in second.stdout.splitlines()[1:3]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my photos", "work"]
    mistake = run("my photos", "my photos/9.jpg")
    assert mistake.returncode == 2
    assert mistake.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("typed", "own", "settings"),
    [
        (["p", "--work_path=../my work/w", "q 1.jpg"], ["--", "p", "q 1.jpg"], [1]),
        (["--top", "3", "p", "--seed=1", "q"], ["--top", "3", "--", "p", "q"], [3]),
        (
            ["--top=3", "--a=-b c", "--", "-p", "--q=1.jpg"],
            ["--top=3", "--", "-p", "--q=1.jpg"],
            [1],
        ),
        (["p", "-q.jpg", "--help"], ["-q.jpg", "--help", "--", "p"], []),
    ],
)
def test_settings_and_photos_stand_in_any_order(typed, own, settings):
    assert sort_arguments(typed) == (own, [typed[place] for place in settings])
