"""Fetching the data sets: Google Landmarks v2, Oxford5k and Paris6k.

Downloads resume where they stopped, are tried again with growing pauses, checked against the
published md5 sums where there are any, and unpacked. A small record beside each file, in the folder
`.download`, says what is complete, so that a second run does not read 500 GB again to find out.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import contextlib
import dataclasses
import errno
import gzip
import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import socket
import ssl
import tarfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Callable
from urllib.parse import urlsplit

from tqdm import tqdm

from src.atomic_files import write_json
from src.errors import UserError, run_command

try:
    import fcntl
except ImportError:  # there is no such module on Windows; two downloads at once are not kept apart
    fcntl = None

LOG = logging.getLogger(__name__)

GLDV2_URL = "https://s3.amazonaws.com/google-landmark"
OXFORD_URL = "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings"
PARIS_URL = "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings"

GLDV2_TABLES = (
    "train.csv",
    "train_clean.csv",
    "train_attribution.csv",
    "train_label_to_category.csv",
)
GLDV2_LAST_TAR = 499
GLDV2_TAR_BYTES = 1.07e9  # on average: 500 files, 535 GB
RECORDS = ".download"
AGAIN = "run the same command again: what is complete is kept"

CHUNK = 1 << 20
PROGRESS = 1 << 20  # bytes that must arrive for a try not to count as one more failure
LONGEST_PAUSE = 60.0
MD5_ATTEMPTS = 3
TRANSIENT_CODES = (408, 425, 429, 500, 502, 503, 504)
PHOTOS = (".jpg", ".jpeg", ".png")


class NotServed(UserError):
    """The server is there and will not hand out this file."""


class Damaged(UserError):
    """A file is not what was published."""


class _Transient(Exception):
    """A failure that may pass."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclasses.dataclass(frozen=True)
class Network:
    """How patient a download is.

    Attributes:
        timeout: seconds without a byte after which a connection counts as lost.
        retries: failures in a row, without a further megabyte, before giving up.
        backoff: seconds before the first retry; doubled each time, up to a minute.

    Raises:
        UserError: a value is out of its range.
    """

    timeout: float = 30.0
    retries: int = 6
    backoff: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.timeout < float("inf"):
            raise UserError(f"timeout is {self.timeout}; it must be above 0 seconds")
        if self.retries < 0:
            raise UserError(f"retries is {self.retries}; it must be at least 0")
        if not 0 <= self.backoff < float("inf"):
            raise UserError(f"backoff is {self.backoff}; it must be at least 0 seconds")


# --- one file over HTTP ---------------------------------------------------------------------------


def fetch(url: str, path: Path, network: Network | None = None) -> None:
    """Download `url` to `path`, going on with `path.part` where an earlier run left one.

    The bytes go to `path.part`, which takes its name when complete. With the server's ETag or date
    the rest is asked for only while the file there is still the same (RFC 9110, If-Range); a server
    that does not know ranges is read from the start.

    Raises:
        UserError: the address is wrong or out of reach, or the disk has too little room.
        NotServed: the server answers that it has no such file, or not for us.
    """
    network = network or Network()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path, ".part")
    with open(part, "ab") as file:
        try:
            _transfer_patiently(url, part, file, network)
        finally:
            if file.seek(0, os.SEEK_END) == 0:
                part.unlink()
    part.touch()  # an empty file is a file too
    os.replace(part, path)
    _validator_path(part).unlink(missing_ok=True)


def _transfer_patiently(url: str, part: Path, file: BinaryIO, network: Network) -> None:
    """Transfer, and try again after failures that may pass."""
    reached = failures = 0
    while True:
        try:
            return _transfer(url, part, file, network)
        except _Transient as error:
            size = file.seek(0, os.SEEK_END)
            failures = 1 if size >= reached + PROGRESS else failures + 1
            reached = max(reached, size)
            if failures > network.retries:
                raise UserError(
                    f"{url}: {error}; gave up after {failures} tries; {AGAIN}"
                ) from None
            pause = max(error.pause, network.backoff * 2 ** (failures - 1))
            pause = min(pause, LONGEST_PAUSE)
            LOG.warning("%s: %s; trying again in %.0f s", url, error, pause)
            time.sleep(pause)


