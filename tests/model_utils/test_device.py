"""What a process is told of the device it runs on."""

import mindspore as ms
import pytest

from model_utils.device import set_up_device
from src.common.errors import UserError


@pytest.fixture
def told(monkeypatch):
    """What MindSpore is told, on a host that has an Ascend."""
    calls = []
    monkeypatch.setattr(ms, "set_device", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(ms, "set_context", lambda **context: calls.append(context))
    return calls


@pytest.mark.parametrize(
    ("device", "jit_level", "wanted"),
    [
        ("Ascend", "O2", [("Ascend", 3), {"jit_config": {"jit_level": "O2"}}]),
        ("Ascend", None, [("Ascend", 3)]),
        ("CPU", "O2", [("CPU",)]),  # where levels are something else
    ],
)
def test_the_level_of_compilation_is_said_to_an_ascend(told, device, jit_level, wanted):
    assert set_up_device(device, 3, jit_level) == device
    assert {"mode": ms.GRAPH_MODE} in told
    assert [call for call in told if call != {"mode": ms.GRAPH_MODE}] == wanted


def test_an_unknown_device_is_refused():
    with pytest.raises(UserError, match="device_target is 'GPU'"):
        set_up_device("GPU")
