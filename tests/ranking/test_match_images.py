from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.feature_io import Features, feature_path, write_features
from src.match_images import main
from src.ranking.pair import (
    MatchSettings,
    PairMatch,
    draw_matches,
    match_images,
    match_pair,
    read_image_pair,
)

LINEAR = np.array([[0.9, 0.1], [-0.15, 1.1]])  # on (x, y)
SHIFT = np.array([12.0, 30.0])


def features_of(locations, descriptors):
    descriptors = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    ones = np.ones(len(locations))
    return Features(locations, ones, descriptors, ones)


def two_views(seed=0, common=30, own=20):
    """Features of two photos that share `common` points under a known affine map."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(50, 350, (common, 2))  # (x, y)
    looks = rng.normal(size=(common, 24))
    views = []
    for places in (points, points @ LINEAR.T + SHIFT):
        locations = np.r_[places, rng.uniform(0, 400, (own, 2))][:, ::-1]
        noisy = looks + 0.2 * rng.normal(size=looks.shape)
        views.append(features_of(locations, np.r_[noisy, rng.normal(size=(own, 24))]))
    return views


def test_common_points_are_the_inliers():
    match = match_pair(*two_views(), MatchSettings(max_distance=0.8))
    assert 28 <= match.inlier_count <= 32
    mapped = np.c_[match.locations_a[:, ::-1], np.ones(len(match.inliers))] @ match.affine.T
    distance = np.linalg.norm(mapped - match.locations_b[:, ::-1], axis=1)
    assert distance[match.inliers].max() <= 20
    np.testing.assert_allclose(match.affine, np.c_[LINEAR, SHIFT], atol=0.5)


def test_settings_decide_what_matches():
    views = two_views()
    counts = [
        len(match_pair(*views, MatchSettings(distance, ratio, mutual)).inliers)
        for distance, ratio, mutual in (
            (None, None, False),
            (None, None, True),
            (0.8, None, False),
            (None, 0.7, False),
        )
    ]
    assert counts[0] == 50
    assert all(30 <= count < 50 for count in counts[1:])


def test_photos_without_features_have_no_matches():
    view = two_views()[0]
    for pair in ((view, Features.empty(24)), (Features.empty(24), view), (Features.empty(1), view)):
        match = match_pair(*pair)
        assert (match.inlier_count, match.affine) == (0, None)


def test_descriptors_of_two_lengths_are_refused():
    other = features_of(np.ones((3, 2)), np.ones((3, 8)))
    with pytest.raises(UserError, match="24 and 8"):
        match_pair(two_views()[0], other)


# ---------------------------------------------------------------- drawing


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


# ---------------------------------------------------------------- the list and the command


@pytest.mark.parametrize(
    "text",
    ["one\ntwo\n", "\n one \n\n two.jpg\n\n", "one.JPG\r\ntwo.jpeg\r\n", "\ufeffone\ntwo"],
)
def test_two_names_are_read(tmp_path, text):
    (tmp_path / "list.txt").write_bytes(text.encode())
    assert read_image_pair(tmp_path / "list.txt") == ("one", "two")


def test_a_dot_in_a_name_is_not_a_suffix(tmp_path):
    (tmp_path / "list.txt").write_text("st.mary\nv1.0.png\n")
    assert read_image_pair(tmp_path / "list.txt") == ("st.mary", "v1.0")


@pytest.mark.parametrize("text", ["", "one\n", "one\ntwo\nthree\n"])
def test_another_number_of_names_is_refused(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UserError, match=rf"list\.txt holds {len(text.split())} names"):
        read_image_pair(tmp_path / "list.txt")


def test_missing_list(tmp_path):
    with pytest.raises(UserError, match=r"list\.txt"):
        read_image_pair(tmp_path / "list.txt")


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(5)
    (tmp_path / "photos").mkdir()
    for name, view in zip(("left", "right"), two_views()):
        write_features(feature_path(tmp_path / "features", name), view)
        pixels = rng.integers(0, 255, (400, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "list.txt").write_text("left\nright\n")
    return tmp_path


def test_command_line(folders, capsys):
    out = folders / "new" / "eval_match.png"
    main(["--list_images_path", str(folders / "list.txt"), "--images_path", str(folders / "photos"),
          "--feature_path", str(folders / "features"), "--output_image", str(out)])  # fmt: skip
    expected = match_pair(*two_views()).inlier_count
    assert capsys.readouterr().out == f"Found {expected} inliers\n"
    assert Image.open(out).size[0] > 1400
    with pytest.raises(SystemExit) as caught:
        main(["--images_path", "x", "--feature_path", "y", "--output_image", "match"])
    assert caught.value.code == 2


@pytest.mark.parametrize("gone", ["photos/left.png", "features/right.npz"])
def test_missing_photo_or_features_are_named(folders, gone):
    (folders / gone).unlink()
    with pytest.raises(UserError, match=gone.split("/")[1].split(".")[0]):
        match_images(folders / "list.txt", folders / "photos", folders / "features",
                     folders / "m.png")  # fmt: skip
    assert not (folders / "m.png").exists()
