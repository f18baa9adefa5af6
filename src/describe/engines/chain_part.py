"""A process of a chain: its pipes, its last words, how it ended."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections.abc import Sequence
from typing import IO

from src.common.signals import how_it_ended

LOG = logging.getLogger(__name__)

_PIPE_BYTES = 1 << 20
_PATIENCE = 10.0  # seconds for a process to end by itself


class ChainPart:
    """A process of the chain, and its last words."""

    def __init__(self, what: str, command: Sequence[str], stdin: IO[bytes] | int):
        self.what = what
        # Away from the terminal's Ctrl-C: whoever started the chain ends it.
        self._process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={"GLOG_v": "3", **os.environ},
        )
        self._last = ""
        self._error = ""  # its own line, which a runtime's may follow
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._widen(self._process.stdout)

    @property
    def output(self) -> IO[bytes]:
        """What it writes."""
        return self._process.stdout

    @property
    def input(self) -> IO[bytes]:
        """What it reads, where that is a pipe of ours."""
        return self._process.stdin

    def wait(self, seconds: float | None = _PATIENCE) -> int | None:
        """Return its exit code once it has ended, None when it does not end in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode

    def reason(self) -> str:
        """Say how it ended: its own line where it left one."""
        self._listener.join(1.0)
        code = self._process.returncode
        if code is not None and code < 0:
            return f"{self.what} was ended by {how_it_ended(code)}"
        if self._error:
            return self._error
        last_words = f" ({self._last})" if self._last else ""
        return f"{self.what} ended with exit code {code}{last_words}"

    def end(self) -> None:
        """End it if it runs, and let go of its pipes."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._listener.join(1.0)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _listen(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stderr:
                self._last = line.decode(errors="replace").rstrip()
                if self._last.startswith("error: "):
                    self._error = self._last.removeprefix("error: ")
                _, is_ours, warning = self._last.partition(" WARNING ")
                if is_ours:  # what had to be guessed of a photo
                    LOG.warning("%s", warning)

    @staticmethod
    def _widen(pipe: IO[bytes]) -> None:
        """Let a pipe hold a level at a time where the system allows it."""
        with contextlib.suppress(ImportError, AttributeError, OSError):
            import fcntl

            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
