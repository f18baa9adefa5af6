"""The picture of the attention: the map over the photo, and a circle for each feature."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from src.feature_io import Features
from src.pages.attention_picture import DRAWN_HEIGHT, DRAWN_WIDTH, draw_attention, drawn_shape
from src.pages.look import MARGIN

GREY = np.full((240, 320, 3), 128, np.uint8)


def features(locations, scales):
    count = len(locations)
    return Features(
        np.reshape(locations, (count, 2)), np.array(scales), np.ones((count, 4)), np.ones(count)
    )


def drawn(tmp_path, heat, found, title="photo.jpg"):
    path = tmp_path / "attention.png"
    draw_attention(GREY, heat, found, path, title, 32)
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.parametrize(
    "size", [(240, 320), (3000, 4000), (4000, 300), (1, 5000), (1, 1), (720, 1180)]
)
def test_every_photo_is_drawn_inside_the_room(size):
    height, width = drawn_shape(size)
    assert 1 <= height <= DRAWN_HEIGHT and 1 <= width <= DRAWN_WIDTH
    assert height == DRAWN_HEIGHT or width == DRAWN_WIDTH


def test_the_map_is_bright_where_the_score_is_high(tmp_path):
    height, width = drawn_shape(GREY.shape[:2])
    heat = np.zeros((height, width), np.float32)
    heat[100:140, 600:640] = 2.0
    picture = drawn(tmp_path, heat, features([], []))
    brightness = picture[44 : 44 + height, MARGIN : MARGIN + width].sum(axis=2)
    assert brightness[110:130, 610:630].min() > brightness[300:, :500].max() + 100


def test_features_are_circles_at_their_places_by_scale(tmp_path):
    height, width = drawn_shape(GREY.shape[:2])
    heat = np.zeros((height, width), np.float32)
    scale = height / 240
    found = features([(60, 80), (180, 200)], [0.25, 1.0])
    picture = drawn(tmp_path, heat, found)
    photo = picture[44 : 44 + height, 2 * MARGIN + width : 2 * MARGIN + 2 * width]
    coloured = np.argwhere(np.ptp(photo, axis=2) > 60)
    for (y, x), radius in zip(found.locations * scale, (64 * scale, 16 * scale)):
        near = np.hypot(*(coloured - (y, x)).T)
        assert (near < 3).any(), "its centre"
        ring = coloured[np.abs(near - radius) < 2]
        assert len(ring) > 4 * radius, "its circle"
    red, blue = (photo[round(y * scale), round(x * scale)] for y, x in found.locations)
    assert red[0] > red[2] + 100 and blue[2] > blue[0] + 100


def test_nothing_to_see_is_drawn_all_the_same(tmp_path):
    height, width = drawn_shape(GREY.shape[:2])
    picture = drawn(
        tmp_path, np.zeros((height, width), np.float32), features([], []), "名前 \udcff"
    )
    assert picture.shape[1] == 2 * width + 3 * MARGIN
