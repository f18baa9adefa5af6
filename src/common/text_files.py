"""Reading the text files that people write."""

from __future__ import annotations

from pathlib import Path

from src.common.errors import UserError, raise_if_of_system
from src.common.regular_files import read_regular


def read_lines(path: Path, what: str, if_missing: str) -> list[str]:
    """Return the lines of a text file: UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        what: what it is, for the message where it cannot be read.
        if_missing: the message where there is none.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    try:
        return read_regular(path).decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(if_missing) from None
    except (OSError, UnicodeDecodeError) as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read the {what} {path}: {error}") from None
