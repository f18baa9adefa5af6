"""Records of what is complete: one small file in the folder `.download` beside each download.

They hold size and time of the file, so that a second run does not read 500 GB again to find out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.common.atomic_files import write_json, write_text
from src.common.json_files import read_json, shaped
from src.common.locks import wait_for

RECORDS = ".download"


@contextlib.contextmanager
def only_process(path: Path) -> Iterator[None]:
    """Keep other processes that run this program from working on `path` meanwhile."""
    lock = _records_folder(path) / f"{path.name}.lock"
    with wait_for(lock, f"another process is busy with {path.name}", no_locks=None):
        yield


def _records_folder(path: Path) -> Path:
    """Make the folder of records, which Git is not to look at."""
    folder = record_path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".gitignore").exists():
        write_text(folder / ".gitignore", "*\n")
    return folder


def record_path(path: Path) -> Path:
    """Return where the record of a downloaded file stands."""
    return path.parent / RECORDS / f"{path.name}.json"


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of a file: empty where there is none or it cannot be read."""
    try:
        return shaped(read_json(record_path(path)), dict[str, Any])
    except (FileNotFoundError, ValueError):
        return {}


def write_record(path: Path, **facts: Any) -> None:
    """Note that `path`, as it is now, is complete, with further facts about it."""
    _records_folder(path)
    write_json(record_path(path), {**_stamp(path), **facts})


def is_recorded(path: Path) -> bool:
    """Tell whether `path` is, by size and time, the file whose completeness was noted."""
    record = read_record(path)
    return path.exists() and bool(record) and _stamp(path).items() <= record.items()


def _stamp(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
