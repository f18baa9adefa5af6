"""The files of a store in a folder: which belong to it, and who may write them.

`store.json` names them, with the sums of their blocks and a digest of itself, and is replaced last,
in one step: a program killed at any moment leaves the store as it was. Files carry the number of
the generation that made them; what killed programs left is removed by the next one that writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from src.common.atomic_files import write_json
from src.common.errors import UserError
from src.common.locks import claim

DESCRIPTION = "store.json"
FORMAT = 1
_LOCK = "store.lock"
_OURS = re.compile(
    r"(vectors|names|rows|live)-\d+\.bin|trained-\d+\.faiss|lists-\d+-\d+\.bin"
    r"|\.store\.\d+\.tmp\.json|" + re.escape(_LOCK)
)
_KEYS = {
    *("format", "generation", "settings", "dimension", "rows", "photos", "parts", "table"),
    *("lists", "files", "digest"),
}


def exists(folder: Path) -> bool:
    """Whether there is a store in a folder."""
    return (folder / DESCRIPTION).exists()


def read_store(folder: Path) -> dict[str, Any]:
    """Return what `store.json` says.

    Raises:
        UserError: there is no store, or it is damaged.
    """
    path = folder / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"there is no store of global descriptors in {folder}; fill it first"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path} ({error}); delete {folder} and fill it again"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is no store of format {FORMAT}; give another folder")
    if not content.keys() >= _KEYS or content["digest"] != _digest(content):
        raise UserError(f"{path} says something else than was written; delete {folder} and fill it")
    return content


def write_store(folder: Path, content: Mapping[str, Any]) -> None:
    """Make files the store: from this moment on readers see them."""
    content = {"format": FORMAT, **content}
    write_json(folder / DESCRIPTION, {**content, "digest": _digest(content)})


def _digest(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def writing_store(folder: Path) -> Iterator[None]:
    """Let one process at a time write a store.

    Raises:
        UserError: another process writes it, or the folder holds something else.
    """
    is_new = not folder.exists()
    if not is_new and not exists(folder) and not _is_ours(folder):
        raise UserError(f"{folder} is there already and is no store; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder} ({error.strerror})") from None
    refusal = f"another process is writing the store {folder}; run this again when it is done"
    try:
        with claim(folder / _LOCK, refusal, "put the store on a disk that has locks"):
            remove_left_overs(folder)
            yield
            remove_left_overs(folder)
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # it is not empty: there is a store now
                folder.rmdir()


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and all(_OURS.fullmatch(path.name) for path in folder.iterdir())


def remove_left_overs(folder: Path) -> None:
    """Remove files that `store.json` does not name, and what was appended in vain."""
    known = read_store(folder)["files"] if exists(folder) else {}
    for path in folder.iterdir():
        if path.name in known:
            if path.stat().st_size > known[path.name]["bytes"]:
                os.truncate(path, known[path.name]["bytes"])
        elif _OURS.fullmatch(path.name) and path.name != _LOCK:
            path.unlink()
