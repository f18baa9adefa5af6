"""Where what can be made again is kept for a user."""

from pathlib import Path

import pytest

from src.common.user_cache import user_cache


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    for name in ("DELF_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_folder_by_what_is_set(monkeypatch, tmp_path):
    assert user_cache() == tmp_path / ".cache" / "delf_mindspore"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, by the specification
    assert user_cache() == tmp_path / ".cache" / "delf_mindspore"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert user_cache() == Path("/x/delf_mindspore")
    monkeypatch.setenv("DELF_CACHE", "/y")
    assert user_cache() == Path("/y")


def test_a_user_without_a_home(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert user_cache() is None
