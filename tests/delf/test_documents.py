"""What the documents point at is there: files, headings, and the scripts that commands name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model_utils.environment import PROJECT_ROOT

DOCUMENTS = sorted(
    path.relative_to(PROJECT_ROOT).as_posix()
    for folder in (".", "docs", "docs/scale", "weights", "recipes")
    for path in Path(PROJECT_ROOT, folder).glob("*.md")
)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_PROGRAM = re.compile(r"\b(?:bash|python3?) ((?:[\w.]+/)*[\w.]+\.(?:sh|py))\b")
#: Files that a command of the documents makes or that stand elsewhere.
_ELSEWHERE = ("http:", "https:", "mailto:")


def headings(path):
    """The anchors of a document's headings, as code hosts make them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    path = PROJECT_ROOT / name
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        if target.startswith(_ELSEWHERE):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{name} links to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in headings(there), f"{name} links to {target}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_programs_that_are_named_are_there(name):
    text = (PROJECT_ROOT / name).read_text(encoding="utf-8")
    for program in _PROGRAM.findall(text):
        assert (PROJECT_ROOT / program).is_file(), f"{name} names {program}"
