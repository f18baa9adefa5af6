"""Where the programs run: choosing and setting up the device."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path

from src.common.errors import UserError, first_line
from src.common.signals import uninterrupted

LOG = logging.getLogger(__name__)
DEVICE_TARGETS = ("auto", "Ascend", "CPU")
ISA_VARIABLE, MINDSPORE_ISA, WIDE_ISA = "ONEDNN_MAX_CPU_ISA", "AVX2", "AVX512_CORE"
_WIDE_FLAGS = {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
_OURS = "DELF_ONEDNN_ISA"  # notes that the limit is not the user's


def tune_cpu_libraries(unfolds: bool = False) -> None:
    """Choose oneDNN's instruction set for MindSpore's convolutions, before the first of them.

    On machines with AVX-512, the oneDNN in MindSpore 2.9 and 2.10 falls back to reference code for
    convolutions in plain NCHW layout, about 70 times slower than its AVX2 path (measured, see
    docs/performance.md), except for those of 1×1, which get faster. A network of which all others
    are unfolded (`unfolds`) may use it. A value the user has set stays, and the first of ours.
    """
    if ISA_VARIABLE not in os.environ:
        wide = unfolds and _has_avx512()
        os.environ[ISA_VARIABLE] = os.environ[_OURS] = WIDE_ISA if wide else MINDSPORE_ISA


def wants_unfolding() -> bool:
    """Tell whether convolutions that are not of 1×1 would run by reference code here."""
    return os.environ.get(ISA_VARIABLE) == WIDE_ISA


def _has_avx512() -> bool:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return set(flags.split()) >= _WIDE_FLAGS


def is_isa_ours() -> bool:
    """Tell whether the limit was set here, by this process or one that started it."""
    return os.environ.get(ISA_VARIABLE, "") == os.environ.get(_OURS)


@cache
def find_device_target() -> str:
    """Return "Ascend" where MindSpore finds one, else "CPU"."""
    # MindSpore logs several warnings when it is asked on a machine without the driver.
    if not any(Path("/dev").glob("davinci*")):
        return "CPU"
    import mindspore as ms

    return "Ascend" if ms.hal.is_available("Ascend") else "CPU"


def set_up_device(
    device_target: str = "auto",
    device_id: int = 0,
    jit_level: str | None = None,
    unfolds: bool = False,
) -> str:
    """Set MindSpore's device and graph mode for this process; return the device's name.

    `jit_level` says how graphs run on an Ascend: O0 and O1 operator by operator, O2 as a whole.
    Without it that depends on the kind of Ascend. `unfolds`: see `tune_cpu_libraries`.

    Raises `UserError` for a device that MindSpore does not find.
    """
    if device_target not in DEVICE_TARGETS:
        raise UserError(f"device_target is {device_target!r}; choose from {DEVICE_TARGETS}")
    tune_cpu_libraries(unfolds)
    with uninterrupted():
        import mindspore as ms

    target = find_device_target() if device_target == "auto" else device_target
    try:
        if target == "CPU":
            ms.set_device("CPU")
        else:
            ms.set_device(target, device_id)
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(
            f"device {target} {device_id} cannot be used: {first_line(error)}"
        ) from error
    ms.set_context(mode=ms.GRAPH_MODE)
    if target == "Ascend" and jit_level is not None:
        ms.set_context(jit_config={"jit_level": jit_level})
    return target
