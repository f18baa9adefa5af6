"""A packed store: the features of many photos in a few files of blocks, found by name.

    packed.json           says that the folder is one, and of which settings
    features-*.records    the records (`packed_arrays`) in blocks with sums (`block_files`), a file
                          for each process that described
    table.npz             where each photo's record lies; made of the others, can be lost

The directory of a block says of each record: "name" of the photo, "sum" of the record (sha256,
half of it), and what the photo was when it was described. A photo may be there several times, when
it was described again: the record of the highest "again" counts, of equal ones the last.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.common.atomic_files import PathLike, write_json, write_npz
from src.common.block_files import Block, BlockFile
from src.common.errors import UserError
from src.common.json_files import read_json
from src.common.npy_format import read_npz
from src.common.packed_arrays import unpack_arrays

MARKER_NAME = "packed.json"
TABLE_NAME = "table.npz"
_FORMAT = 1
_RECORDS = "features-*.records"
_SUM_BYTES = 16


class Place(NamedTuple):
    """Where a record lies: number of its file, offset of its block, its place in the block."""

    file: int
    block: int
    place: int


class Damage(NamedTuple):
    """A block that is not what was written.

    Attributes:
        file: its file.
        number: of the block in the file, from 0.
        block: the block.
        what: is wrong with it.
    """

    file: Path
    number: int
    block: Block
    what: str

    def __str__(self) -> str:
        names = [about["name"] for about in self.block.directory]
        whose = f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
        return (
            f"block {self.number} of {self.file}, at byte {self.block.offset}{whose}: {self.what}"
        )


def is_packed(folder: PathLike) -> bool:
    """Tell whether a folder is a packed store."""
    return Path(folder, MARKER_NAME).exists()


def mark_as_packed(folder: Path, settings: str) -> None:
    """Make a folder a packed store of features with these settings, a digest."""
    if not is_packed(folder):
        write_json(folder / MARKER_NAME, {"format": _FORMAT, "settings": settings})


def record_sum(record: bytes) -> str:
    """Return what stands in the directory as the sum of a record."""
    return hashlib.sha256(record).hexdigest()[: 2 * _SUM_BYTES]


def records_path(folder: Path, writer: int) -> Path:
    """Return the file that a writer of some number appends to."""
    return folder / f"features-{writer:03d}.records"


def writer_of(path: Path) -> int:
    """Return the number of the writer that a file of records is appended to by."""
    return int(path.stem.rpartition("-")[2])


class PackedStore:
    """A packed store, opened for reading: mapped, each block compared with its sums when used.

    Its `settings` are the digest of those that its features were made with.

    Args:
        folder: the store.

    Raises:
        UserError: it is none, or one of another format, or its files are something else.
    """

    def __init__(self, folder: PathLike):
        self.folder = Path(folder)
        self.settings = _marked_settings(self.folder / MARKER_NAME)
        self.files = [BlockFile(path) for path in sorted(self.folder.glob(_RECORDS))]
        table = self._read_table()
        self._names, self._places, self._sums = table if table is not None else self._scan()

    @property
    def names(self) -> list[str]:
        """Names of the photos, sorted."""
        return self._names

    def checksum(self, name: str) -> str:
        """Return a sum of a photo's record, as it was written.

        Raises:
            KeyError: the photo is not in the store.
        """
        return self._sums[self._row(name)].tobytes().hex()

    def record(self, name: str) -> tuple[dict[str, Any], bytes]:
        """Return what the directory says of a photo, and its record.

        Raises:
            KeyError: the photo is not in the store.
            DamagedBlockError: its block is not what was written.
        """
        file, block, place = self._places[self._row(name)].tolist()
        return self.files[file].record(block, place)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays of a photo's features; raises as `record`, and ValueError."""
        file = self._places[self._row(name)][0]
        return unpack_arrays(self.record(name)[1], self.files[file].parameter)

    def damages(self) -> Iterator[Damage]:
        """Read all blocks and yield those that are damaged."""
        for file in self.files:
            for number, block in enumerate(file.blocks()):
                what = file.damage(block)
                if what:
                    yield Damage(file.path, number, block, what)

    def whole(self, damages: Iterable[Damage]) -> dict[str, dict[str, Any]]:
        """Return what stands of each photo, but in damaged blocks; see `damages`."""
        damaged = {(damage.file, damage.block.offset) for damage in damages}
        found = self._newest(lambda file, block: (file.path, block.offset) not in damaged)
        return {name: about for name, (about, _) in found.items()}

    def times(self) -> dict[str, int]:
        """Return how many times each photo has been described again, damaged records as well."""
        return {name: about.get("again", 0) for name, (about, _) in self._newest().items()}

    def keep_table(self) -> None:
        """Write down where each record lies, unless that is written down."""
        if self._read_table() is not None:
            return
        names, places, sums = self._scan()
        text = "\n".join(names).encode()
        write_npz(
            self.folder / TABLE_NAME,
            {
                "files": np.frombuffer(self._state(), np.uint8),
                "names": np.frombuffer(text, np.uint8),
                "places": places,
                "sums": sums,
            },
        )

    def _row(self, name: str) -> int:
        row = bisect.bisect_left(self._names, name)
        if row == len(self._names) or self._names[row] != name:
            raise KeyError(name)
        return row

    def _state(self) -> bytes:
        """Return what a table belongs to: the files and their sizes."""
        return "\n".join(f"{file.path.name} {file.size}" for file in self.files).encode()

    def _read_table(self) -> tuple[list[str], np.ndarray, np.ndarray] | None:
        try:
            table = read_npz(self.folder / TABLE_NAME)
            if table["files"].tobytes() != self._state():
                return None
            names = table["names"].tobytes().decode()
            found = names.split("\n") if names else [], table["places"], table["sums"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            return None
        return found if len(found[0]) == len(found[1]) == len(found[2]) else None

    def _scan(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Return names, places int64 [N, 3] and sums uint8 [N, 16], of the files themselves.

        A photo whose block is damaged is known where the block's directory is whole: whoever wants
        it is told.
        """
        known = self._newest()
        names = sorted(known)
        places = np.array([known[name][1] for name in names], np.int64).reshape(-1, 3)
        sums = b"".join(bytes.fromhex(known[name][0]["sum"]) for name in names)
        return names, places, np.frombuffer(sums, np.uint8).reshape(-1, _SUM_BYTES)

    def _newest(
        self, wanted: Callable[[BlockFile, Block], bool] = lambda file, block: True
    ) -> dict[str, tuple[dict[str, Any], Place]]:
        """Return what stands of each photo in the blocks wanted, and where, by name."""
        found: dict[str, tuple[dict[str, Any], Place]] = {}
        for number, file in enumerate(self.files):
            for block in file.blocks():
                for place, about in enumerate(block.directory if wanted(file, block) else ()):
                    there = found.get(about["name"])
                    if there is None or about.get("again", 0) >= there[0].get("again", 0):
                        found[about["name"]] = about, Place(number, block.offset, place)
        return found


def open_store(folder: PathLike) -> PackedStore:
    """Return the packed store in a folder; one that is open and has not changed is taken again.

    Raises:
        UserError: as for `PackedStore`.
    """
    try:
        state = Path(folder, TABLE_NAME).stat()
        return _opened(str(folder), state.st_mtime_ns, state.st_size, state.st_ino)
    except FileNotFoundError:
        sizes = (path.stat().st_size for path in sorted(Path(folder).glob(_RECORDS)))
        return _opened(str(folder), *sizes)


@functools.lru_cache(maxsize=16)
def _opened(folder: str, *state: int) -> PackedStore:
    return PackedStore(folder)


def _marked_settings(path: Path) -> str:
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} ({error}); bring it back") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != _FORMAT:
        raise UserError(f"{path} is of format {found!r}, not {_FORMAT}; update this program")
    return str(content.get("settings", ""))
