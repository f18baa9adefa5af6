"""The two photos of a list: the list, the command."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.evaluation.pair import match_images, read_image_pair
from src.feature_io import feature_path, write_features
from src.match_images import main
from src.ranking.pair import match_pair
from tests.helpers.retrieval import two_views


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
