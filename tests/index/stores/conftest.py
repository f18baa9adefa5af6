"""A Milvus for the tests of stores."""

import pytest


@pytest.fixture(scope="session")
def milvus(tmp_path_factory):
    pytest.importorskip("milvus_lite", reason="Milvus Lite is of requirements-dev.txt")
    from tests.helpers.milvus import MilvusServer

    server = MilvusServer(tmp_path_factory.mktemp("milvus") / "data")
    server.start()
    yield server
    server.kill()
