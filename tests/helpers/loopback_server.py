"""A small HTTP server on the loopback address that can misbehave, for the tests of downloads."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclasses.dataclass
class Resource:
    """A file on the server.

    Attributes:
        bodies: the bytes of the file; with several, each full or partial answer to a GET uses the
            next one, and the last one stays.
        statuses: codes to answer with before the file is served at all.
        drop_after: for each of the next answers, close the connection after that many bytes.
        ranges: whether Range is understood.
        range_shift: answer with a range that begins that many bytes off the one asked for.
        etag: the version named to the client; None for a server that names none.
        content_type: what the server says the file is.
        location: answer with a redirect to here.
        bytes_per_second: serve slowly.
    """

    bodies: list[bytes]
    statuses: list[int] = dataclasses.field(default_factory=list)
    drop_after: list[int] = dataclasses.field(default_factory=list)
    ranges: bool = True
    range_shift: int = 0
    etag: str | None = '"1"'
    content_type: str = "application/octet-stream"
    location: str | None = None
    bytes_per_second: float | None = None


@dataclasses.dataclass
class Request:
    """What a client asked for, and how much it was sent."""

    method: str
    path: str
    range: str | None
    status: int
    sent: int


class LoopbackServer:
    """`with LoopbackServer() as server:` serves `server.files`, noting `server.requests`."""

    def __init__(self) -> None:
        self.files: dict[str, Resource] = {}
        self.requests: list[Request] = []
        owner = self

        class Handler(_Handler):
            server_owner = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, path: str, *bodies: bytes, **how: object) -> Resource:
        self.files[path] = Resource(list(bodies), **how)  # type: ignore[arg-type]
        return self.files[path]

    def asked(self, path: str, method: str = "GET") -> list[Request]:
        """The requests for a file, oldest first."""
        return [r for r in self.requests if r.path == path and r.method == method]

    def __enter__(self) -> LoopbackServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_owner: LoopbackServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def _answer(self, send_body: bool) -> None:
        request = Request(self.command, self.path, self.headers.get("Range"), 0, 0)
        self.server_owner.requests.append(request)
        resource = self.server_owner.files.get(self.path)
        if resource is None:
            return self._status(request, 404)
        if resource.location is not None:
            return self._status(request, 302, Location=resource.location)
        if resource.statuses and send_body:
            return self._status(request, resource.statuses.pop(0))
        bodies = resource.bodies
        body = bodies.pop(0) if len(bodies) > 1 and send_body else bodies[0]

        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", request.range or "")
        version = self.headers.get("If-Range")
        if wanted and resource.ranges and version in (None, resource.etag):
            start = int(wanted[1])
            if start >= len(body):
                return self._status(request, 416, **{"Content-Range": f"bytes */{len(body)}"})
            start += resource.range_shift
        request.status = 206 if start else 200
        self.send_response(request.status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Content-Type", resource.content_type)
        if resource.etag:
            self.send_header("ETag", resource.etag)
        self.end_headers()
        if send_body:
            end = len(body)
            if resource.drop_after:
                end = min(end, start + resource.drop_after.pop(0))
            self._send(request, memoryview(body)[start:end], resource.bytes_per_second)
        return None

    def _send(self, request: Request, data: memoryview, speed: float | None) -> None:
        step = max(1, int(speed / 50)) if speed else 1 << 16
        try:
            for position in range(0, len(data), step):
                self.wfile.write(data[position : position + step])
                request.sent += len(data[position : position + step])
                if speed:
                    time.sleep(0.02)
        except OSError:  # the client was killed
            self.close_connection = True

    def _status(self, request: Request, status: int, **headers: str) -> None:
        request.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
