"""What a feature folder notes of its photos and features, so that neither has to be read again.

`photos.json` holds, by the name of the features: size and time of the photo's file, a digest of its
bytes, and the checksum of the feature file. It can be lost without harm: a feature file says by
itself which bytes it was made of (`feature_io.Origin`), and both are then read once more. What has
been touched after the record was written is in doubt, and is looked at.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from src.common.atomic_files import PathLike, flush, write_json
from src.common.digests import sha256_of_open
from src.common.errors import raise_if_of_system
from src.common.json_files import read_json, shaped
from src.common.packed_store import is_packed
from src.feature_io import feature_path
from src.photos.places import Archived, Place, open_photo

LOG = logging.getLogger(__name__)

RECORD_NAME = "photos.json"


class Noted(NamedTuple):
    """What is noted of a photo and its features.

    Attributes:
        size: bytes of the photo's file.
        changed: its time of change, nanoseconds.
        digest: sha256 of its bytes; None where nobody has computed it.
        checksum: of the feature file; None for a photo that could not be described.
    """

    size: int
    changed: int
    digest: str | None = None
    checksum: str | None = None


class FileState(NamedTuple):
    """By what a file is told from one that has taken its place, or been changed, meanwhile.

    Attributes:
        size: in bytes.
        changed: when its content changed, nanoseconds; any program may set it back.
        touched: when it was last changed, moved or set back in any way, nanoseconds.
        number: of the file on its disk.
    """

    size: int
    changed: int
    touched: int
    number: int

    @classmethod
    def of(cls, path: PathLike | Archived) -> FileState | None:
        """Return the state of a file; None where there is none to be had.

        Of one in an archive: that of the archive, with its own size and place.
        """
        if isinstance(path, Archived):
            archive = cls.of(path.archive)
            return archive and archive._replace(size=path.size, number=path.offset)
        try:
            status = os.stat(path)
        except OSError:
            return None
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True)
class Record:
    """What a feature folder notes.

    Attributes:
        photos: by name of the features.
        written: when it was written, nanoseconds; 0 where that cannot be relied on.
    """

    photos: Mapping[str, Noted] = field(default_factory=dict)
    written: int = 0

    @classmethod
    def read(cls, feature_folder: PathLike) -> Record:
        """Return the record of a folder; an empty one where there is none, or a damaged one."""
        path = Path(feature_folder, RECORD_NAME)
        try:
            written = path.stat().st_mtime_ns
            content = shaped(read_json(path), dict[str, Any])
            photos = {name: _noted(*values) for name, values in content.items()}
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, TypeError, OverflowError) as error:
            raise_if_of_system(error, path)
            LOG.warning("%s is damaged (%s) and is made again from the photos", path, error)
            return cls()
        # One from the future was written by another clock: nothing is older than it.
        return cls(photos, written if written <= time.time_ns() else 0)

    def is_older(self, state: FileState) -> bool:
        """Tell whether a file was last touched before this record was written."""
        return state.touched < self.written


def write_record(
    feature_folder: PathLike, photos: Mapping[str, Noted], before: Mapping[str, Noted]
) -> None:
    """Note what is known of photos and their features.

    Feature files that are new are brought to the disk first: a record that survives a power cut
    must not speak of what does not.

    Args:
        feature_folder: the folder.
        photos: what is known, by name of the features.
        before: what was noted until now.

    Raises:
        OSError: a feature file has gone.
    """
    new = {name for name, noted in photos.items() if noted.checksum and noted != before.get(name)}
    if not is_packed(feature_folder):  # whose blocks are on the disk when they are written
        flush(feature_path(feature_folder, name) for name in sorted(new))
    write_json(
        Path(feature_folder, RECORD_NAME), {name: list(noted) for name, noted in photos.items()}
    )


def forget_others(feature_folder: PathLike, names: Iterable[str]) -> None:
    """Take all photos but these out of the record of a folder."""
    record = Record.read(feature_folder)
    kept = {name: record.photos[name] for name in names if name in record.photos}
    if len(kept) < len(record.photos):
        write_record(feature_folder, kept, record.photos)


def unchanged_digest(path: Place, before: FileState | None) -> str:
    """Return the sha256 of a file that is as it was; "" where it has changed or cannot be read."""
    try:
        with open_photo(path) as file:
            digest = sha256_of_open(file)
    except OSError:
        return ""
    return digest if before is not None and FileState.of(path) == before else ""


def _noted(
    size: int, changed: int, digest: str | None = None, checksum: str | None = None
) -> Noted:
    """Return a record's entry; of older ones it says size and time only."""
    texts = (digest, checksum)
    if not all(text is None or isinstance(text, str) for text in texts):
        raise ValueError("a digest is no text")
    return Noted(int(size), int(changed), *texts)
