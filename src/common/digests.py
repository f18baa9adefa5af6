"""Checksums of files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from src.common.regular_files import open_regular

_CHUNK = 1 << 20


def md5_of(path: Path) -> str:
    """Return the md5 sum of a file in hexadecimal."""
    # as data sets publish it; it guards against line noise only
    return _digest(path, hashlib.md5(usedforsecurity=False))


def sha256_of(path: Path) -> str:
    """Return the sha256 sum of a file in hexadecimal."""
    return _digest(path, hashlib.sha256())


def sha256_of_open(file: BinaryIO) -> str:
    """Return the sha256 sum of what is left of an open file in hexadecimal."""
    return _read_into(file, hashlib.sha256())


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with open_regular(path) as file:
        return _read_into(file, digest)


def _read_into(file: BinaryIO, digest: hashlib._Hash) -> str:
    for chunk in iter(lambda: file.read(_CHUNK), b""):
        digest.update(chunk)
    return digest.hexdigest()
