from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from src.photos.jpeg_check import BrokenPhotoError, is_plain_jpeg
from tests.helpers.landmarks import encoded, picture


def test_whatever_damage_passes_the_check_a_decoder_can_read():
    generator = random.Random(0)
    sources = [
        encoded(picture(number, 90, 70), quality=90, progressive=number % 2 == 1)
        for number in range(4)
    ]
    accepted = refused = 0
    for _ in range(1500):
        data = bytearray(generator.choice(sources))
        headers = bytes(data).index(b"\xff\xda") + 14
        for _ in range(generator.randint(1, 3)):
            end = headers if generator.random() < 0.7 else len(data)
            place = min(generator.randrange(end), len(data) - 1)
            kind = generator.randrange(4)
            if kind == 0:
                data[place] = generator.randrange(256)
            elif kind == 1:
                del data[place : place + generator.randint(1, 20)]
            elif kind == 2:
                data[place:place] = generator.randbytes(4)
            elif generator.random() < 0.2:
                del data[max(1, place) :]
        try:
            plain = is_plain_jpeg(bytes(data))
        except BrokenPhotoError:
            refused += 1
            continue
        accepted += plain
        if plain:
            pixels = cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_COLOR)
            assert pixels is not None
    assert accepted > 200 and refused > 200


def test_every_truncation_is_found():
    data = encoded(picture(1, 40, 30), quality=60)
    assert is_plain_jpeg(data)
    for length in range(len(data)):
        with pytest.raises(BrokenPhotoError):
            is_plain_jpeg(data[:length])


def test_whole_photos_are_not_decoded(monkeypatch):
    """What makes the build fast."""

    def refuse(_):
        raise AssertionError("decoded to the end")

    monkeypatch.setattr("src.photos.jpeg_check._mode_after_decoding", refuse)
    for options in ({}, {"progressive": True}, {"optimize": True}, {"subsampling": 0}):
        assert is_plain_jpeg(encoded(picture(0, 200, 150), **options))
