"""Sums of files whose host publishes none: that of the first download is remembered.

As with the known hosts of ssh the first download is trusted, and a later one that is another file
is not: in whatever folder it ends, until a person says that it is to be taken.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from src.common.archives import Damaged
from src.common.atomic_files import write_json
from src.common.digests import md5_of, sha256_of
from src.common.errors import one_line
from src.common.json_files import read_json, shaped
from src.common.locks import wait_for
from src.common.user_cache import user_cache

LOG = logging.getLogger(__name__)

KNOWN_NAME = "downloads.json"


def unverified_path(path: Path) -> Path:
    """Return where a file is kept that is not what it is said to be, so that it can be taken."""
    return path.with_name(f"{path.name}.unverified")


def take_kept(path: Path, accept: Collection[str]) -> bool:
    """Give a file that was kept its name, if it is to be taken; tell whether there is one.

    Raises:
        Damaged: there is one, and it is not to be taken.
    """
    kept = unverified_path(path)
    if not kept.is_file() or kept.is_symlink():
        return False
    if path.name not in accept:
        raise Damaged(
            f"{kept} is there, which was fetched as {path.name} and was another file than it is to "
            f"be; --accept_sum={path.name} takes it, or delete it to fetch it again"
        )
    os.replace(kept, path)
    return True


@contextlib.contextmanager
def as_first_time(
    path: Path, url: str, accept: Collection[str] = (), md5: str | None = None
) -> Iterator[None]:
    """Compare a file that was downloaded with what its address gave the first time.

    In the block it is used; when that goes well the first time, its sum is remembered.

    Args:
        path: the file.
        url: its address.
        accept: names of files that are taken whatever they were; the sum is remembered anew.
        md5: of the file, where a public record has it.

    Raises:
        Damaged: it is another file. It is kept, see `unverified_path`.
    """
    found = sha256_of(path)
    LOG.info("%s has the sha256 sum %s", path, found)
    known = _read().get(url, {})
    taken = path.name in accept
    if not taken and md5 is not None and (other := md5_of(path)) != md5:
        raise _kept(path, f"the md5 sum of {url} is {other}, and by public records {md5}")
    if not taken and known and known.get("sha256") != found:
        raise _kept(
            path,
            f"{url} has changed: its sha256 sum is {found}, and was {known.get('sha256')} when it "
            f"was first fetched ({known.get('on', 'at a day unknown')})",
        )
    yield
    if taken or not known:
        _note(url, {"sha256": found, "on": time.strftime("%Y-%m-%d")})


def _kept(path: Path, what: str) -> Damaged:
    kept = unverified_path(path)
    os.replace(path, kept)
    return Damaged(f"{what}; it is kept as {kept}, and --accept_sum={path.name} takes it")


def _path() -> Path | None:
    folder = user_cache()
    return None if folder is None else folder / KNOWN_NAME


def _read() -> dict[str, Any]:
    path = _path()
    try:
        return {} if path is None else shaped(read_json(path), dict[str, dict[str, Any]])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        LOG.warning("no sums are known: %s cannot be read (%s)", path, one_line(error))
        return {}


def _note(url: str, facts: dict[str, str]) -> None:
    path = _path()
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with wait_for(path.with_suffix(".lock"), "another download notes its sum", no_locks=None):
            write_json(path, {**_read(), url: facts})
    except OSError as error:
        LOG.warning("the sum is not remembered: %s (%s)", path, error.strerror)
