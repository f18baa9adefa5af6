"""The files of a store in a folder: which belong to it, and who may write them.

`store.json` names them, with the sums of their blocks and a digest of itself, and is replaced last,
in one step: a program killed at any moment leaves the store as it was. Files carry the number of
the generation that made them; what killed programs left is removed by the next one that writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.common.atomic_files import temporary_pattern, write_json
from src.common.errors import UserError, raise_if_of_system
from src.common.json_files import read_json
from src.index.owned_folder import OwnedFolder, digest_of

DESCRIPTION = "store.json"
FORMAT = 1
_FILES = (
    r"(vectors|names|rows|live)-\d+\.bin|trained-\d+\.faiss|lists-\d+-\d+\.bin|"
    + temporary_pattern("store", ".json")
)
_KEYS = {
    *("format", "generation", "settings", "dimension", "rows", "photos", "parts", "table"),
    *("lists", "files", "digest"),
}


def read_store(folder: Path) -> dict[str, Any]:
    """Return what `store.json` says.

    Raises:
        UserError: there is no store, or it is damaged.
    """
    path = folder / DESCRIPTION
    try:
        content = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"there is no store of global descriptors in {folder}; fill it first"
        ) from None
    except (OSError, ValueError) as error:
        raise_if_of_system(error, path)
        raise UserError(
            f"cannot read {path} ({error}); delete {folder} and fill it again"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is no store of format {FORMAT}; give another folder")
    if not content.keys() >= _KEYS or content["digest"] != digest_of(content):
        raise UserError(f"{path} says something else than was written; delete {folder} and fill it")
    return content


def write_store(folder: Path, content: Mapping[str, Any]) -> None:
    """Make files the store: from this moment on readers see them."""
    content = {"format": FORMAT, **content}
    write_json(folder / DESCRIPTION, {**content, "digest": digest_of(content)})


#: Folders of a store; `STORE.writing` lets one process at a time write one.
STORE = OwnedFolder("store", DESCRIPTION, "store.lock", _FILES, read_store)
