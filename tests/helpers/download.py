"""What the tests of downloads share."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from pathlib import Path

from src.downloads.gldv2 import TABLES, download_gldv2
from src.downloads.http_fetch import Network
from src.downloads.records import RECORDS
from tests.helpers.loopback_server import LoopbackServer

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


#: The tables of a small Google Landmarks v2.
TABLE_FILES = {name: f"{name}\n1,2\n".encode() for name in TABLES}


def photos(number: int) -> dict[str, bytes]:
    """Return the photos of one of its archives."""
    return {f"{number}/a/b/{number}ab{i:013x}.jpg": noise(3000, 100 * number + i) for i in range(5)}


def serve_gldv2(server: LoopbackServer, count: int) -> dict[int, bytes]:
    """Serve tables and archives with their sums; return the archives by number."""
    for name, content in TABLE_FILES.items():
        server.add(f"/metadata/{name}", content)
    tars = {number: make_tar(photos(number)) for number in range(count)}
    for number, content in tars.items():
        server.add(f"/train/images_{number:03d}.tar", content)
        sum_line = f"{hashlib.md5(content).hexdigest()}  images_{number:03d}.tar\n"
        server.add(f"/md5sum/train/md5.images_{number:03d}.txt", sum_line.encode())
    return tars


def expected_gldv2(tars: dict[int, bytes]) -> dict[str, bytes]:
    """Return what is to be there when these archives have been downloaded."""
    expected = dict(TABLE_FILES)
    for number, content in tars.items():
        expected |= photos(number)
        expected[f"images_{number:03d}.tar"] = content
        sum_line = f"{hashlib.md5(content).hexdigest()}  images_{number:03d}.tar\n"
        expected[f"md5.images_{number:03d}.txt"] = sum_line.encode()
    return expected


def gldv2(server, path, first=0, last=2, **how):
    """Download archives from the server."""
    return download_gldv2(first, last, path, server.url, IMPATIENT, **how)
