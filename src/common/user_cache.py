"""The folder of what is kept for a user between runs and can be made again at any time."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path | None:
    """Return the folder, which need not exist; None where the user has no home.

    DELF_CACHE, where that is set, else `delf_mindspore` in XDG_CACHE_HOME, where that is an
    absolute path, else in `~/.cache`.
    """
    if os.environ.get("DELF_CACHE"):
        return Path(os.environ["DELF_CACHE"]).absolute()
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):
        return Path(chosen, "delf_mindspore")
    try:
        return Path.home() / ".cache" / "delf_mindspore"
    except RuntimeError:
        return None
