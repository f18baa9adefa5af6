"""Copying between a bucket and this host, by ModelArts' moxing."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

from model_utils.data_archives import find_archives, unpack_beside
from model_utils.host_lock import exclusive, make_folder, state_folder
from src.common.atomic_files import write_json
from src.common.errors import UserError, one_line

LOG = logging.getLogger(__name__)


def copy_folder(moxing: ModuleType, source: str, target: str) -> None:
    """Copy what is in one folder into another; raise `UserError` where that fails."""
    LOG.info("copying %s to %s", source, target)
    try:
        moxing.file.copy_parallel(source, target)
    except Exception as error:  # moxing raises whatever its parts raise
        raise UserError(
            f"copying {source} to {target} failed ({one_line(error)}); "
            "check that it exists, the rights of the job, and the space"
        ) from error


def bring(moxing: ModuleType, url: str, folder: Path, unpacked: bool) -> None:
    """Copy a folder of the bucket to this host unless that was done; unpack its archives.

    The note `copied.json` holds the `url`, the names that were in the folder `before`, those that
    the copy brought (`names`), whether it is `complete`, and the `archives` still to unpack. Names
    are those at the top of the folder. Files that were there before the first copy are never
    removed.

    Raises:
        UserError: the copy fails, or an archive is damaged or unsafe (see `unpack_beside`).
    """
    note_path = state_folder(folder) / "copied.json"
    with exclusive(folder, f"copying {url} to {folder}"):
        make_folder(folder)
        note = read_note(note_path)
        if note.get("url") != url:
            if note:
                note["complete"] = False  # nor is it when the removal is interrupted
                write_json(note_path, note)
                _remove_earlier(folder, note)
            note = {"url": url, "before": sorted(os.listdir(folder)), "complete": False}
        elif not set(note.get("names", ())) <= set(os.listdir(folder)):
            note["complete"] = False  # somebody emptied the folder
        if not note["complete"]:
            write_json(note_path, note)
            copy_folder(moxing, url, str(folder))
            note["complete"] = True
            note["archives"] = find_archives(folder) if unpacked else []
            _write_note(note_path, note, folder)
        while note["archives"]:
            archive = folder / note["archives"][0]
            LOG.info("unpacking %s", archive)
            unpack_beside(archive)
            del note["archives"][0]
            _write_note(note_path, note, folder)


def read_note(path: Path) -> dict[str, Any]:
    """Return a note that was written earlier, {} where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _write_note(path: Path, note: dict[str, Any], folder: Path) -> None:
    note["names"] = sorted(set(os.listdir(folder)) - set(note["before"]))
    write_json(path, note)


def _remove_earlier(folder: Path, note: dict[str, Any]) -> None:
    """Remove what was copied here from another URL: old and new shards must not mix."""
    present = set(os.listdir(folder))
    names = set(note.get("names", present - set(note["before"])))  # none yet: the copy was cut off
    LOG.info("%s holds a copy of %s; removing that", folder, note["url"])
    for name in sorted(names & present):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
