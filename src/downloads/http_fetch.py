"""One file over HTTP: resumed where it stopped, tried again with growing pauses."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import http.client
import logging
import os
import re
import shutil
import socket
import ssl
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from src.common.atomic_files import PLAIN_ONLY, write_bytes
from src.common.errors import UserError, naming_file
from src.common.progress import progress_bar

LOG = logging.getLogger(__name__)

AGAIN = "run the same command again: what is complete is kept"
CHUNK = 1 << 20
PROGRESS = 1 << 20  # bytes that must arrive for a try not to count as one more failure
LONGEST_PAUSE = 60.0
TRANSIENT_CODES = (408, 425, 429, 500, 502, 503, 504)


class NotServed(UserError):
    """The server is there and will not hand out this file."""


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
    part = part_path(path)
    with _open_part(part) as file:
        try:
            _transfer_patiently(url, part, file, network)
        except BaseException:
            if file.seek(0, os.SEEK_END) == 0:
                part.unlink()
            raise
    os.replace(part, path)
    _validator_path(part).unlink(missing_ok=True)


def _open_part(part: Path) -> BinaryIO:
    """Open what has arrived so far, to write behind it; it is made where there is nothing.

    Its name is known to all, so that a later run goes on with it: in a folder that others may write
    to it may be a link, by which we would write somewhere else.
    """
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND | PLAIN_ONLY, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):  # a link, a pipe
            raise
        raise _foreign(part) from None
    file = os.fdopen(descriptor, "ab")
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        file.close()
        raise _foreign(part)
    return file


def _foreign(part: Path) -> UserError:
    return UserError(
        f"{part} is a link or no file, so nothing is downloaded through it; remove it, then {AGAIN}"
    )


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
        with contextlib.suppress(FileNotFoundError, ValueError):
            headers["If-Range"] = _validator(part)
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
        bar = progress_bar(f"fetching {part.stem}", total, "B", offset, scaled=True)
        with bar, naming_file(part):
            while total is None or offset < total:
                chunk = _read(url, response, CHUNK if total is None else min(CHUNK, total - offset))
                if not chunk:
                    break
                file.write(chunk)
                offset += len(chunk)
                bar.update(len(chunk))
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


def part_path(path: Path) -> Path:
    """Return where `fetch` keeps what has arrived of `path` so far."""
    return path.with_name(f"{path.name}.part")


def _validator_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _validator(part: Path) -> str:
    """Return what identifies the version of the file of which a part is here."""
    path = _validator_path(part)
    if path.is_symlink():
        raise _foreign(path)
    return path.read_text(encoding="ascii")


def _keep_validator(part: Path, response: http.client.HTTPResponse) -> None:
    """Note what identifies this version of the file, for If-Range; weak ETags may not be used."""
    etag = response.headers.get("ETag")
    validator = etag if etag and etag.startswith('"') else response.headers.get("Last-Modified")
    if validator and validator.isascii() and validator.isprintable():
        write_bytes(_validator_path(part), validator.encode("ascii"), durable=False)
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
