"""MindRecord shards of a training set: which there are, whether they are whole, their labels."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from src.common.atomic_files import PathLike
from src.common.csv_tables import read_columns, whole_numbers
from src.common.errors import UserError, one_line, raise_if_of_system
from src.common.json_files import Count, parse_json, shaped
from src.common.regular_files import open_regular
from src.shards.manifest import MANIFEST, read_manifest

LOG = logging.getLogger(__name__)

RELABELING = "relabeling.csv"
SPLITS = ("train", "validation")
Shards = PathLike | Sequence[PathLike]

_LARGEST_HEADER = 1 << 27  # what MindRecord allows
_NAME = re.compile(r"(?P<split>.*?)(?P<kind>\.mindrecord)(?P<number>\d*)")


@dataclass(frozen=True)
class _Page:
    """Where rows of a shard are."""

    page_type: str
    start_row_id: Count
    end_row_id: Count


@dataclass(frozen=True)
class _Header:
    """The shape of what a MindRecord file says of itself; one without photos has no pages."""

    header_size: Count
    page_size: Count
    shard_addresses: tuple[str, ...]
    page: tuple[_Page, ...] | None


def find_shards(shards: Shards, split: str | None = None) -> list[str]:
    """Find all the shards of a data set from one of them.

    Args:
        shards: one shard (`…/train.mindrecord000`), whose siblings are found by their numbers, or
            the folder of a data set; a list of shards is taken as it is.
        split: "train" or "validation", whichever the given shard belongs to; None: as given.

    Returns:
        Paths in the order of their numbers; empty where there are no validation shards.

    Raises:
        UserError: the shard, its `.db` file or another shard of the set is missing. Which there
            are is said by `dataset.json`; without it by what the shards say of each other and by
            the numbers in between.
    """
    if not isinstance(shards, (str, os.PathLike)):
        found = [os.fspath(path) for path in shards]
        for path in found:
            _check_present(path)
        return found
    given = Path(shards).expanduser()
    if given.is_dir():
        given /= f"{split or SPLITS[0]}.mindrecord000"
    parts = _NAME.fullmatch(given.name)
    if parts is None:
        raise UserError(f"{given} is no name of a shard; it should look like …/train.mindrecord000")
    wanted = (split or parts["split"]) + parts["kind"]
    numbered = {}
    if given.parent.is_dir():
        for path in given.parent.iterdir():
            other = _NAME.fullmatch(path.name)
            if other is not None and other["split"] + other["kind"] == wanted:
                numbered[int(other["number"] or 0)] = str(path)
    manifest = read_manifest(given.parent)
    if manifest is not None:
        manifest.check_present(wanted, (Path(path).name for path in numbered.values()))
    if not numbered:
        if wanted.startswith(SPLITS[1]) and given.parent.is_dir():
            return []
        raise UserError(
            f"no shard at {given}; build the training set with src/build_image_dataset.py, "
            "or set traindata_path to …/train.mindrecord000"
        )
    for number in range(max(numbered)):
        if number not in numbered:
            raise UserError(
                f"shard {number} of {wanted} is missing from {given.parent} (there are shards up "
                f"to {max(numbered)}); copy or build the data set again"
            )
    found = [numbered[number] for number in sorted(numbered)]
    for path in found:
        _check_present(path)
        if manifest is None:
            _check_siblings(path)
    return found


def _check_siblings(shard: str) -> None:
    """Raise `UserError` where a shard was written together with one that is not there."""
    for name in map(os.path.basename, _read_header(shard).shard_addresses):
        if not os.path.isfile(os.path.join(os.path.dirname(shard), name)):
            raise UserError(
                f"{shard} was written together with {name}, which is missing beside it; copy the "
                "data set again"
            )


def count_labels(shard: PathLike) -> Counter[int]:
    """Count the photos of each label in a shard, and make sure the shard is whole.

    Reads the index beside the shard, and what the shard says of itself, not the photos.

    Raises:
        UserError: the shard is cut short or renamed, it is not the MindRecord file its index is
            about, or they are not what `dataset.json` says.
    """
    shard = os.fspath(shard)
    _check_present(shard)
    header = _read_header(shard)
    counts, name, last_byte = _read_index(shard, header.page_size)
    photos = sum(counts.values())
    size, needed = os.path.getsize(shard), header.header_size + last_byte if photos else 0
    if size < needed:
        raise UserError(
            f"{shard} is cut short: {size} bytes of at least {needed}; copy or build it again"
        )
    if name != os.path.basename(shard):
        raise UserError(f"{shard} was written as {name}: give it that name again, or copy it again")
    own = sum(page.end_row_id - page.start_row_id for page in header.page or ())
    if photos != own:
        raise UserError(
            f"{shard} holds {own} photos, but {shard}.db tells of {photos}: the two do not belong "
            "together; copy or build them again"
        )
    manifest = read_manifest(Path(shard).parent)
    if manifest is not None:
        manifest.check_photos(Path(shard), photos)
        manifest.check_digest(Path(shard + ".db"))
    return counts


def _read_header(shard: str) -> _Header:
    """Return what a MindRecord file says of itself, of the pages those that hold photos."""
    try:
        with open(shard, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            content = file.read(length) if length < _LARGEST_HEADER else b"{}"
        header = shaped(parse_json(content), _Header)
        pages = [page for page in header.page or () if page.page_type == "BLOB_DATA"]
        return replace(header, page=tuple(pages))
    except (OSError, ValueError) as error:
        raise_if_of_system(error, shard)
        raise _damaged(shard, error) from error


def _read_index(shard: str, page_size: int) -> tuple[Counter[int], str, int]:
    """Return what is in the `.db` of a shard: photos of each label, its name, the last byte."""
    uri = f"{Path(shard + '.db').absolute().as_uri()}?mode=ro"
    try:
        open_regular(f"{shard}.db").close()  # of one that may not be read SQLite does not say why
        index = sqlite3.connect(uri, uri=True)
        try:
            columns = [row[1] for row in index.execute("PRAGMA table_info(INDEXES)")]
            label = next(name for name in columns if re.fullmatch(r"label_\d+", name))
            counts = Counter(
                dict(index.execute(f"SELECT {label}, COUNT(*) FROM INDEXES GROUP BY {label}"))
            )
            (last_byte,) = index.execute(
                "SELECT MAX(MAX(PAGE_ID_BLOB * :page + PAGE_OFFSET_BLOB_END,"
                " PAGE_ID_RAW * :page + PAGE_OFFSET_RAW_END)) FROM INDEXES",
                {"page": page_size},
            ).fetchone()
            (name,) = index.execute("SELECT NAME FROM SHARD_NAME").fetchone()
            # SQLite keeps whatever it is given in any column.
            numbers = (last_byte or 0, *counts)
            if type(name) is not str or not all(type(n) is int for n in numbers):
                raise ValueError("it holds texts where numbers belong")
        finally:
            index.close()
    except (OSError, ValueError, TypeError, StopIteration, OverflowError, sqlite3.Error) as error:
        raise_if_of_system(error, f"{shard}.db")
        raise _damaged(shard, error) from error
    return counts, os.path.basename(name), last_byte or 0


def _damaged(shard: str, error: Exception) -> UserError:
    return UserError(
        f"{shard} or its .db file is damaged or was not written by src/build_image_dataset.py "
        f"({one_line(error)}); copy or build it again"
    )


def count_classes(shards: Shards) -> int:
    """Return the number of classes K by `relabeling.csv` beside the shards.

    The labels of all training and validation shards are checked against it, and their number
    against `dataset.json`. Where there is none (a set of another program), a line says what cannot
    be checked then.

    Raises:
        UserError: the table or a shard is missing or damaged, a label is outside [0, K), or K is
            not the number of labels that the set was built with.
    """
    train = find_shards(shards)
    table = Path(train[0]).parent / RELABELING
    classes = _count_new_labels(table)
    manifest = read_manifest(table.parent)
    if manifest is not None:
        if classes != manifest.classes:
            raise UserError(
                f"{table} has {classes} classes, but {manifest.path} says {manifest.classes}: the "
                "two do not belong together; copy or build the data set again"
            )
        manifest.check_digest(table)
    validation = find_shards(train[0], SPLITS[1]) if Path(train[0]).name.startswith("train") else []
    photos = 0
    for shard in [*train, *validation]:
        labels_of_shard = count_labels(shard)
        photos += sum(labels_of_shard.values())
        for label in sorted(labels_of_shard):
            if not 0 <= label < classes:
                raise UserError(
                    f"{shard} holds the label {label}, but {table} has {classes} classes "
                    f"(0 to {classes - 1}): the two do not belong together"
                )
    if manifest is None:
        LOG.warning(
            "no %s beside %s: whether the last shards are missing cannot be told (%d for training, "
            "%d for validation, %d photos of %d classes are there)",
            *(MANIFEST, train[0], len(train), len(validation), photos, classes),
        )
    return classes


def _count_new_labels(table: Path) -> int:
    missing = f"no {RELABELING} in {table.parent}; it is written by src/build_image_dataset.py"
    labels: list[int] = []
    for part in read_columns(table, ("new_label",), missing):
        labels += whole_numbers(part["new_label"], table).tolist()
    if not len(labels) or sorted(labels) != list(range(len(labels))):
        raise UserError(f"the new_label column of {table} does not count 0, 1, …; build it again")
    return len(labels)


def _check_present(shard: str) -> None:
    for path in (shard, shard + ".db"):
        if not os.path.isfile(path):
            raise UserError(f"{path} is missing; copy or build the data set again")
