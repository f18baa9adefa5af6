"""The folder of a data set: who writes to it, what it was built from, when it is whole.

`dataset.json` is written last, so that it marks a whole set. What a build has written so far lies
in a sub-folder of its own, with the plan it was written by; the next build goes on from there.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from src.common.atomic_files import write_json, write_text
from src.common.digests import sha256_of
from src.common.durable import to_disk
from src.common.errors import UserError
from src.common.json_files import read_json, read_shape, shaped
from src.common.locks import claim
from src.shards.inventory import RELABELING, SPLITS, count_classes
from src.shards.manifest import FORMAT, MANIFEST, WORK, ManifestFile

LOG = logging.getLogger(__name__)

_LOCK = "lock"
_PLAN = "plan.json"


@contextlib.contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """Make the folder a build works in, and hold its lock; remove it where nothing is left.

    Raises:
        UserError: another build works there, or the folder cannot be written to.
    """
    work = output / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
        if not os.access(work, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"cannot write to {output}: {error.strerror}") from error
    try:
        refusal = f"another build is writing to {output}; wait for it"
        with claim(work / _LOCK, refusal, "choose an --output_directory on a disk that has locks"):
            yield work
    finally:
        with contextlib.suppress(OSError):  # what is unfinished stays for the next build
            work.rmdir()


def clear_remains(work: Path, plan: dict[str, Any]) -> None:
    """Remove what an interrupted build has left in the work folder and this one cannot use.

    Args:
        work: the work folder.
        plan: identifies what is to be written; what was written by the same plan is kept.
    """
    path = work / _PLAN
    same = path.exists() and path.read_text(encoding="utf-8") == json.dumps(plan)
    for old in sorted(work.iterdir()):
        if old.is_dir():  # a shard that was being written
            shutil.rmtree(old)
        elif not same and ".mindrecord" in old.name:
            LOG.info("removing %s: an interrupted build with other settings left it", old)
            old.unlink()
    if not same:
        write_text(path, json.dumps(plan))


def write_manifest(
    work: Path, settings: dict[str, Any], counts: dict[str, int], shards: dict[str, int]
) -> dict[str, Any]:
    """Write the manifest into the work folder: all shards are there now.

    Args:
        work: the work folder.
        settings: what the shards were built from.
        counts: numbers of photos and classes.
        shards: number of photos in each shard.

    Returns:
        What the manifest holds.
    """
    manifest = {
        "format": FORMAT,
        "settings": settings,
        "counts": counts,
        "shards": shards,
        "sha256": {
            name: sha256_of(work / name)
            for name in (RELABELING, *(f"{shard}.db" for shard in shards))
        },
    }
    write_json(work / MANIFEST, manifest)
    to_disk(work / MANIFEST)
    return manifest


def finish_moving(work: Path, output: Path) -> None:
    """Move a whole data set from the work folder to its place, the manifest last."""
    if not (work / MANIFEST).exists():
        return
    try:
        shards = read_shape(work / MANIFEST, ManifestFile).shards
    except ValueError as error:
        raise UserError(
            f"{work / MANIFEST} is damaged ({error}); remove {work}, and move the shards in "
            f"{output} away, to build again"
        ) from error
    _refuse_foreign(output, shards)
    files = [file for name in shards for file in (f"{name}.db", name)]
    for name in (*files, RELABELING):
        if (work / name).exists():
            os.replace(work / name, output / name)
    # What the manifest lists has to be there before it says so.
    for name in (*files, RELABELING):
        if not (output / name).exists():
            raise UserError(
                f"{name} went away while the data set was moved to {output}; remove {work}, and "
                f"move the shards in {output} away, to build again"
            )
    to_disk(output)
    with contextlib.suppress(FileNotFoundError):
        (work / _PLAN).unlink()
    os.replace(work / MANIFEST, output / MANIFEST)


def read_complete(output: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of a whole data set with the same settings, None where there is none.

    Raises:
        UserError: the folder holds another data set, or one that is no longer whole.
    """
    path = output / MANIFEST
    if not path.exists():
        _refuse_foreign(output)
        return None
    try:
        manifest = read_json(path)
        found = shaped(manifest, ManifestFile).settings
        if not found:
            raise ValueError("it says no settings")
    except ValueError as error:
        raise UserError(
            f"{path} was not written by this program; choose another --output_directory"
        ) from error
    changed = [
        f"{key} was {found.get(key)!r}, now {value!r}"
        for key, value in settings.items()
        if found.get(key) != value
    ]
    if changed:
        raise UserError(
            f"{output} holds a data set built with other settings ({'; '.join(changed)}); choose "
            "another --output_directory, or move the old files away"
        )
    try:
        count_classes(output)
    except UserError as error:
        raise UserError(f"{error}. To build it again, move what is left and {path} away") from error
    return manifest


def _refuse_foreign(output: Path, ours: Iterable[str] = ()) -> None:
    """Refuse an output folder that holds shards this program has not written or not finished."""
    ours = set(ours)
    for split in SPLITS:
        for path in sorted(output.glob(f"{split}.mindrecord*")):
            if path.name not in ours and path.name[: -len(".db")] not in ours:
                raise UserError(
                    f"{output} holds {path.name}, and no {MANIFEST} that says what built it; "
                    "choose another --output_directory, or move the old files away"
                )
