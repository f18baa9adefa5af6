"""Where a worker keeps the features that it makes: a file each, or a packed store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from src.common.atomic_files import PathLike
from src.common.block_files import BlockWriter
from src.common.packed_arrays import DESCRIPTOR_FACTOR, pack_arrays
from src.common.packed_store import (
    PackedStore,
    is_packed,
    mark_as_packed,
    record_sum,
    records_path,
)
from src.describe.record import FileState, Noted
from src.feature_io import Features, Origin, feature_path, features_checksum, write_features

#: Values of the setting `feature_store`.
STORES = ("files", "packed")


class Keeper(Protocol):
    """Keeps the features of photos."""

    def keep(self, name: str, features: Features, origin: Origin, state: FileState | None) -> Noted:
        """Write the features of a photo; return what is to be noted of them.

        They are on the disk for certain only when the run is complete.
        """


class FileKeeper:
    """Keeps them in a file each.

    Args:
        folder: the feature folder.
    """

    def __init__(self, folder: PathLike):
        self._folder = folder

    def keep(self, name: str, features: Features, origin: Origin, state: FileState | None) -> Noted:
        """See `Keeper`."""
        path = feature_path(self._folder, name)
        write_features(path, features, origin, False)
        return _noted(state, origin, features_checksum(path))


class PackedKeeper:
    """Keeps them in the blocks of a packed store.

    Args:
        writer: of the file that this worker appends to.
        times: how often photos that are in the store have been described again, by name.
    """

    def __init__(self, writer: BlockWriter, times: Mapping[str, int]):
        self._writer = writer
        self._times = times

    def keep(self, name: str, features: Features, origin: Origin, state: FileState | None) -> Noted:
        """See `Keeper`."""
        record = pack_arrays(features.arrays())
        checksum = record_sum(record)
        self.append(name, origin.photo, checksum, record)
        return _noted(state, origin, checksum)

    def append(self, name: str, photo: str, checksum: str, record: bytes) -> None:
        """Write the record of a photo's features.

        Args:
            name: of the features.
            photo: sha256 of the photo's bytes.
            checksum: `record_sum` of the record.
            record: by `pack_arrays`.
        """
        about = {"name": name, "photo": photo, "sum": checksum}
        if name in self._times:
            about["again"] = self._times[name] + 1
        self._writer.append(about, record)


def _noted(state: FileState | None, origin: Origin, checksum: str) -> Noted:
    size, changed = (state.size, state.changed) if state else (-1, -1)
    return Noted(size, changed, origin.photo, checksum)


@contextlib.contextmanager
def packing(
    folder: Path, settings: str, writer: int = 0, times: Mapping[str, int] | None = None
) -> Iterator[PackedKeeper]:
    """Keep features in a packed store; in the end, an error's too, what is held is written.

    Args:
        folder: the store; it is made one.
        settings: `settings_digest` of the features.
        writer: number of the worker.
        times: as for `PackedKeeper`.

    Raises:
        UserError: another process is writing with that number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark_as_packed(folder, settings)
    blocks = BlockWriter(records_path(folder, writer), DESCRIPTOR_FACTOR)
    try:
        yield PackedKeeper(blocks, times or {})
    except BaseException:
        with contextlib.suppress(OSError):  # of a full disk: the first error says it
            blocks.flush()
        raise
    else:
        blocks.flush()
    finally:
        blocks.close()


@contextlib.contextmanager
def keeping(folder: PathLike, settings: str, wanted: str) -> Iterator[Keeper]:
    """Keep features in a folder, in files or packed: as those that are there, or as is wanted.

    Args:
        folder: the feature folder.
        settings: `settings_digest` of the features.
        wanted: one of `STORES`.
    """
    if chosen_store(folder, wanted) == "files":
        yield FileKeeper(folder)
        return
    times = PackedStore(folder).times() if is_packed(folder) else {}
    with packing(Path(folder), settings, times=times) as keeper:
        yield keeper


def chosen_store(feature_folder: PathLike, wanted: str) -> str:
    """Return how features are kept in a folder: as those that are there, or as is wanted."""
    folder = Path(feature_folder)
    if is_packed(folder):
        return "packed"
    there = folder.is_dir() and next(folder.rglob("*.npz"), None) is not None
    return "files" if there else wanted
