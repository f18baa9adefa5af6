"""Taking the bytes of a photo out of a request: so many, within so much time, and no more."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import HTTPException, Request

from src.common.atomic_files import atomic_path

#: A form of another site can send these without asking first; a photo comes as none of them.
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
#: A connection that brings fewer bytes a second is given up.
_SLOWEST, _PATIENCE = 20_000, 30.0
_LINGER = 2.0  # seconds


async def photo_of(request: Request, most: int) -> bytes:
    """Return the body of a request.

    Args:
        request: whose body is a photo's file, as it is.
        most: bytes that are taken.

    Raises:
        HTTPException: 415 a form, 413 it is too large, 408 it comes too slowly, 400 nothing came.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _FORMS:
        raise HTTPException(415, "send the photo's file itself, as image/jpeg or the like")
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdecimal() and len(said) < 20 and int(said) > most:
        if "expect" not in request.headers:  # else it waits for our leave to send it
            await _let_go(request.stream().__aiter__())
        raise _too_large(most)
    try:
        return await asyncio.wait_for(_body(request, most), _PATIENCE + most / _SLOWEST)
    except asyncio.TimeoutError:
        raise HTTPException(408, "the photo comes too slowly", {"connection": "close"}) from None


async def _body(request: Request, most: int) -> bytes:
    parts, size = [], 0
    stream = request.stream().__aiter__()
    while True:
        try:
            part = await asyncio.wait_for(anext(stream), _PATIENCE)
        except StopAsyncIteration:
            break
        size += len(part)
        if size > most:
            await _let_go(stream)
            raise _too_large(most)
        parts.append(part)
    if not size:
        raise HTTPException(400, "no photo came; send its file as the body of the request")
    return b"".join(parts)


async def _let_go(stream: AsyncIterator[bytes]) -> None:
    """Drop what is still coming, for a moment: whoever is cut off in the middle reads no answer."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_dropped(stream), _LINGER)


async def _dropped(stream: AsyncIterator[bytes]) -> None:
    async for _ in stream:
        pass


def _too_large(most: int) -> HTTPException:
    return HTTPException(
        413, f"the photo's file is larger than {most / 2**20:.0f} MB", {"connection": "close"}
    )


def keep(data: bytes, folder: Path) -> None:
    """Write what was sent into a folder, under a name that follows from its bytes."""
    path = folder / f"{hashlib.sha256(data).hexdigest()[:20]}.upload"
    if not path.exists():
        with atomic_path(path) as temporary:
            Path(temporary).write_bytes(data)
