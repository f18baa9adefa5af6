"""How much a program says: quiet, as usual, verbose; in one place for all."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from delf.command import _loudness
from src.common import progress
from src.common.errors import LOG_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import logging, sys, warnings
from src.common.errors import run_command, set_up_logging
def main():
    if sys.argv[1:]:
        set_up_logging(sys.argv[1])
    log = logging.getLogger("src.describe.folder")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        log.log(level, "ours %d", level)
    logging.getLogger("PIL.PngImagePlugin").debug("theirs")
    warnings.warn("a library's own matter", UserWarning)
    print("result \\udcff")
run_command(main)
"""


def said(*arguments, **environment):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        capture_output=True,
        env={**{n: v for n, v in os.environ.items() if n != LOG_VARIABLE}, **environment},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [b"result", rb"\udcff"]  # no letter for it, and no end for that
    return run.stderr.decode()


def test_as_usual_information_and_warnings_of_ours_are_said():
    usual = said()
    assert [line.split(" ", 1)[1] for line in usual.splitlines()] == [
        "INFO ours 20",
        "WARNING ours 30",
    ]


@pytest.mark.parametrize("how", [{"DELF_LOG": "quiet"}, {}], ids=["variable", "argument"])
def test_quiet_leaves_warnings_of_ours(how):
    quiet = said(*([] if how else ["quiet"]), **how)
    assert [line.split(" ", 1)[1] for line in quiet.splitlines()] == ["WARNING ours 30"]


def test_verbose_says_all_of_ours_and_the_warnings_of_libraries():
    verbose = said("verbose")
    assert "DEBUG ours 10" in verbose and "a library's own matter" in verbose
    assert "theirs" not in verbose


def test_the_options_are_taken_out_wherever_they_stand(monkeypatch):
    monkeypatch.setenv(LOG_VARIABLE, "")
    assert _loudness(["search", "photos", "--", "--quiet"]) == ["search", "photos", "--", "--quiet"]
    assert os.environ[LOG_VARIABLE] == ""
    assert _loudness(["--quiet", "search", "photos"]) == ["search", "photos"]
    assert os.environ[LOG_VARIABLE] == "quiet"
    assert _loudness(["search", "--verbose", "--top=3"]) == ["search", "--top=3"]
    assert os.environ[LOG_VARIABLE] == "verbose"


@pytest.mark.parametrize(("total", "level"), [(0, logging.INFO), (5, logging.WARNING)])
def test_no_bar_for_nothing_and_none_where_it_is_quiet(total, level, monkeypatch, caplog):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with caplog.at_level(level), progress.progress_bar("describing", total, "photo") as bar:
        assert isinstance(bar, progress.ProgressLines)
