from __future__ import annotations

import errno
import os
import signal

import pytest

from src.common.errors import naming_file, uninterrupted


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, naming_file(tmp_path / "images_000.tar.part"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename.endswith("images_000.tar.part")


def test_ctrl_c_waits_for_the_end_of_what_must_be_whole():
    steps = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("whole")
    assert steps == ["whole"]
