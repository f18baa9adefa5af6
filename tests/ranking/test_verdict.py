"""From inliers and similarity to a probability and a word; for which features they hold."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from src.common.errors import UserError
from src.ranking import verdict
from src.ranking.one_query import rank_images
from src.ranking.verdict import (
    Calibration,
    calibration_for,
    read_calibration,
    write_calibration,
)
from tests.helpers.features import features_of
from tests.helpers.retrieval import ALONE, index_of

CALIBRATION = Calibration("net", "white", -4.0, 1.0, 5.0, same=0.7, perhaps=0.3)


def test_the_logistic_by_hand():
    found = CALIBRATION.probabilities(np.array([0, 19]), np.array([0.0, 0.4]))
    # −4 and −4 + log 20 + 2
    expected = [1 / (1 + math.exp(4)), 1 / (1 + math.exp(4 - math.log(20) - 2))]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("probability", "word"),
    [(0.7, "the same"), (0.69, "perhaps"), (0.3, "perhaps"), (0.29, "not here")],
)
def test_words(probability, word):
    assert CALIBRATION.verdict(probability) == word


def test_it_is_for_one_network_and_whitening():
    features = {"checkpoint": "net", "global": {"whitening": "white", "dimension": 1024}}
    assert CALIBRATION.fits(features)
    assert not CALIBRATION.fits({**features, "checkpoint": "other"})
    assert not CALIBRATION.fits({**features, "global": {"whitening": "other"}})
    assert not CALIBRATION.fits({"checkpoint": "net"})
    assert calibration_for({"checkpoint": "net"}) is None


def test_it_is_written_and_read(tmp_path):
    write_calibration(tmp_path / "c.json", CALIBRATION, {"sets": ["a"]})
    assert read_calibration(tmp_path / "c.json") == CALIBRATION


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", json.dumps({"network": "net"}), '{"bias": "a"}', b"\xff\xfe",
     json.dumps({"network": "n", "whitening": "w", "bias": math.nan, "inliers": 1, "similarity": 1,
                 "same": 1, "perhaps": 0})],
)  # fmt: skip
def test_what_is_none_is_refused_in_a_line(tmp_path, content):
    path = tmp_path / "c.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match="is no calibration of verdicts") as error:
        read_calibration(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_what_ships_is_sane():
    """More inliers or similarity make a hit more probable; without either it is none."""
    shipped = read_calibration(verdict.SHIPPED_CALIBRATION)
    inliers, similarities = np.meshgrid([0, 5, 30, 200], [0.0, 0.2, 0.5, 0.9], indexing="ij")
    found = shipped.probabilities(inliers, similarities)
    assert (np.diff(found, axis=0) > 0).all() and (np.diff(found, axis=1) > 0).all()
    assert shipped.verdict(found[0, 0]) == "not here"
    assert shipped.verdict(found[3, 3]) == "the same"
    assert 0 < shipped.perhaps < shipped.same < 1


def test_similarities_are_cosines_of_the_best_turn(tmp_path):
    rng = np.random.default_rng(0)
    unit = np.eye(4, dtype=np.float32)
    whole = {"a": unit[0], "b": (unit[0] + unit[1]) / np.sqrt(2), "c": unit[2]}

    def photo(descriptor):
        features = features_of(rng.uniform(0, 300, (20, 2)), rng.normal(size=(20, 16)))
        object.__setattr__(features, "global_descriptor", np.float32(descriptor))
        return features

    index = index_of(tmp_path, {name: photo(each) for name, each in whole.items()})
    found = rank_images(index, [photo(unit[0]), photo(unit[1])], ALONE)
    np.testing.assert_allclose(found.similarities, [1, np.sqrt(0.5), 0], atol=1e-3)
    without = rank_images(index, features_of(np.zeros((1, 2)), rng.normal(size=(1, 16))), ALONE)
    assert not without.similarities.any()
