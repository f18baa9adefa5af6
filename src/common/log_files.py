"""Files that are logged to."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from src.common.errors import LOG_FORMAT


class LogFile(logging.StreamHandler):
    """Writes records to a file of its own.

    Where that goes wrong, say on a full disk, it says so once, in one line: what is logged is worth
    less than what is being done.
    """

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        self.setFormatter(logging.Formatter(LOG_FORMAT))
        self._told = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say what is wrong with the file, the first time."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            reason = error.strerror or error
            print(f"warning: {self.stream.name}: {reason}; not all is logged", file=sys.stderr)

    def add_line(self, text: str) -> None:
        """Write a line as it is."""
        try:
            self.stream.write(f"{text}\n")
            self.flush()
        except OSError:
            self.handleError(logging.makeLogRecord({}))

    def close(self) -> None:
        """Close the file as well."""
        super().close()
        try:
            self.stream.close()
        except OSError:
            self.handleError(logging.makeLogRecord({}))