def remote_size(url: str, network: Network) -> int | None:
    """Return the size in bytes the server names for a file, None where it names none.

    Raises:
        UserError: the server is out of reach or has no such file.
    """
    try:
        with _open(url, network.timeout, method="HEAD") as response:
            return _number(response.headers.get("Content-Length"))
    except _Transient as error:
        raise UserError(f"{url}: {error}") from None


def is_reachable(url: str, seconds: float = 5.0) -> bool:
    """Tell within about `seconds` whether a file can be fetched, name resolution included."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            remote_size(url, Network(timeout=seconds))
            answers.append(True)
        except UserError as error:
            LOG.debug("%s", error)

    # A resolver that does not answer cannot be interrupted: leave it behind in its thread.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds + 1)
    return bool(answers)


def _transfer(url: str, part: Path, file: BinaryIO, network: Network) -> None:
    """Bring `file`, open on `part`, from its present size to the whole of `url`."""
    offset = file.seek(0, os.SEEK_END)
    headers = {}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        with contextlib.suppress(FileNotFoundError):
            headers["If-Range"] = _validator_path(part).read_text(encoding="ascii")
    with _open(url, network.timeout, headers) as response:
        start, total = _content_range(response)
        if response.status == 416:  # nothing lies beyond the offset: complete, or another file
            if total == offset:
                return
            file.truncate(0)
            raise _Transient("the partial file does not fit the one on the server; starting again")
        if response.status == 206 and start != offset:
            file.truncate(0)
            raise _Transient("the server sent another range than was asked for; starting again")
        if response.headers.get_content_type() == "text/html":
            raise NotServed(f"{url}: the answer is a web page, not the file; is the address right?")
        if response.status != 206:
            file.truncate(0)
            offset = file.seek(0)
            length = _number(response.headers.get("Content-Length"))
            total = length if response.headers.get("Transfer-Encoding") is None else None
        _keep_validator(part, response)
        if total is not None:
            _check_room(part, total - offset)
        progress = tqdm(
            desc=part.stem, total=total, initial=offset, unit="B", unit_scale=True, disable=None
        )
        with progress, _naming(part):
            while total is None or offset < total:
                chunk = _read(url, response, CHUNK if total is None else min(CHUNK, total - offset))
                if not chunk:
                    break
                file.write(chunk)
                offset += len(chunk)
                progress.update(len(chunk))
            file.flush()
        if total is not None and offset != total:
            raise _Transient(f"the connection ended after {offset:,} of {total:,} bytes")


def _read(url: str, response: http.client.HTTPResponse, size: int) -> bytes:
    """Return what has arrived, at most `size` bytes; nothing at the end."""
    try:
        return response.read1(size)
    except (OSError, http.client.HTTPException) as error:
        raise _failure(url, error) from None


@contextlib.contextmanager
def _open(
    url: str, timeout: float, headers: dict[str, str] | None = None, method: str = "GET"
) -> Iterator[http.client.HTTPResponse]:
    """Open an http or https address; a 416 comes back as a response, other errors as exceptions."""
    host = _host(url)
    opener = urllib.request.OpenerDirector()  # unlike urllib's own, without file: and ftp:
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    # "identity": a server must not compress on the way, or offsets would mean something else.
    sent = {"User-Agent": "delf-download", "Accept-Encoding": "identity", **(headers or {})}
    try:
        response = opener.open(
            urllib.request.Request(url, headers=sent, method=method), timeout=timeout
        )
    except urllib.error.HTTPError as error:
        if error.code != 416:
            error.close()
            raise _failure(url, error) from None
        response = error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(url, error) from None
    _answered.add(host)
    with contextlib.closing(response):
        yield response


def _host(url: str) -> str:
    """Return the host of a web address.

    Raises:
        UserError: it is none.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return parts.hostname
    except ValueError:
        pass
    raise UserError(f"{url} is not an http or https address")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects within http and https, and never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        """Return the next request, or refuse it."""
        allowed = ("https",) if urlsplit(req.full_url).scheme == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            raise NotServed(f"{req.full_url} leads to {newurl}, which is refused as not secure")
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and req.get_method() == "HEAD":
            following.method = "HEAD"
        return following


_answered: set[str] = set()  # hosts that answered in this run: a failing name may pass


