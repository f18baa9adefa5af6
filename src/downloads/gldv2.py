"""The training set of Google Landmarks v2: four tables and 500 archives with their md5 sums."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection
from pathlib import Path

from src.common.archives import Damaged, unpack_tar
from src.common.digests import md5_of
from src.common.errors import UserError
from src.downloads.archives import PHOTOS, is_unpacked, note_unpacked
from src.downloads.http_fetch import AGAIN, Network, fetch, part_path, remote_size
from src.downloads.known_sums import as_first_time, take_kept, unverified_path
from src.downloads.records import is_recorded, read_record, write_record
from src.downloads.summary import Summary, make_folder, warn_of_space

LOG = logging.getLogger(__name__)

URL = "https://s3.amazonaws.com/google-landmark"

TABLES = (
    "train.csv",
    "train_clean.csv",
    "train_attribution.csv",
    "train_label_to_category.csv",
)
LAST_TAR = 499
TAR_BYTES = 1.07e9  # on average: 500 files, 535 GB
MD5_ATTEMPTS = 3


def download_gldv2(
    first: int,
    last: int,
    dataset_path: Path,
    base_url: str = URL,
    network: Network | None = None,
    unpack_archives: bool = True,
    keep_archives: bool = True,
    accept: Collection[str] = (),
) -> Summary:
    """Download the training set of Google Landmarks v2 into `dataset_path`/train.

    The four tables, and for each number from `first` to `last` the archive and its md5 file. A bad
    archive does not stop the others: it is fetched again, a few times, and named at the end. Those
    in `accept` are taken whatever their sums are.

    Raises:
        UserError: the range is wrong, the server is out of reach, or files could not be had.
    """
    if not 0 <= first <= last <= LAST_TAR:
        raise UserError(
            f"MIN {first} and MAX {last}: both must lie in 0 … {LAST_TAR}, MIN not above MAX"
        )
    network = network or Network()
    base_url = base_url.rstrip("/")
    folder = make_folder(dataset_path / "train")
    summary = Summary()
    archives = [folder / f"images_{number:03d}.tar" for number in range(first, last + 1)]

    missing = sum(not (is_recorded(tar) or is_unpacked(tar, folder)) for tar in archives)
    packed = sum(not is_unpacked(tar, folder) for tar in archives) if unpack_archives else 0
    kept = missing if keep_archives or not unpack_archives else min(missing, 1)
    warn_of_space(folder, TAR_BYTES * (kept + packed))

    for name in TABLES:
        summary.attempt(folder / name, _have_table, f"{base_url}/metadata/{name}", network, accept)
    how = (base_url, network, unpack_archives, keep_archives, accept)
    for tar in archives:
        summary.attempt(tar, _have_gldv2_archive, *how)
    summary.finish()
    return summary


def _have_table(
    path: Path, url: str, network: Network, accept: Collection[str], summary: Summary
) -> None:
    """Make sure of a file for which no sum is published."""
    if is_recorded(path):
        summary.complete.append(path.name)
        return
    if path.exists():  # brought by other means: complete if it is as large as the server's
        size, wanted = path.stat().st_size, None
        try:
            wanted = remote_size(url, network)
        except UserError as error:
            LOG.warning("%s is used as it is: %s", path, error)
        if wanted is not None and size != wanted:
            raise Damaged(
                f"{path} has {size:,} bytes and the one at {url} {wanted:,}; move it away, then "
                f"{AGAIN}"
            )
        summary.complete.append(path.name)
    else:
        if not take_kept(path, accept):
            fetch(url, path, network)
        with as_first_time(path, url, accept):
            summary.fetched.append(path.name)
    write_record(path, url=url)


def _have_gldv2_archive(
    tar: Path,
    base_url: str,
    network: Network,
    unpack_archives: bool,
    keep_archives: bool,
    accept: Collection[str],
    summary: Summary,
) -> None:
    """Make sure that one archive is here, is right and is unpacked."""
    folder = tar.parent
    unpacked = is_unpacked(tar, folder)
    if is_recorded(tar) or (unpacked and not tar.exists()):
        summary.complete.append(tar.name)
    else:
        _have_verified(tar, base_url, network, accept, summary)
        unpacked = is_unpacked(tar, folder)
    if unpack_archives and not unpacked:
        names = unpack_tar(tar, folder, PHOTOS)
        note_unpacked(tar, folder, names)
        summary.unpacked.append(tar.name)
        LOG.info("%s: %d photos", tar.name, len(names))
        unpacked = True
    if unpacked and not keep_archives and tar.exists():
        tar.unlink()


def _have_verified(
    tar: Path, base_url: str, network: Network, accept: Collection[str], summary: Summary
) -> None:
    """Make sure of an archive whose md5 sum is published; a bad one is fetched again.

    The published sum itself may be out of date. A file that arrives the same `MD5_ATTEMPTS` times
    is no bad line's doing: it is kept under a name that says so, and taken when it is accepted.
    """
    url = f"{base_url}/train/{tar.name}"
    sum_path = tar.with_name(f"md5.{tar.stem}.txt")
    sum_url = f"{base_url}/md5sum/train/{sum_path.name}"
    was_there = tar.exists()
    if tar.name in accept:
        if not was_there and not take_kept(tar, accept):
            fetch(url, tar, network)
        found = md5_of(tar)
        LOG.warning("%s is taken with the md5 sum %s, as --accept_md5 says", tar, found)
        _note(tar, url, found, was_there, summary)
        return
    kept = unverified_path(tar)
    wanted = _published_md5(sum_path) or _fetch_md5(sum_url, sum_path, network)
    if kept.is_file() and not was_there:
        found, wanted = md5_of(kept), _fetch_md5(sum_url, sum_path, network)
        if found != wanted:
            raise _stale(tar, url, found, wanted)
        os.replace(kept, tar)
    arrived: list[str] = []
    for attempt in range(MD5_ATTEMPTS + was_there):
        if not tar.exists():
            fetch(url, tar, network)
        found = md5_of(tar)
        if found != wanted:  # the sum itself may be the bad one
            wanted = _fetch_md5(sum_url, sum_path, network)
        if found == wanted:
            _note(tar, url, found, was_there and not attempt, summary)
            return
        LOG.warning("%s: the md5 sum is %s, not %s", tar, found, wanted)
        if attempt == 0 and was_there:  # perhaps only cut off: go on from where it ends
            os.replace(tar, part_path(tar))
            continue
        arrived.append(found)
        if len(arrived) == MD5_ATTEMPTS and len(set(arrived)) == 1:
            os.replace(tar, kept)
            raise _stale(tar, url, found, wanted)
        tar.unlink()
    raise Damaged(f"{url}: the md5 sum was wrong {MD5_ATTEMPTS} times; {AGAIN}")


def _note(tar: Path, url: str, found: str, was_there: bool, summary: Summary) -> None:
    """Note that an archive is right, and that its photos are there if that was noted of it."""
    known = read_record(tar)
    same = ("unpacked",) if known.get("md5") == found else ()
    write_record(tar, url=url, md5=found, **{k: known[k] for k in same if k in known})
    (summary.complete if was_there else summary.fetched).append(tar.name)


def _stale(tar: Path, url: str, found: str, wanted: str) -> Damaged:
    return Damaged(
        f"{url}: the md5 sum was {found} {MD5_ATTEMPTS} times, not {wanted} as published, which "
        f"may be out of date; the file is kept as {unverified_path(tar)}, and "
        f"--accept_md5={tar.name} takes it"
    )


def _published_md5(path: Path) -> str | None:
    """Return the sum in an md5 file, None where the file is missing or holds none."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    return found[0].lower() if found else None


def _fetch_md5(url: str, path: Path, network: Network) -> str:
    """Fetch an md5 file, anew where one is there, and return its sum."""
    fetch(url, path, network)
    published = _published_md5(path)
    if published is None:
        path.unlink()
        raise Damaged(f"{url} holds no md5 sum; {AGAIN}")
    return published
