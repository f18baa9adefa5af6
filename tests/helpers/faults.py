"""What the operating system may refuse, arranged so that it refuses it to root as well."""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let this process, in the block, make files of so many bytes at most."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount something at a folder for the time of the block; skip the test where nobody may."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Let nobody, root neither, write in a folder for the time of the block; skip where root may.

    The folder is mounted over itself.
    """
    with mounted(folder, "--bind", str(folder)):
        command = ["mount", "-o", "remount,bind,ro", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("nothing can be mounted here")
        yield folder


def small_disk(folder: Path, size: int) -> contextlib.AbstractContextManager[Path]:
    """Return the context of a folder that is a disk of so many bytes; skip where none can be."""
    return mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")
