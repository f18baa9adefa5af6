"""The files of an index folder: which belong to it, are they whole, and who may write them.

`index.json` names the files of the index as it is, with the sums of their blocks (`summed_files`)
and a digest of itself; it is replaced last, in one step, so that a program killed at any moment
leaves the index as it was. Files carry the number of the generation that made them. Descriptors and
locations are only ever appended to: an index that a search has open keeps what it maps. What killed
programs left behind is removed by the next one that writes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike, temporary_pattern, write_json
from src.common.errors import UserError, raise_if_of_system
from src.common.json_files import Count, read_json, shaped
from src.index.owned_folder import OwnedFolder, digest_of
from src.index.summed_files import BLOCK_BYTES, SummedFiles, damaged

FORMAT = 3
#: Without sums: a checksum looks at samples of each file. Still read; an update brings the sums.
FORMAT_OF_SAMPLES = 2
#: Of an index in two stages (`two_stage`), which has files of other kinds.
FORMAT_OF_TWO_STAGES = 4
DESCRIPTION = "index.json"
#: Folder of the global descriptors of an index in two stages.
VECTORS = "vectors"
_FILES = (
    r"(descriptors|locations)-\d+\.bin|images-\d+\.npz|trained-\d+\.faiss|lists-\d+-\d+\.bin|"
    rf"(names|photos)-\d+\.bin|{VECTORS}|"
    + "|".join([temporary_pattern("index", ".json"), temporary_pattern(r"images-\d+", ".npz")])
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
class _AnyDescription:
    """What `index.json` says of every index."""

    generation: Count
    settings: dict[str, Any]
    files: dict[str, _File]
    images: Count
    dimension: Count


@dataclass(frozen=True)
class _Description(_AnyDescription):
    """The shape of `index.json`."""

    rows: Count
    features: Count
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


@dataclass(frozen=True)
class _TwoStageDescription(_AnyDescription):
    """The shape of `index.json` of an index in two stages."""

    global_dimension: Count
    folders: tuple[str, ...]
    store: dict[str, Any]
    block_bytes: Count
    digest: str


_SHAPES = {
    FORMAT: _SummedDescription,
    FORMAT_OF_SAMPLES: _Description,
    FORMAT_OF_TWO_STAGES: _TwoStageDescription,
}


def is_two_stage(description: Mapping[str, Any]) -> bool:
    """Tell whether a description is one of an index in two stages."""
    return description["format"] == FORMAT_OF_TWO_STAGES


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
    if found not in _SHAPES:
        raise UserError(f"{path} is not of format {FORMAT}; delete {index_folder} and build")
    try:
        shaped(content, _SHAPES[found])
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}; delete {index_folder} and build") from None
    if "digest" in content and content["digest"] != digest_of(content):
        raise damaged(Path(index_folder), f"{DESCRIPTION} says something else than was written")
    if content.get("block_bytes", BLOCK_BYTES) != BLOCK_BYTES:
        raise UserError(f"{path} has sums of other blocks; delete {index_folder} and build")
    return content


def write_description(
    folder: Path, content: Mapping[str, Any], files: Mapping[str, Any], format_: int = FORMAT
) -> None:
    """Make files the index: from this moment on readers see them.

    Args:
        folder: the index folder.
        content: what the index is.
        files: what `SummedFiles.described` says of its files.
        format_: `FORMAT`, or `FORMAT_OF_TWO_STAGES`.
    """
    content = {"format": format_, "block_bytes": BLOCK_BYTES, **content, "files": files}
    write_json(folder / DESCRIPTION, {**content, "digest": digest_of(content)})


def check_files(folder: Path, description: Mapping[str, Any]) -> None:
    """Look at the length of each file of an index and at its ends; without sums at samples of it.

    Raises:
        DamagedError: naming the first file that is missing, too short or another one.
    """
    files = SummedFiles(folder, description["files"])
    for name, known in sorted(description["files"].items()):
        path = folder / name
        if not INDEX.owns(name):
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


#: Index folders; `INDEX.writing` lets one process at a time write one.
INDEX = OwnedFolder("index", DESCRIPTION, "index.lock", _FILES, read_description)
