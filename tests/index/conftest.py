"""Feature folders that several tests build an index of."""

from __future__ import annotations

import pytest

from tests.helpers.index import ALL, FIRST, list_some, write_folder


@pytest.fixture
def features(tmp_path):
    folder = tmp_path / "features"
    write_folder(folder, {"a": 30, "b": 0, "c": 50, "d": 7})
    return folder


@pytest.fixture
def folder(tmp_path):
    """A feature folder with the images of `ALL`, of which it lists those of `FIRST`."""
    write_folder(tmp_path / "features", ALL)
    list_some(tmp_path / "features", FIRST)
    return tmp_path
