"""Every word of `delf` calls itself by its word, in its usage and in what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from delf.command import WORDS
from model_utils.environment import PROJECT_ROOT

#: Asks each word in a process of its own, forked: Python starts once.
_ASK = """
import json, os, sys
from delf.command import main
for word in json.loads(sys.argv[1]):
    for option in ("--help", "--nonsense"):
        child = os.fork()
        if not child:
            os.dup2(1, 2)
            print(f"\\n== {word} {option}", flush=True)
            main([word, option])
        os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def said():
    """What each word says to --help and to nonsense, by (word, option)."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK, json.dumps([*WORDS])],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )
    parts = done.stdout.split("\n== ")[1:]
    return {tuple(part.split("\n", 1)[0].split()): part.split("\n", 1)[1] for part in parts}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_calls_itself_by_its_word(said, word):
    assert said[word, "--help"].startswith(f"usage: delf {word}")
    refused = said[word, "--nonsense"]
    assert refused.startswith((f"usage: delf {word}", "error: ")), refused
    assert ".py" not in refused.replace("MindSpore", "")


@pytest.mark.parametrize("word", WORDS)
def test_the_options_that_are_named_are_there(said, word):
    for option in re.findall(r"--\w+", WORDS[word].usage):
        assert option in said[word, "--help"]
