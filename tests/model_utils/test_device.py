"""What a process is told of the device it runs on."""

import os

import mindspore as ms
import pytest

from model_utils import device
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
    ("target", "jit_level", "wanted"),
    [
        ("Ascend", "O2", [("Ascend", 3), {"jit_config": {"jit_level": "O2"}}]),
        ("Ascend", None, [("Ascend", 3)]),
        ("CPU", "O2", [("CPU",)]),  # where levels are something else
    ],
)
def test_the_level_of_compilation_is_said_to_an_ascend(told, target, jit_level, wanted):
    assert set_up_device(target, 3, jit_level) == target
    assert {"mode": ms.GRAPH_MODE} in told
    assert [call for call in told if call != {"mode": ms.GRAPH_MODE}] == wanted


@pytest.mark.parametrize(
    ("flags", "unfolds", "set_before", "wanted"),
    [
        (device._WIDE_FLAGS, True, None, "AVX512_CORE"),
        (device._WIDE_FLAGS, False, None, "AVX2"),  # the others would run by reference code
        ({"avx2", "avx512f"}, True, None, "AVX2"),
        (device._WIDE_FLAGS, True, "AVX2", "AVX2"),
        (set(), False, "AVX512_CORE", "AVX512_CORE"),
    ],
)
def test_the_instruction_set_of_a_cpu(monkeypatch, tmp_path, flags, unfolds, set_before, wanted):
    monkeypatch.delenv(device.ISA_VARIABLE, raising=False)
    monkeypatch.delenv("DELF_ONEDNN_ISA", raising=False)
    if set_before:
        monkeypatch.setenv(device.ISA_VARIABLE, set_before)
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : fpu {' '.join(flags)}\n")
    monkeypatch.setattr(device, "Path", lambda *_: tmp_path / "cpuinfo")
    device.tune_cpu_libraries(unfolds)
    assert os.environ[device.ISA_VARIABLE] == wanted
    assert device.wants_unfolding() == (wanted == "AVX512_CORE")
    assert device.is_isa_ours() == (set_before is None)


def test_an_unknown_device_is_refused():
    with pytest.raises(UserError, match="device_target is 'GPU'"):
        set_up_device("GPU")
