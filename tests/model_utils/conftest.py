"""What the tests of launchers and hosts share."""

import sys

import pytest

from model_utils import launch_plan
from tests.helpers.modelarts import STAND_INS, Host


@pytest.fixture
def cpu_host(monkeypatch):
    """A host without an Ascend."""
    monkeypatch.setattr(launch_plan, "find_device_target", lambda: "CPU")


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host whose jobs can also run in the process of the test."""
    host = Host(tmp_path)
    monkeypatch.syspath_prepend(str(STAND_INS))
    monkeypatch.delitem(sys.modules, "moxing", raising=False)
    monkeypatch.setenv("MOXING_LOG", str(host.log))
    yield host
    sys.modules.pop("moxing", None)
    for process in host.processes:
        process.kill()
        process.communicate()
