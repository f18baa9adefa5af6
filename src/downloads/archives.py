"""Archives of data sets: what is taken out of them, and whether that was done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from src.downloads.records import is_recorded, read_record, write_record

PHOTOS = (".jpg", ".jpeg", ".png")


def note_unpacked(archive: Path, folder: Path, names: Sequence[str]) -> None:
    """Add to the record of an archive that it was unpacked, and some files to recognise it by."""
    some = [names[0], names[len(names) // 2], names[-1]] if names else []
    record = {
        key: value for key, value in read_record(archive).items() if key not in ("size", "mtime_ns")
    }
    unpacked = {"folder": folder.name, "files": len(names), "some": some}
    write_record(archive, **{**record, "unpacked": unpacked})


def is_unpacked(archive: Path, folder: Path) -> bool:
    """Tell whether an archive was unpacked and its files are still there.

    The archive may be gone by now; one that is there must be the one that was unpacked.
    """
    unpacked = read_record(archive).get("unpacked")
    if not isinstance(unpacked, dict) or (archive.exists() and not is_recorded(archive)):
        return False
    return all((folder / name).exists() for name in unpacked.get("some", []))