def _failure(url: str, error: BaseException) -> Exception:
    """Return what a failed request means: to be tried again, or for a person to put right."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code in TRANSIENT_CODES:
            pause = float(_number(error.headers.get("Retry-After")) or 0)
            return _Transient(f"the server answered {error.code} {error.reason}", pause)
        return NotServed(
            f"{url}: the server answered {error.code} {error.reason}; check the address or name a "
            f"mirror (--base_url), then {AGAIN}"
        )
    reason = getattr(error, "reason", error)
    host = _host(url)
    if isinstance(reason, socket.gaierror) and host not in _answered:
        return UserError(
            f"{url}: there is no way to the host {host} ({reason.strerror}); check the network or "
            f"name a mirror (--base_url), then {AGAIN}"
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UserError(f"{url}: the certificate of {host} is not valid ({reason.verify_message})")
    if isinstance(error, (ValueError, http.client.InvalidURL)):
        return UserError(f"{url} is not an http or https address ({error})")
    if isinstance(reason, socket.timeout):
        return _Transient("the server did not answer in time")
    return _Transient(
        f"the connection failed ({' '.join(str(reason).split()) or type(reason).__name__})"
    )


def _number(text: str | None) -> int | None:
    """Return a header's whole number, None for anything else."""
    return int(text) if text and re.fullmatch(r"[0-9]+", text.strip()) else None


def _content_range(response: http.client.HTTPResponse) -> tuple[int | None, int | None]:
    """Return (first byte, size of the whole file) of a Content-Range header where it names them."""
    found = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", (response.headers.get("Content-Range") or "").strip()
    )
    return (_number(found[1]), _number(found[2])) if found else (None, None)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _validator_path(part: Path) -> Path:
    return _beside(part, ".version")


def _keep_validator(part: Path, response: http.client.HTTPResponse) -> None:
    """Note what identifies this version of the file, for If-Range; weak ETags may not be used."""
    etag = response.headers.get("ETag")
    validator = etag if etag and etag.startswith('"') else response.headers.get("Last-Modified")
    if validator and validator.isascii() and validator.isprintable():
        _validator_path(part).write_text(validator, encoding="ascii")
    else:
        _validator_path(part).unlink(missing_ok=True)


def _check_room(path: Path, wanted: int) -> None:
    """Refuse a download that cannot fit."""
    free = shutil.disk_usage(path.parent).free
    if wanted > free:
        raise UserError(
            f"{path.stem} needs {wanted / 1e9:.1f} GB more and {path.parent} has "
            f"{free / 1e9:.1f} GB free; make room, then {AGAIN}"
        )


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say in the error of a full disk which file was being written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)
        raise


# --- records of what is complete ------------------------------------------------------------------


@contextlib.contextmanager
def only_process(path: Path) -> Iterator[None]:
    """Keep other processes that run this program from working on `path` meanwhile."""
    lock = _records_folder(path) / f"{path.name}.lock"
    with open(lock, "ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                LOG.info("another process is busy with %s; waiting for it", path.name)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:  # a file system without locks
                LOG.debug("%s cannot be locked: %s", lock, error)
        yield


def _records_folder(path: Path) -> Path:
    """Make the folder of records, which Git is not to look at."""
    folder = record_path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".gitignore").exists():
        (folder / ".gitignore").write_text("*\n", encoding="ascii")
    return folder


def record_path(path: Path) -> Path:
    """Return where the record of a downloaded file stands."""
    return path.parent / RECORDS / f"{path.name}.json"


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of a file: empty where there is none or it cannot be read."""
    try:
        record = json.loads(record_path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


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


def md5_of(path: Path) -> str:
    """Return the md5 sum of a file in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)  # as published; it guards against line noise only
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


# --- unpacking ------------------------------------------------------------------------------------


