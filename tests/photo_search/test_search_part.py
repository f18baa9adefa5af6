"""Searching for a part of a query photo, and for one that lies on its side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.photo_search.__main__ import main, parse_box, report
from src.ranking.verdict import Calibration
from tests.helpers.search import find, names


def test_a_query_on_its_side_is_found_when_it_may_be_turned(photos):
    lying = photos.parent / "lying.png"
    Image.open(photos / "c.png").rotate(90, expand=True).save(lying)
    found, described, _ = find(photos, lying, rotations="0,90,180,270")
    assert names(found)[0] == "c.png" and described == 6 + 4
    assert found[0].results[0].inliers >= 10
    # The same again needs nothing, and by itself it is asked for upright only.
    assert find(photos, lying, rotations="0,90,180,270")[1] == 0
    upright, _, _ = find(photos, lying)
    assert max(result.inliers for result in upright[0].results) < found[0].results[0].inliers


def test_turns_are_described_only_where_nothing_convinces(photos, monkeypatch):
    monkeypatch.setattr("src.ranking.turning.CONVINCING_INLIERS", 10)
    assert find(photos, photos.parent / "query.png", rotations="auto")[1] == 6 + 1
    stranger = photos.parent / "stranger.png"
    Image.fromarray(np.random.default_rng(9).integers(0, 256, (160, 224, 3)).astype(np.uint8)).save(
        stranger
    )
    assert find(photos, stranger, rotations="auto")[1] == 1 + 3


def test_a_part_of_the_query_is_looked_for(photos):
    """The left half is of one photo, the right half of another."""
    both = photos.parent / "both.png"
    halves = [np.asarray(Image.open(photos / name)) for name in ("c.png", "d.png")]
    Image.fromarray(np.concatenate(halves, axis=1)).save(both)
    height, width = halves[0].shape[:2]
    left, _, _ = find(photos, both, box=(0.0, 0.0, float(width), float(height)))
    right, _, _ = find(photos, both, box=(float(width), 0.0, 2.0 * width, float(height)))
    assert (names(left)[0], names(right)[0]) == ("c.png", "d.png")
    assert left[0].page != right[0].page
    assert left[0].results[0].inliers > 2 * left[0].results[1].inliers


def test_a_part_of_a_photo_of_the_folder_does_not_find_itself(photos):
    found, described, _ = find(photos, photos / "c.png", box=(0.0, 0.0, 100.0, 100.0))
    assert "c.png" not in names(found) and described == 6 + 1


def test_a_box_outside_of_the_photo_is_refused_in_a_line(photos):
    with pytest.raises(UserError, match=r"box \(900.* holds nothing of .*query.png \(224×160\)"):
        find(photos, photos.parent / "query.png", box=(900.0, 0.0, 950.0, 50.0))


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "0,0,0,10", "0,0,10,-1", "0,0,nan,5", ",,,"])
def test_what_is_no_box_is_refused(text):
    with pytest.raises(UserError, match=r"--box is .*; give --box=X,Y,WIDTH,HEIGHT"):
        parse_box(text)


def test_a_box_belongs_to_one_query(photos):
    for queries in ([], [str(photos / "c.png"), str(photos / "d.png")]):
        with pytest.raises(UserError, match=f"one query photo; {len(queries)} are given"):
            main([str(photos), *queries, "--box=1,2,3,4"])


def test_a_page_to_draw_the_box_on(photos, tmp_path, capsys):
    query = photos.parent / "query.png"
    main([str(photos), str(query), "--box", f"--work_path={tmp_path / 'a work'}"])
    page = capsys.readouterr().out.strip().split(": ", 1)[1]
    text = Path(page).read_text(encoding="utf-8")
    assert "run_search.sh" in text and f"--work_path={tmp_path / 'a work'}" in text
    with pytest.raises(UserError, match="there is no query photo"):
        main([str(photos), str(tmp_path / "gone.png"), "--box"])


@pytest.mark.parametrize(
    ("bias", "word", "told"),
    [(3.0, "the same", False), (-9.0, "not here", True)],
)
def test_a_verdict_is_told_where_there_is_a_calibration(photos, monkeypatch, bias, word, told):
    """By a calibration that finds everything probable, or nothing."""
    sure = Calibration("fake", "none", bias, 0.1, 0.0, same=0.5, perhaps=0.3)
    monkeypatch.setattr("src.photo_search.answers.calibration_for", lambda _: sure)
    found, _, _ = find(photos, photos.parent / "query.png", top=2)
    best, text = found[0].results[0], report(found, 1.0)
    assert best.verdict == word and ("not here, it seems" in text) == told
    assert f"{best.verdict}  " in text and " % · " in text
    page = found[0].page.read_text(encoding="utf-8")
    assert f'class="{best.verdict.replace(" ", "-")}"' in page


def test_what_is_the_same_never_stands_below_what_is_not(photos, monkeypatch):
    """A calibration that knows better than the votes: the fewer inliers the surer."""
    odd = Calibration("fake", "none", 1.0, -1.0, 0.0, same=0.5, perhaps=0.3)
    monkeypatch.setattr("src.photo_search.answers.calibration_for", lambda _: odd)
    found, _, _ = find(photos, photos.parent / "query.png")
    verdicts = [result.verdict for result in found[0].results]
    assert "the same" in verdicts and verdicts[-1] != "the same"
    assert verdicts == sorted(verdicts, key=lambda verdict: verdict != "the same")
