"""A copy of the project for tests that run its scripts: they write into the project's folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from model_utils.environment import PROJECT_ROOT

#: What a person's folder may be called.
ODD_NAME = "müller's delf + more (1), -x"
_FOLDERS = ("model_utils", "scripts", "src", "sample_world", "ascend310_infer", "pca", ".ci")


def copy_project(folder: Path) -> Path:
    """Copy what the scripts need into a folder, but for what was built; return it.

    The environment is the project's own, by a link.
    """
    folder.mkdir(parents=True)
    for path in PROJECT_ROOT.iterdir():
        if path.suffix in (".py", ".yaml", ".txt", ".md", ".toml"):
            shutil.copy(path, folder)
    unwanted = shutil.ignore_patterns("__pycache__", "build-*", "build", "out", "out-*")
    for name in _FOLDERS:
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=unwanted)
    (folder / ".venv").symlink_to((PROJECT_ROOT / ".venv").resolve())
    return folder


class Checkout:
    """A copy of the project and its scripts.

    Attributes:
        folder: the copy.
    """

    def __init__(self, folder: Path):
        self.folder = copy_project(folder)

    def run(
        self,
        script: str,
        *arguments: object,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess:
        """Run a script of scripts/, by default from the project's folder."""
        return subprocess.run(
            ["bash", str(self.folder / "scripts" / script), *map(str, arguments)],
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )


def the_error(result: subprocess.CompletedProcess) -> str:
    """Return the line by which a command says what is wrong; there must be one."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


# In the place of the project's Python: says how it was called, or is a training a test leads.
_STAND_IN = """
import json, os, signal, sys, time
if sys.argv[1] == "-c":
    if "TEST_CTRL_C" in os.environ:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.killpg(0, signal.SIGINT)
        sys.exit(1)
    sys.exit()
if "TEST_HELD" in os.environ:
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
    sys.exit()
leader = os.environ.get("TEST_LEADER")
if leader is None:
    print(json.dumps([os.getcwd(), *sys.argv[1:]]))
    sys.exit()
print("epoch: 1 step: 1", flush=True)
while not os.path.exists(leader):
    time.sleep(0.02)
print("the loss went down")
"""


def stand_in_checkout(folder: Path) -> Checkout:
    """Return a copy whose scripts call a stand-in for Python, which prints JSON.

    It prints the folder it was started in and its arguments. With TEST_LEADER, a file, it is a
    training that has done its first step and ends when the file appears. With TEST_CTRL_C somebody
    presses that when it is asked whether it works, and it makes an error of it, as Python does;
    with TEST_HELD it tells whether Ctrl-C is held back.
    """
    checkout = Checkout(folder)
    environment = checkout.folder / ".venv"
    environment.unlink()
    (environment / "bin").mkdir(parents=True)
    program = environment / "stand_in.py"
    program.write_text(_STAND_IN)
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    python.chmod(0o755)
    requirements = (checkout.folder / "requirements.txt").read_bytes()
    stamp = subprocess.run(["cksum"], input=requirements, capture_output=True, check=True).stdout
    (environment / ".installed-run").write_bytes(stamp)
    return checkout
