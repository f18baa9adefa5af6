"""What the tests of other programs' files share."""

from __future__ import annotations

import pytest

from src.exchange.pairs import all_pairs, match_pairs
from src.exchange.photo_set import PhotoSet
from tests.helpers.scene import write_scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """Features of five photos of one relief."""
    return write_scene(tmp_path_factory.mktemp("scene") / "features")


@pytest.fixture(scope="session")
def photos(scene):
    """The same, ready to be written."""
    return PhotoSet(scene.folder)


@pytest.fixture(scope="session")
def matched(photos):
    """The matches of every two of them."""
    return list(match_pairs(photos, all_pairs(photos)))