def unpack(
    archive: Path, folder: Path, suffixes: Sequence[str] = PHOTOS, flat: bool = False
) -> list[str]:
    """Unpack the files of a tar or tgz archive into `folder`.

    Only plain files with one of the suffixes are taken, hidden ones are not. A file that is there
    already with the same size is left alone, so an interrupted unpacking goes on; one with another
    size is kept too, and counted in a warning. Each file appears whole or not at all.

    Args:
        archive: the archive, plain or gzip.
        folder: where to.
        suffixes: endings of the files to take, in lower case.
        flat: drop the folders inside the archive.

    Returns:
        The paths of the archive's files below `folder`, in the archive's order.

    Raises:
        Damaged: the archive cannot be read to its end, or holds links, devices, paths that lead
            out of `folder` or (with `flat`) two files of one name.
    """
    names: list[str] = []
    seen: set[str] = set()
    kept = 0
    try:
        with _uncompressed(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            progress = tqdm(desc=f"unpacking {archive.name}", unit=" files", disable=None)
            with progress:
                for member in tar:
                    name = _safe_name(member, archive)
                    if name is None or name.suffix.lower() not in suffixes:
                        continue
                    relative = name.name if flat else str(name)
                    if relative in seen:
                        raise Damaged(f"{archive} holds two files called {relative}")
                    seen.add(relative)
                    names.append(relative)
                    kept += _unpack_one(tar, member, folder / relative, archive)
                    progress.update()
            while stream.read(CHUNK):  # gzip checks its sum at the very end
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Damaged(f"{archive} is damaged: {error}") from error
    if kept:
        LOG.warning("%d files in %s differ from those in %s; kept", kept, folder, archive.name)
    return names


@contextlib.contextmanager
def _uncompressed(archive: Path) -> Iterator[BinaryIO]:
    with open(archive, "rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if is_gzip:
            with gzip.open(raw) as stream:
                yield stream  # type: ignore[misc]
        else:
            yield raw


def _safe_name(member: tarfile.TarInfo, archive: Path) -> PurePosixPath | None:
    """Return the path of a plain file below the target folder, None for a folder or hidden file."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or "\0" in member.name:
        raise Damaged(f"{archive} holds the path {member.name!r}, which leads out of its folder")
    if member.isdir():
        return None
    if not member.isreg():
        raise Damaged(
            f"{archive} holds {member.name!r}, which is no plain file; it is not unpacked"
        )
    if any(part.startswith(".") for part in name.parts):
        return None
    return name


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, archive: Path) -> bool:
    """Write one file; tell whether another file of its name was there and kept."""
    try:
        return target.stat().st_size != member.size
    except FileNotFoundError:
        pass
    target.parent.mkdir(parents=True, exist_ok=True)
    # One name for the archive: what a killed run leaves behind is overwritten by the next one.
    temporary = target.parent / f".{archive.name}.part"
    with _naming(target), open(temporary, "wb") as file:
        shutil.copyfileobj(tar.extractfile(member), file, CHUNK)  # type: ignore[arg-type]
        file.flush()
        if file.tell() != member.size:
            raise EOFError(f"{member.name} is cut off")
    os.replace(temporary, target)
    return False


def _note_unpacked(archive: Path, folder: Path, names: Sequence[str]) -> None:
    """Add to the record of an archive that it was unpacked, and some files to recognise it by."""
    some = [names[0], names[len(names) // 2], names[-1]] if names else []
    record = {
        key: value for key, value in read_record(archive).items() if key not in ("size", "mtime_ns")
    }
    unpacked = {"folder": folder.name, "files": len(names), "some": some}
    write_record(archive, **{**record, "unpacked": unpacked})


def _is_unpacked(archive: Path, folder: Path) -> bool:
    """Tell whether an archive was unpacked and its files are still there.

    The archive may be gone by now; one that is there must be the one that was unpacked.
    """
    unpacked = read_record(archive).get("unpacked")
    if not isinstance(unpacked, dict) or (archive.exists() and not is_recorded(archive)):
        return False
    return all((folder / name).exists() for name in unpacked.get("some", []))


# --- the data sets --------------------------------------------------------------------------------


@dataclasses.dataclass
class Summary:
    """What a run did.

    Attributes:
        fetched: names of the files downloaded.
        complete: names of the files that were complete already.
        unpacked: archives unpacked now.
        failed: one line for each file that could not be had.
    """

    fetched: list[str] = dataclasses.field(default_factory=list)
    complete: list[str] = dataclasses.field(default_factory=list)
    unpacked: list[str] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)

    def attempt(self, path: Path, step: Callable[..., None], *arguments: Any) -> None:
        """Run step(path, …, self); a bad or missing file does not stop the others."""
        try:
            with only_process(path):
                step(path, *arguments, self)
        except (NotServed, Damaged) as error:
            LOG.error("%s", error)
            self.failed.append(str(error))

    def finish(self) -> None:
        """Report, and end with an error where files are missing."""
        LOG.info(
            "%d files fetched, %d were complete already, %d archives unpacked",
            len(self.fetched),
            len(self.complete),
            len(self.unpacked),
        )
        if self.failed:
            more = f" (and {len(self.failed) - 1} more, above)" if len(self.failed) > 1 else ""
            raise UserError(f"{len(self.failed)} files could not be had: {self.failed[0]}{more}")


def download_gldv2(
    first: int,
    last: int,
    dataset_path: Path,
    base_url: str = GLDV2_URL,
    network: Network | None = None,
    unpack_archives: bool = True,
    keep_archives: bool = True,
) -> Summary:
    """Download the training set of Google Landmarks v2 into `dataset_path`/train.

    The four tables, and for each number from `first` to `last` the archive and its md5 file. A bad
    archive does not stop the others: it is fetched again, a few times, and named at the end.

    Raises:
        UserError: the range is wrong, the server is out of reach, or files could not be had.
    """
    if not 0 <= first <= last <= GLDV2_LAST_TAR:
        raise UserError(
            f"MIN {first} and MAX {last}: both must lie in 0 … {GLDV2_LAST_TAR}, MIN not above MAX"
        )
    network = network or Network()
    base_url = base_url.rstrip("/")
    folder = _make_folder(dataset_path / "train")
    summary = Summary()
    archives = [folder / f"images_{number:03d}.tar" for number in range(first, last + 1)]

    missing = sum(not (is_recorded(tar) or _is_unpacked(tar, folder)) for tar in archives)
    packed = sum(not _is_unpacked(tar, folder) for tar in archives) if unpack_archives else 0
    kept = missing if keep_archives or not unpack_archives else min(missing, 1)
    _warn_of_space(folder, GLDV2_TAR_BYTES * (kept + packed))

    for name in GLDV2_TABLES:
        summary.attempt(folder / name, _have_table, f"{base_url}/metadata/{name}", network)
    for tar in archives:
        summary.attempt(tar, _have_gldv2_archive, base_url, network, unpack_archives, keep_archives)
    summary.finish()
    return summary


def _have_table(path: Path, url: str, network: Network, summary: Summary) -> None:
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
        fetch(url, path, network)
        summary.fetched.append(path.name)
    write_record(path, url=url)


def _have_gldv2_archive(
    tar: Path,
    base_url: str,
    network: Network,
    unpack_archives: bool,
    keep_archives: bool,
    summary: Summary,
) -> None:
    """Make sure that one archive is here, is right and is unpacked."""
    folder = tar.parent
    unpacked = _is_unpacked(tar, folder)
    if is_recorded(tar) or (unpacked and not tar.exists()):
        summary.complete.append(tar.name)
    else:
        _have_verified(tar, base_url, network, summary)
        unpacked = _is_unpacked(tar, folder)
    if unpack_archives and not unpacked:
        names = unpack(tar, folder)
        _note_unpacked(tar, folder, names)
        summary.unpacked.append(tar.name)
        LOG.info("%s: %d photos", tar.name, len(names))
        unpacked = True
    if unpacked and not keep_archives and tar.exists():
        tar.unlink()


def _have_verified(tar: Path, base_url: str, network: Network, summary: Summary) -> None:
    """Make sure of an archive whose md5 sum is published; a bad one is fetched again."""
    url = f"{base_url}/train/{tar.name}"
    sum_path = tar.with_name(f"md5.{tar.stem}.txt")
    sum_url = f"{base_url}/md5sum/train/{sum_path.name}"
    wanted = _published_md5(sum_path) or _fetch_md5(sum_url, sum_path, network)
    was_there = tar.exists()
    for attempt in range(MD5_ATTEMPTS + was_there):
        if attempt or not was_there:
            fetch(url, tar, network)
        found = md5_of(tar)
        if found != wanted:  # the sum itself may be the bad one
            wanted = _fetch_md5(sum_url, sum_path, network)
        if found == wanted:
            known = read_record(tar)
            same = ("unpacked",) if known.get("md5") == found else ()
            write_record(tar, url=url, md5=found, **{k: known[k] for k in same if k in known})
            (summary.fetched if attempt or not was_there else summary.complete).append(tar.name)
            return
        LOG.warning("%s: the md5 sum is %s, not %s", tar, found, wanted)
        if attempt == 0 and was_there:  # perhaps only cut off: go on from where it ends
            os.replace(tar, _beside(tar, ".part"))
        else:
            tar.unlink()
    raise Damaged(f"{url}: the md5 sum was wrong {MD5_ATTEMPTS} times; {AGAIN}")


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


@dataclasses.dataclass(frozen=True)
class Archive:
    """An archive of a data set: its name at the source, the folder it fills, what to take."""

    name: str
    folder: str
    suffixes: tuple[str, ...]


OXFORD = (
    Archive("oxbuild_images-v1.tgz", "oxbuild_images", PHOTOS),
    Archive("gt_files_170407.tgz", "gt_files_170407", (".txt",)),
)
PARIS = (
    Archive("paris_1-v1.tgz", "paris6k_images", PHOTOS),
    Archive("paris_2-v1.tgz", "paris6k_images", PHOTOS),
    Archive("paris_120310.tgz", "paris_120310", (".txt",)),
)
OXFORD_BYTES, PARIS_BYTES = 2.0e9, 2.6e9


def download_oxford(
    dataset_path: Path,
    base_url: str = OXFORD_URL,
    network: Network | None = None,
    keep_archives: bool = True,
) -> Summary:
    """Download Oxford5k: `oxbuild_images` and `gt_files_170407` in `dataset_path`.

    Raises:
        UserError: the server is out of reach, or files could not be had.
    """
    summary = _have_archives(
        OXFORD, dataset_path, base_url, network or Network(), keep_archives, OXFORD_BYTES
    )
    summary.finish()
    return summary


def download_paris(
    dataset_path: Path,
    base_url: str = PARIS_URL,
    network: Network | None = None,
    keep_archives: bool = True,
) -> Summary:
    """Download Paris6k: `paris6k_images` (one flat folder) and `paris_120310` in `dataset_path`.

    The photos that are damaged at the source stay with the others, so that the set is the one all
    published figures are about; their list is kept as `paris_corrupt.txt` and reported.

    Raises:
        UserError: the server is out of reach, or files could not be had.
    """
    network = network or Network()
    summary = _have_archives(PARIS, dataset_path, base_url, network, keep_archives, PARIS_BYTES)
    _report_damaged_photos(dataset_path, base_url.rstrip("/"), network, summary)
    summary.finish()
    return summary


def _have_archives(
    archives: Sequence[Archive],
    dataset_path: Path,
    base_url: str,
    network: Network,
    keep_archives: bool,
    size: float,
) -> Summary:
    """Fetch and unpack what is not there yet."""
    dataset_path = _make_folder(dataset_path)
    base_url = base_url.rstrip("/")
    summary = Summary()
    if not all(_is_unpacked(dataset_path / a.name, dataset_path / a.folder) for a in archives):
        _warn_of_space(dataset_path, 2 * size)
    for archive in archives:
        summary.attempt(
            dataset_path / archive.name, _have_archive, archive, base_url, network, keep_archives
        )
    return summary


def _have_archive(
    path: Path,
    archive: Archive,
    base_url: str,
    network: Network,
    keep_archives: bool,
    summary: Summary,
) -> None:
    """Fetch and unpack one archive. One that a person put there is used as it is."""
    folder, url = path.parent / archive.folder, f"{base_url}/{archive.name}"
    if _is_unpacked(path, folder):
        summary.complete.append(path.name)
    else:
        was_there = path.exists()
        if not was_there:
            fetch(url, path, network)
            write_record(path, url=url)
        try:
            names = unpack(path, folder, archive.suffixes, flat=True)
        except Damaged as error:
            if was_there and not is_recorded(path):
                raise Damaged(f"{error}; delete it, then {AGAIN}") from error
            path.unlink()  # our own download: do not trip over it again
            raise Damaged(f"{error}; it was removed, {AGAIN}") from error
        _note_unpacked(path, folder, names)
        (summary.complete if was_there else summary.fetched).append(path.name)
        summary.unpacked.append(path.name)
        LOG.info("%s: %d files in %s", path.name, len(names), folder)
    if not keep_archives and path.exists():
        path.unlink()


def _report_damaged_photos(
    dataset_path: Path, base_url: str, network: Network, summary: Summary
) -> None:
    """Fetch the list of photos known to be damaged at the source and say which are here."""
    path = dataset_path / "paris_corrupt.txt"
    try:
        if not path.exists():
            fetch(f"{base_url}/corrupt.txt", path, network)
            summary.fetched.append(path.name)
    except NotServed as error:
        LOG.warning("no list of damaged photos: %s", error)
        return
    listed = path.read_text(encoding="utf-8", errors="replace").split()
    photos = [PurePosixPath(name).name for name in listed]
    here = [name for name in photos if (dataset_path / "paris6k_images" / name).exists()]
    if here:
        LOG.warning(
            "%d photos are damaged at the source (listed in %s): %s",
            len(here),
            path,
            ", ".join(here),
        )


def _make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"the folder {path} may not be written to; choose another one")
    return path


def _warn_of_space(folder: Path, wanted: float) -> None:
    """Warn before the start where the disk will not do."""
    free = shutil.disk_usage(folder).free
    if wanted > free:
        LOG.warning(
            "about %.1f GB are needed in %s and %.1f GB are free; a full disk will stop it",
            wanted / 1e9,
            folder,
            free / 1e9,
        )


# --- command line ---------------------------------------------------------------------------------


def yes_or_no(text: str) -> bool:
    """Read a switch from the environment or the command line.

    Raises:
        ValueError: it is neither yes nor no.
    """
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _switch(parser: argparse.ArgumentParser, name: str, variable: str, text: str) -> None:
    """Add --name / --no-name; the environment variable gives the default."""
    parser.add_argument(
        f"--{name}", action="store_true", help=f"{text} (or {variable}=1; the default)"
    )
    parser.add_argument(f"--no-{name}", dest=name, action="store_false", help=f"or {variable}=0")
    given = os.environ.get(variable, "1")
    try:
        parser.set_defaults(**{name: yes_or_no(given)})
    except ValueError as error:
        parser.error(f"{variable}: {error}")


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    defaults = Network()
    common.add_argument(
        "--timeout", type=float, default=defaults.timeout, help="seconds of silence"
    )
    common.add_argument(
        "--retries", type=int, default=defaults.retries, help="tries after a failure"
    )
    common.add_argument(
        "--backoff", type=float, default=defaults.backoff, help="first pause, seconds"
    )
    _switch(common, "keep_archives", "DELF_KEEP_ARCHIVES", "keep archives once they are unpacked")

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    gldv2 = commands.add_parser("gldv2", parents=[common], help="Google Landmarks v2, training set")
    gldv2.add_argument("first", type=int, metavar="MIN", help="number of the first archive, from 0")
    gldv2.add_argument(
        "last", type=int, metavar="MAX", help="number of the last archive, up to 499"
    )
    _switch(gldv2, "unpack", "DELF_UNPACK", "unpack the archives")
    oxford = commands.add_parser("oxford", parents=[common], help="Oxford5k")
    paris = commands.add_parser("paris", parents=[common], help="Paris6k")
    for command, url in ((gldv2, GLDV2_URL), (oxford, OXFORD_URL), (paris, PARIS_URL)):
        variable = f"DELF_{command.prog.split()[-1].upper()}_URL"
        command.add_argument("dataset_path", type=Path, metavar="DATASET_PATH", help="folder")
        command.add_argument(
            "--base_url",
            default=os.environ.get(variable) or url,
            help=f"address of a mirror (or {variable}; now %(default)s)",
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Download a data set."""
    options = _parser().parse_args(arguments)
    network = Network(options.timeout, options.retries, options.backoff)
    if options.command == "gldv2":
        download_gldv2(
            options.first,
            options.last,
            options.dataset_path,
            options.base_url,
            network,
            options.unpack,
            options.keep_archives,
        )
        return
    download = download_oxford if options.command == "oxford" else download_paris
    download(options.dataset_path, options.base_url, network, options.keep_archives)


if __name__ == "__main__":
    run_command(main)
