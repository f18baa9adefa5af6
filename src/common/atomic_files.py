"""Writing files so that a reader sees the whole file or none of it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.common.errors import naming_file

PathLike = str | os.PathLike


@contextlib.contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    The temporary name keeps the suffix of `path` (libraries choose formats by it) and carries the
    process id, so that two processes never write to one file. Folders on the way are made. On an
    error the temporary file is removed and `path` stays as it was; a full disk's error names it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        with naming_file(path):
            yield temporary
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_text(path: PathLike, text: str) -> None:
    """Write a text file (UTF-8) in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: PathLike, value: Any) -> None:
    """Write JSON in one step, indented, keys sorted: equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_csv(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table in one step: values separated by commas (UTF-8), lines ended by a line feed."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_npz(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name in one step, not compressed: equal arrays give equal bytes."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    _write_laid_out(path, content)


def write_npy(path: PathLike, array: np.ndarray) -> None:
    """Write an array in one step."""
    content = io.BytesIO()
    np.save(content, array)
    _write_laid_out(path, content)


def _write_laid_out(path: PathLike, content: io.BytesIO) -> None:
    # On a full disk NumPy, writing by itself, would leave a half-closed archive that complains
    # later, or say no more than how many numbers it could not write.
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())
