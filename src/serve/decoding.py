"""Decoding photos that strangers send: in processes of their own, within limits.

What a file makes a decoder do (crash, take all memory, never end) ends there. A process that has
met its limit is replaced. What comes back are pixels.
"""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import os
import queue
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from src.common.errors import UserError
from src.common.worker_processes import guard_worker
from src.serve.settings import UploadSettings

LOG = logging.getLogger(__name__)

#: Memory of a decoder beyond what it takes when it is idle, for each pixel that is allowed: a photo
#: of 16 bits, its copy and the result; and what small photos need all the same.
_BYTES_PER_PIXEL, _LEAST_BYTES = 24, 512 * 2**20
_START_SECONDS = 120


class RefusedError(UserError):
    """A file that is not decoded."""


class TooLongError(RefusedError):
    """A file whose decoding took too long."""


class Pixels(NamedTuple):
    """A photo that was sent, as it is displayed.

    Attributes:
        pixels: uint8 [H, W, 3], RGB.
    """

    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[:2]


class Decoders:
    """Some processes that decode; to be closed.

    Args:
        settings: the limits.
        count: of processes.
    """

    def __init__(self, settings: UploadSettings, count: int = 2):
        self._settings = settings
        self._idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
        self._all = [_Decoder(settings) for _ in range(count)]
        for decoder in self._all:
            self._idle.put(decoder)

    def decode(self, data: bytes) -> Pixels:
        """Decode a photo; several threads may call.

        Raises:
            RefusedError: it is no photo, broken, too large, or takes too long.
        """
        decoder = self._idle.get()
        try:
            return decoder.decode(data)
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """End the processes."""
        for decoder in self._all:
            decoder.stop()


class _Decoder:
    """One process that decodes, started anew when it had to be ended."""

    def __init__(self, settings: UploadSettings):
        self._settings = settings
        self._connection: Connection | None = None
        self._start()

    def decode(self, data: bytes) -> Pixels:
        try:
            if self._connection is not None and not self._process.is_alive():
                self.stop()  # not this photo is to blame
            if self._connection is None:
                self._start()
            self._await_start()
            self._connection.send_bytes(data)
            if not self._connection.poll(self._settings.seconds):
                self.stop()
                raise TooLongError(
                    f"decoding the photo takes more than {self._settings.seconds} s; send a "
                    "smaller or plainer copy"
                )
            kind, *told = self._connection.recv()
            if kind == "refused":
                raise RefusedError(told[0])
            pixels = np.frombuffer(self._connection.recv_bytes(), np.uint8).reshape(told[0])
            return Pixels(pixels)
        except (EOFError, OSError):
            self.stop()
            raise RefusedError("the photo cannot be decoded: its decoder crashed") from None

    def stop(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._connection = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # threads do not survive a fork
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_decode_all,
            args=(theirs, os.getpid(), self._settings.megapixels * 1_000_000),
            daemon=True,
            name="decoder",
        )
        self._process.start()
        theirs.close()
        self._ready = False

    def _await_start(self) -> None:
        """Wait until it is loaded: that does not count as decoding."""
        if not self._ready:
            if not self._connection.poll(_START_SECONDS):
                raise EOFError
            self._connection.recv()
            self._ready = True


def _decode_all(connection: Connection, parent: int, most_pixels: int) -> None:
    """Decode what comes, one after the other: what a decoder process does."""
    guard_worker(parent)
    from src.photos import reading

    reading.MAX_PIXELS = most_pixels  # nothing else is decoded here
    _limit_memory(max(_LEAST_BYTES, _BYTES_PER_PIXEL * most_pixels))
    with contextlib.suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            data = connection.recv_bytes()
            try:
                pixels = np.ascontiguousarray(reading.decode(io.BytesIO(data)).pixels)
            except MemoryError:
                connection.send(("refused", "the photo takes too much memory to be decoded"))
            except Exception as error:
                connection.send(("refused", f"the photo {reading.reason(error)}"))
            else:
                connection.send(("pixels", pixels.shape))
                connection.send_bytes(pixels.reshape(-1))


def _limit_memory(more: int) -> None:
    """Let this process take so many bytes beyond what it has."""
    try:
        import resource
    except ImportError:  # Windows
        return
    import psutil

    limit = psutil.Process().memory_info().vms + more
    with contextlib.suppress(ValueError, OSError):  # a system that has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
