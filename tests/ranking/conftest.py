"""The small world, searched by several tests; none of them changes it."""

from __future__ import annotations

import pytest

from src.feature_io import feature_path, read_features
from src.index.build import build_index
from src.index.folder import load_index
from tests.helpers.retrieval import world


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    features = world(folder / "features")
    build_index(features, folder / "index")
    return folder


@pytest.fixture(scope="session")
def index(made):
    return load_index(made / "index")


@pytest.fixture(scope="session")
def query_of(made):
    return lambda name: read_features(feature_path(made / "features", name))
