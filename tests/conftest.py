"""What several tests share."""

from __future__ import annotations

import os

import pytest

from model_utils.device import set_up_device, tune_cpu_libraries
from src.common.user_cache import user_cache
from src.downloads.known_sums import KNOWN_NAME
from tests.helpers.checkout import ODD_NAME, Checkout
from tests.helpers.loopback_server import LoopbackServer
from tests.helpers.weights import random_weights

# All networks of this process, whichever comes first: oneDNN asks for its instruction set once.
tune_cpu_libraries()


def pytest_addoption(parser):
    parser.addoption(
        "--mutations", type=int, default=1, metavar="TIMES", help="try TIMES as many damaged inputs"
    )
    parser.addoption("--fuzz", type=int, default=300, help="damaged files of each kind to try")


@pytest.fixture(scope="session")
def mutations(request):
    """How many times as many damaged inputs as usual are tried."""
    return request.config.getoption("--mutations")


@pytest.fixture(scope="session", autouse=True)
def user_cache_of_the_tests(tmp_path_factory):
    """Compiled networks are kept apart from those of the person who runs the tests."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def cpu():
    """MindSpore on CPU, as the programs set it up."""
    return set_up_device("CPU")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy of the project for its scripts to write into, in a folder with an odd name."""
    return Checkout(tmp_path_factory.mktemp("checkout") / ODD_NAME)


@pytest.fixture(scope="session")
def training_data(tmp_path_factory):
    """Shards of a few small photos, and ImageNet weights to begin with."""
    from tests.helpers.training import make_training_data

    return make_training_data(tmp_path_factory.mktemp("gldv2"))


@pytest.fixture
def server(monkeypatch):
    """A web server on the loopback address, reached without a proxy."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # What another test's server had under this address is not remembered.
    (user_cache() / KNOWN_NAME).unlink(missing_ok=True)
    with LoopbackServer() as running:
        yield running


@pytest.fixture(scope="session")
def attention_checkpoint(cpu, tmp_path_factory):
    """A checkpoint of the attention stage with random weights."""
    from src.delf_model import AttentionNetwork
    from src.network.weight_files import write_checkpoint

    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint_delf_attn-1_1.ckpt"
    write_checkpoint(path, random_weights(AttentionNetwork(5)))
    return path


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Rendered photos of two landmarks, with ground truth."""
    from sample_world.build import build_sample_world
    from sample_world.options import WorldOptions

    folder = tmp_path_factory.mktemp("world")
    options = WorldOptions(
        seed=1,
        train_landmarks=2,
        train_photos=1,
        retrieval_landmarks=2,
        retrieval_photos=4,
        queries=1,
        distractors=2,
        width=128,
        height=96,
    )
    build_sample_world(folder, options, num_workers=1)
    return folder / "retrieval"


@pytest.fixture(scope="session")
def any_size_mindir(attention_checkpoint, tmp_path_factory):
    """That network as a model of version 1 for photos of any size."""
    from src.network.export import ExportSettings, export_model

    path = tmp_path_factory.mktemp("mindir") / "any_size"
    return export_model(attention_checkpoint, path, ExportSettings((1, 3, 0, 0), "CPU", version=1))


@pytest.fixture(scope="session")
def static_mindir(attention_checkpoint, tmp_path_factory):
    """That network as a model of version 1 for seven levels of up to 128 pixels."""
    from src.network.export import ExportSettings, export_model

    path = tmp_path_factory.mktemp("mindir") / "static"
    return export_model(
        attention_checkpoint, path, ExportSettings((7, 3, 128, 128), "CPU", version=1)
    )
