"""The picture of two photos and their matches."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from src.pages.match_picture import draw_matches
from src.ranking.pair import PairMatch, match_pair
from tests.helpers.retrieval import two_views


def photo(height, width, colour):
    return np.full((height, width, 3), colour, np.uint8)


def no_matches():
    return PairMatch(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, bool), None)


@pytest.mark.parametrize(
    ("size_a", "size_b"),
    [
        ((400, 300), (300, 400)),
        ((2000, 3000), (50, 20)),
        ((500, 12000), (600, 800)),
        ((1, 1), (9, 4)),
    ],
)
def test_both_photos_are_drawn_whole_and_equally_high(tmp_path, size_a, size_b):
    green, blue = (0, 160, 0), (0, 0, 200)
    draw_matches(photo(*size_a, green), photo(*size_b, blue), no_matches(), tmp_path / "m.png")
    picture = np.asarray(Image.open(tmp_path / "m.png"))
    assert picture.shape[1] <= 2410
    assert picture.shape[0] <= 800
    drawn = [(picture == colour).all(axis=2) for colour in (green, blue)]
    heights = [mask.any(axis=1).sum() for mask in drawn]
    widths = [mask.any(axis=0).sum() for mask in drawn]
    assert heights[0] == heights[1]
    for (height, width), drawn_height, drawn_width in zip((size_a, size_b), heights, widths):
        assert drawn_width == pytest.approx(width / height * drawn_height, abs=1)


def test_lines_join_the_inliers_and_no_others(tmp_path):
    white = photo(720, 500, (255, 255, 255))
    match = PairMatch(
        np.array([[100.0, 250], [400, 250]]),
        np.array([[100.0, 250], [400, 250]]),
        np.array([True, False]),
        np.eye(2, 3),
    )
    draw_matches(white, white, match, tmp_path / "m.png")
    picture = np.asarray(Image.open(tmp_path / "m.png")).astype(int)
    saturation = picture.max(axis=2) - picture.min(axis=2)
    rows = np.flatnonzero(saturation.max(axis=1) > 100)
    top = np.flatnonzero((picture == 255).all(axis=2).any(axis=1))[0]
    assert abs(rows.mean() - (top + 100)) <= 2
    columns = np.flatnonzero((saturation[rows] > 50).any(axis=0))
    assert columns.max() - columns.min() == pytest.approx(500 + 16, abs=10)  # end to end


def test_same_match_gives_the_same_picture(tmp_path):
    match = match_pair(*two_views())
    for name in ("a.png", "b.png"):
        draw_matches(photo(400, 400, (90, 80, 70)), photo(400, 400, (20, 30, 40)), match,
                     tmp_path / name, ("left", "right"))  # fmt: skip
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


def test_very_long_names_fit(tmp_path):
    draw_matches(photo(40, 40, (0, 0, 0)), photo(40, 40, (0, 0, 0)), no_matches(),
                 tmp_path / "m.png", ("x" * 300, "建物"))  # fmt: skip
    assert Image.open(tmp_path / "m.png").size[0] < 2000
