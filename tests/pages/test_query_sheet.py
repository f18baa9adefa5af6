from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from src.pages.query_sheet import VERDICTS, Result, Sheet, draw_sheet, verdicts, write_sheet
from src.ranking.pair import PairMatch

WORDS = ("right", "wrong", "junk", "unknown")


def no_match(_):
    return None


def matched(image):
    points = np.array([[20, 30], [60, 90], [100, 40], [30, 100]], np.float32)
    return PairMatch(points, points + image, np.array([True, True, True, False]), np.eye(2, 3))


@pytest.fixture
def sheet(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(5):
        blocks = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(blocks).resize((160, 120)).save(tmp_path / f"{number}.png")
    results = tuple(
        Result(number, number, f"photo {number}", tmp_path / f"{number}.png", word, 30 - number, 99)
        for number, word in enumerate(WORDS, 1)
    )
    return Sheet("tower_1", tmp_path / "0.png", (40, 30, 120, 90), "AP 50%", results, "features 1")


def count(picture, colour):
    return int((np.asarray(picture) == colour).all(axis=-1).sum())


def test_a_result_is_framed_by_its_verdict(sheet):
    picture = draw_sheet(sheet, no_match)
    for word in WORDS:
        colour = VERDICTS[word][1]
        assert count(picture, colour) > 2000  # a frame around a photo of about 200 pixels
        others = tuple(result for result in sheet.results if result.verdict != word)
        assert (
            count(draw_sheet(replace(sheet, results=others), no_match), colour) < 100
        )  # grey edges of letters
    marks = {mark for mark, _ in VERDICTS.values()}
    assert len(marks) == len(VERDICTS)  # nobody depends on the colour


def test_the_box_is_drawn_where_it_is(sheet):
    with_box = np.asarray(draw_sheet(sheet, no_match)).astype(int)
    without = np.asarray(draw_sheet(replace(sheet, box=None), no_match)).astype(int)
    rows, columns = np.nonzero(np.abs(with_box - without).sum(axis=-1))
    # the box spans half of the photo, which is shown 420 pixels wide; its line has 5
    assert np.ptp(columns) == pytest.approx(210, abs=6)
    assert np.ptp(rows) == pytest.approx(157, abs=6)
    outside = draw_sheet(replace(sheet, box=(-50, -50, 5000, 5000)), no_match)
    assert outside.size == with_box.shape[1::-1]


def test_lines_are_drawn_for_the_best_results_that_have_inliers(sheet):
    plain = draw_sheet(sheet, no_match)
    asked = []

    def matcher(image):
        asked.append(image)
        return matched(image)

    lined = draw_sheet(sheet, matcher)
    assert asked == [1, 2, 3]
    assert lined.height > plain.height + 100
    asked.clear()
    itself = replace(sheet.results[0], photo=sheet.photo)
    none = replace(sheet.results[1], inliers=0)
    draw_sheet(replace(sheet, results=(itself, none, *sheet.results[2:])), matcher)
    assert asked == [3, 4]  # neither the query itself nor what has no inliers


def test_lines_end_at_the_points_of_a_large_photo(sheet, tmp_path):
    """A point at 3/4 of a photo that is read at a sixth of its size is drawn at 3/4."""
    for name in ("0.png", "1.png"):
        Image.new("RGB", (3840, 2880), "white").save(tmp_path / name)
    points = np.array([[2160, 2880]] * 3, np.float32)
    match = PairMatch(points, points, np.ones(3, bool), np.eye(2, 3))
    one = replace(sheet, results=sheet.results[:1])
    difference = np.asarray(draw_sheet(one, lambda _: match)).astype(int)
    top = draw_sheet(one, no_match).height
    strip = difference[top + 45 :]
    saturated = np.ptp(strip, axis=-1) > 60
    columns = np.nonzero(saturated.any(axis=0))[0]
    rows = np.nonzero(saturated.any(axis=1))[0]
    white = np.nonzero((strip == 255).all(axis=-1).sum(axis=1) > 400)[0]
    height = white[-1] - white[0] + 1
    width = height * 4 / 3
    assert columns[0] == pytest.approx(16 + 0.75 * width, abs=6)
    assert columns[-1] == pytest.approx(16 + width + 16 + 0.75 * width, abs=6)
    assert rows.mean() - white[0] == pytest.approx(0.75 * height, abs=6)


def test_a_sheet_is_drawn_again_only_when_it_shows_something_else(sheet, tmp_path):
    path = tmp_path / "sheets" / sheet.file
    assert write_sheet(sheet, path, matched)
    before = path.read_bytes()
    assert not write_sheet(sheet, path, matched)
    for changed in (
        replace(sheet, evidence="features 2"),
        replace(sheet, caption="AP 60%"),
        replace(sheet, results=(replace(sheet.results[0], verdict="wrong"), *sheet.results[1:])),
    ):
        assert write_sheet(changed, path, matched)
    assert write_sheet(sheet, path, matched)
    assert path.read_bytes() == before
    os.utime(tmp_path / "2.png", (1, 1))  # another photo under the same name
    assert write_sheet(sheet, path, matched)
    path.write_bytes(before[: len(before) // 2])
    path.write_bytes(b"no picture")
    assert write_sheet(sheet, path, matched)


def test_photos_that_cannot_be_read_leave_a_plate(sheet, tmp_path):
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "2.png").unlink()
    assert draw_sheet(sheet, matched).size[0] == 1600


def test_any_text_can_be_drawn_and_any_label_names_a_file(sheet):
    labels = ("<script>", "a/b", "ä\n" * 200, "\udce9", "", "x" * 300, "A B", "A_B", "..")
    names = {replace(sheet, label=label).file for label in labels}
    assert len(names) == len(labels)
    for label in labels:
        odd = replace(sheet, label=label, results=(replace(sheet.results[0], name=label),))
        draw_sheet(odd, no_match)
        assert odd.file.isascii() and "/" not in odd.file and len(odd.file) < 120
        assert not odd.file.startswith(".")


def test_verdicts_of_several_protocols():
    def arrays(*lists):
        return [np.array(each, dtype=np.int64) for each in lists]

    # 1 is positive in both, 2 ignored by one, 3 ignored by both, 4 by one and negative in the other
    assert verdicts([1, 2, 3, 4, 5], arrays([1, 2], [1]), arrays([3, 4], [2, 3])) == [
        *("right", "right", "junk", "wrong", "wrong")
    ]
