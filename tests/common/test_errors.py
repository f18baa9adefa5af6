from __future__ import annotations

import errno

import pytest

from src.common.errors import naming_file


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, naming_file(tmp_path / "images_000.tar.part"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename.endswith("images_000.tar.part")
