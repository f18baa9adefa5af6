"""Stands for ModelArts' moxing in tests: the bucket is a folder, and what is done is written down.

Environment: MOXING_LOG, the file each call adds a line to; MOXING_BROKEN, a path whose copies fail
half-way; MOXING_HANGS, a path whose copies stop half-way and go on for ever.
"""

import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace


def _log(*words: str) -> None:
    handle = os.open(os.environ["MOXING_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (" ".join(words) + "\n").encode())
    os.close(handle)


def copy_parallel(src_url: str, dst_url: str) -> None:
    _log("begin", src_url, dst_url)
    source = Path(src_url)
    if not source.is_dir():
        raise OSError(f"no such folder: {src_url}")
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        target = Path(dst_url) / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        time.sleep(0.02)  # others get the time to do the same
        if os.environ.get("MOXING_BROKEN") in (src_url, dst_url):
            raise OSError("the bucket\ndoes not answer")
        if os.environ.get("MOXING_HANGS") in (src_url, dst_url):
            _log("hangs", src_url, dst_url)
            time.sleep(600)
    _log("copied", src_url, dst_url)


def copy(src_url: str, dst_url: str) -> None:
    _log("begin", src_url, dst_url)
    if os.environ.get("MOXING_BROKEN") == dst_url:
        raise OSError("the bucket\ndoes not answer")
    Path(dst_url).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(src_url, dst_url)
    _log("copied", src_url, dst_url)


def remove(url: str) -> None:
    _log("removed", url)
    os.remove(url)


def exists(url: str) -> bool:
    return Path(url).exists()


file = SimpleNamespace(copy=copy, copy_parallel=copy_parallel, exists=exists, remove=remove)
