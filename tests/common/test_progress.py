"""How far a work is, without a terminal: lines through a pipe; on a terminal: a bar."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.progress import ProgressLines, progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_line_comes_at_every_twentieth_part(lines):
    clock = Clock()
    bar = ProgressLines("describing", 200, "photo", clock=clock)
    for _ in range(200):
        clock.now += 0.5
        bar.update()
    assert len(lines()) == 20
    assert lines()[0] == "describing: 10 of 200 photos, 2 photos/s, 2 min left"
    assert lines()[-1] == "describing: 200 of 200 photos, 2 photos/s, 0 s left"


def test_a_slow_work_is_heard_of_every_half_minute(lines):
    clock = Clock()
    bar = ProgressLines("describing", 100_000, "photo", initial=50_000, clock=clock)
    for _ in range(60):
        clock.now += 2.0
        bar.update()
    assert len(lines()) == 4
    assert lines()[0] == "describing: 50,015 of 100,000 photos, 0.5 photos/s, 27.8 h left"


def test_a_quick_work_says_little(lines):
    clock = Clock()
    bar = ProgressLines("check", 1000, "photo", clock=clock)
    for _ in range(1000):
        clock.now += 0.002
        bar.update()
    assert len(lines()) == 0


def test_bytes_and_an_unknown_end(lines):
    clock = Clock()
    bar = ProgressLines("fetching", 95_128_781, "B", scaled=True, clock=clock)
    clock.now = 8.0
    bar.update(31_000_000)
    assert lines() == ["fetching: 31M of 95.1M B, 3.88M B/s, 17 s left"]
    endless = ProgressLines("unpacking", None, "file", clock=clock)
    clock.now += 31.0
    endless.update(62)
    assert lines()[-1] == "unpacking: 62 files, 2 files/s"


def test_items_are_passed_on():
    assert list(progress([3, 1, 2], "sorting", "number")) == [3, 1, 2]
    assert list(progress(iter("ab"), "reading", "letter")) == ["a", "b"]


PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
from src.common import progress
from src.common.errors import set_up_logging
set_up_logging()
progress.PAUSE = 0.0
for _ in progress.progress(range(40), "counting", "number"):
    pass
"""


def test_through_a_pipe_and_on_a_terminal():
    command = [sys.executable, "-c", PROGRAM.format(root=str(PROJECT_ROOT))]
    piped = subprocess.run(command, capture_output=True, text=True)
    assert piped.stderr.count("counting:") == 20 and "40 of 40 numbers" in piped.stderr
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    with subprocess.Popen(command, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            said += part
    os.close(ours)
    assert process.returncode == 0
    assert b"40/40" in said and b"INFO" not in said
