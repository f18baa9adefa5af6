"""File names are UTF-8 in every environment: the same bytes name the same photo.

In a Latin-1 environment Python takes the bytes of a name for other characters than in a UTF-8 one,
so that a folder described in the one is another folder in the other, and a name with an "Ł" cannot
be written at all.
"""

from __future__ import annotations

import os
import sys


def speak_utf8() -> None:
    """Begin this program again in Python's UTF-8 mode, where it is not in UTF-8 already.

    What it prints stays in the encoding of the terminal; what that lacks is printed as an escape.
    """
    if sys.getfilesystemencoding().lower().replace("-", "") == "utf8":
        return
    os.environ["PYTHONUTF8"] = "1"  # of the programs that this one starts
    os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:backslashreplace")
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
