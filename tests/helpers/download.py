"""What the tests of downloads share."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

from src.downloads.http_fetch import Network
from src.downloads.records import RECORDS

IMPATIENT = Network(timeout=5, retries=3, backoff=0.01)
NOWHERE = "http://nowhere.invalid/delf"


def noise(size: int, seed: int = 0) -> bytes:
    """Return bytes that do not repeat and cannot be compressed."""
    return random.Random(seed).randbytes(size)


def make_tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    """Return a tar archive of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def make_tgz(files: dict[str, bytes]) -> bytes:
    """Return these files as a tar archive, packed by gzip."""
    return make_tar(files, "w:gz")


def files_below(folder: Path) -> dict[str, bytes]:
    """Return all files but the records, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and RECORDS not in path.parts
    }
