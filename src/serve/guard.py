"""Who may call: the host that is named, the page that calls, the token; and what browsers may do.

* Another site can make a browser send requests here. By a name of its own that points to this
  machine (DNS rebinding) it could read what comes back: only our own names and addresses are heard.
  By our name it cannot read, but it could ask: requests that a browser says come from elsewhere are
  refused, whatever they ask for.
* At another address than this machine's own a token is needed: as `Authorization: Bearer TOKEN`, or
  once as `?token=TOKEN`, which the page's address has; a cookie keeps it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.serve.settings import Reach

COOKIE = "delf_token"
_OURS = ("same-origin", "none")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Guard:
    """Lets those requests through that may be answered; a layer around the application."""

    def __init__(self, app: ASGIApp, reach: Reach):
        self._app = app
        self._reach = reach

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # nothing of ours
        headers = {name.decode("latin-1"): _text(value) for name, value in scope["headers"]}
        refused = self._foreign(scope, headers)
        if refused:
            await _answer(send, 403, {"error": refused})
            return
        query = parse_qs(_text(scope["query_string"]), keep_blank_values=True)
        if self._reach.token and not self._may(headers):
            if scope["method"] == "GET" and self._is_token(query.get("token", [""])[-1]):
                await self._remember(scope, query, send)
                return
            await _answer(
                send,
                401,
                {"error": "a token is needed; open the address that was printed at the start"},
                {"www-authenticate": "Bearer"},
            )
            return
        await self._app(scope, receive, _with_headers(send))

    def _foreign(self, scope: Scope, headers: dict[str, str]) -> str:
        """Return why a request is none of ours, "" where it is."""
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
            origin = urlsplit(headers["origin"]).netloc if "origin" in headers else host
        except ValueError:
            name = origin = ""
        if not name or not self._reach.knows(name):
            return "this is no name of this server; use the address that was printed at the start"
        is_link = (scope["method"], scope["path"]) == ("GET", "/") and (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )
        is_ours = headers.get("sec-fetch-site", "none") in _OURS or is_link
        if not is_ours or origin.lower() != host.lower():
            return "the request comes from another site"
        return ""

    def _may(self, headers: dict[str, str]) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(token.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(
            cookie.value.encode(), self._kept().encode()
        )

    def _is_token(self, token: str) -> bool:
        """Compare in a time that tells nothing of where a guess is wrong, nor how long it is."""
        digests = [hashlib.sha256(text.encode()).digest() for text in (token, self._reach.token)]
        return hmac.compare_digest(*digests)

    def _kept(self) -> str:
        """Return what the cookie holds: something that follows from the token."""
        return hmac.new(self._reach.token.encode(), b"cookie of the page", "sha256").hexdigest()

    async def _remember(self, scope: Scope, query: dict[str, list[str]], send: Send) -> None:
        """Keep the token in a cookie, and take it out of the address."""
        rest = urlencode({name: values for name, values in query.items() if name != "token"}, True)
        # Only the path that was asked for: `//elsewhere` would be another site.
        path = "/" + scope["path"].lstrip("/\\")
        place = path.encode("utf-8", "replace").decode("latin-1") + (f"?{rest}" if rest else "")
        place = "/" if not place.isascii() or not place.isprintable() else place
        cookie = f"{COOKIE}={self._kept()}; HttpOnly; SameSite=Lax; Path=/"
        await _answer(send, 303, {}, {"location": place, "set-cookie": cookie})


def _with_headers(send: Send) -> Send:
    """Send answers with our headers; those that an answer has already stay."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            more = [pair for pair in ours if pair[0] not in there]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sending


async def _answer(
    send: Send, status: int, content: dict[str, str], more: dict[str, str] | None = None
) -> None:
    body = json.dumps(content).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",  # what is still to come of a refused request is not read
        **HEADERS,
        **(more or {}),
    }
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
