"""The files of an index folder: which belong to it, are they whole, and who may write them.

`index.json` names the files of the index as it is, with the sums of their blocks (`summed_files`)
and a digest of itself; it is replaced last, in one step, so that a program killed at any moment
leaves the index as it was. Files carry the number of the generation that made them. Descriptors and
locations are only ever appended to: an index that a search has open keeps what it maps. What killed
programs left behind is removed by the next one that writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike, write_json
from src.common.errors import UserError, raise_if_of_system
from src.common.json_files import Count, read_json, shaped
from src.common.locks import claim
from src.index.summed_files import BLOCK_BYTES, SummedFiles, damaged

FORMAT = 3
#: Without sums: a checksum looks at samples of each file. Still read; an update brings the sums.
FORMAT_OF_SAMPLES = 2
DESCRIPTION = "index.json"
_LOCK = "index.lock"
_OURS = re.compile(
    r"(descriptors|locations)-\d+\.bin|images-\d+\.npz|trained-\d+\.faiss|lists-\d+-\d+\.bin"
    r"|\.(index\.[0-9a-f]+\.tmp\.json|images-\d+\.[0-9a-f]+\.tmp\.npz)|" + re.escape(_LOCK)
)
_SAMPLES = 16
_SAMPLE_BYTES = 4096


@dataclass(frozen=True)
class _Plan:
    """See `src.index.choice.IndexPlan`."""

    kind: str
    lists: Count
    code: str
    code_bytes: Count


@dataclass(frozen=True)
class _Search:
    """See `src.index.structure.SearchStructure` and `src.index.rows.RowFiles`."""

    plan: _Plan
    chosen_at: Count
    probes: Count
    recall: float | None
    trained_file: str | None
    lists_files: tuple[str, ...]
    descriptors_file: str
    locations_file: str
    images_file: str

    def __post_init__(self) -> None:
        if self.probes > self.plan.lists:
            raise ValueError(f"search.probes is {self.probes}, of {self.plan.lists} lists")
        if (self.trained_file is None) != (self.plan.lists == 0) or (
            self.trained_file and not (self.probes and self.lists_files)
        ):
            raise ValueError("search lacks lists, or what is looked into of them")


@dataclass(frozen=True)
class _File:
    """See `src.index.summed_files.BlockSums`."""

    bytes: Count
    sums: str | None = None
    checksum: Count | None = None


@dataclass(frozen=True)
class _Description:
    """The shape of `index.json`."""

    generation: Count
    settings: dict[str, Any]
    files: dict[str, _File]
    images: Count
    rows: Count
    features: Count
    dimension: Count
    search: _Search

    def __post_init__(self) -> None:
        search = self.search
        trained = [search.trained_file] if search.trained_file else []
        needed = (search.descriptors_file, search.locations_file, search.images_file)
        for name in (*needed, *trained, *search.lists_files):
            if name not in self.files:
                raise ValueError(f"files lacks {name[:80]}")
        size = self.files[search.descriptors_file].bytes
        if self.rows * self.dimension * 4 != size or self.features > self.rows:
            raise ValueError(
                f"it says {self.rows} rows and {self.features} features of {self.dimension} "
                f"numbers, and {size} bytes of them"
            )


@dataclass(frozen=True)
class _SummedDescription(_Description):
    """The shape of `index.json` with sums."""

    block_bytes: Count
    digest: str


def read_description(index_folder: PathLike) -> dict[str, Any]:
    """Return what `index.json` says: settings, numbers of images and features, kind, files.

    Raises:
        UserError: when the folder holds no complete index.
    """
    path = Path(index_folder) / DESCRIPTION
    try:
        content = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"there is no index in {index_folder}; build it first") from None
    except (OSError, ValueError) as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read {path} ({error}); delete {index_folder} and build") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found not in (FORMAT, FORMAT_OF_SAMPLES):
        raise UserError(f"{path} is not of format {FORMAT}; delete {index_folder} and build")
    try:
        shaped(content, _SummedDescription if found == FORMAT else _Description)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}; delete {index_folder} and build") from None
    if "digest" in content and content["digest"] != _digest(content):
        raise damaged(Path(index_folder), f"{DESCRIPTION} says something else than was written")
    if content.get("block_bytes", BLOCK_BYTES) != BLOCK_BYTES:
        raise UserError(f"{path} has sums of other blocks; delete {index_folder} and build")
    return content


def write_description(folder: Path, content: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Make files the index: from this moment on readers see them.

    Args:
        folder: the index folder.
        content: what the index is.
        files: what `SummedFiles.described` says of its files.
    """
    content = {"format": FORMAT, "block_bytes": BLOCK_BYTES, **content, "files": files}
    write_json(folder / DESCRIPTION, {**content, "digest": _digest(content)})


def _digest(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_files(folder: Path, description: Mapping[str, Any]) -> None:
    """Look at the length of each file of an index and at its ends; without sums at samples of it.

    Raises:
        DamagedError: naming the first file that is missing, too short or another one.
    """
    files = SummedFiles(folder, description["files"])
    for name, known in sorted(description["files"].items()):
        path = folder / name
        if not _OURS.fullmatch(name):
            raise damaged(folder, f"{name} in {DESCRIPTION} is no file of an index")
        file = files.open(name)
        if "sums" in known:
            file.check([0, known["bytes"] - 1], [1, known["bytes"]])
        elif _sampled_checksum(path, known["bytes"]) != known["checksum"]:
            raise damaged(folder, f"{name} holds something else")


def _sampled_checksum(path: Path, size: int) -> int:
    checksum = zlib.crc32(str(size).encode())
    last = max(0, size - _SAMPLE_BYTES)
    with path.open("rb") as file:
        for offset in sorted({last * i // (_SAMPLES - 1) for i in range(_SAMPLES)}):
            file.seek(offset)
            checksum = zlib.crc32(file.read(min(_SAMPLE_BYTES, size - offset)), checksum)
    return checksum


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Let one process at a time write an index; remove what a killed one left behind.

    An error in the block leaves the index as it was, and no index where none was.

    Raises:
        UserError: another process writes it, or the folder holds something else.
    """
    is_new = not folder.exists()
    _refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder} ({error.strerror})") from None
    refusal = f"another process is writing the index {folder}; run this again when it is done"
    try:
        with claim(folder / _LOCK, refusal, "put the index on a disk that has locks"):
            remove_left_overs(folder)
            try:
                yield
            finally:
                remove_left_overs(folder)
    finally:
        if is_new:  # a folder that was there, empty, stays
            with contextlib.suppress(OSError):  # it is not empty: there is an index now
                folder.rmdir()


def _refuse_foreign(folder: Path) -> None:
    if (folder / DESCRIPTION).exists() or not folder.exists():
        return
    if not folder.is_dir() or any(not _OURS.fullmatch(path.name) for path in folder.iterdir()):
        raise UserError(f"{folder} is there already and is no index; give another folder")


def remove_left_overs(folder: Path) -> None:
    """Remove files of an index that `index.json` does not name, and what was appended in vain."""
    try:
        known = read_description(folder)["files"] if (folder / DESCRIPTION).exists() else {}
    except UserError:  # nobody can say what belongs to it
        return
    for path in folder.iterdir():
        if path.name in known:
            if path.stat().st_size > known[path.name]["bytes"]:
                os.truncate(path, known[path.name]["bytes"])
        elif _OURS.fullmatch(path.name) and path.name != _LOCK:
            path.unlink()
