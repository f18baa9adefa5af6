"""Names of files that we make after something a person has named: a label, a photo, a pair."""

from __future__ import annotations

import hashlib
import re

#: Bytes of a name. Disks take 255, encrypted folders 143 (eCryptfs, on many a network storage);
#: what is left is for a suffix and for the temporary name of the file while it is written.
MOST_BYTES = 100
#: Bytes of what is left of a name in front of its digest.
_BEGINNING = 60
_FORBIDDEN = re.compile(r'[/\\:*?"<>|]')
_DIGEST = re.compile(r"-[0-9a-f]{16}")
_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def file_name_for(name: str, most: int = MOST_BYTES) -> str:
    """Return a file name, without suffix, for any name: two names never share one.

    A short name that every file system takes stays as it is. Of any other the beginning is kept, so
    that a person recognises it, and a digest of the whole stands for the rest.

    Args:
        name: any text, even one that is no valid Unicode.
        most: bytes that a name may have to stay as it is, at least 80.
    """
    if _is_plain(name) and len(name.encode()) <= most:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    readable = "".join(c if c.isprintable() else "_" for c in _FORBIDDEN.sub("_", name))
    beginning = readable.encode()[:_BEGINNING].decode(errors="ignore").strip(". ")
    return f"{beginning or 'name'}-{digest}"


def _is_plain(name: str) -> bool:
    """Whether a name is a file name everywhere, and none that `file_name_for` makes of another."""
    return bool(
        name
        and name.isprintable()
        and name == name.strip(" ").rstrip(".")
        and not name.startswith(".")
        and not _FORBIDDEN.search(name)
        and not _OF_WINDOWS.fullmatch(name)
        and not _DIGEST.search(name[-17:])
    )
