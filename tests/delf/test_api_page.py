"""docs/api.md is what the docstrings say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import delf

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_made_of_the_docstrings():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert written == maker.page(), "run python3 docs/make_api.py"
    for name in set(delf.__all__) - {"__version__"}:
        assert f"\n## `{name}`\n" in written
    assert "**Raises**" in written and "(y, x)" in written
