"""MindRecord shards of a training set: which there are, whether they are whole, their labels."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from src.common.atomic_files import PathLike
from src.common.errors import UserError, one_line

RELABELING = "relabeling.csv"
SPLITS = ("train", "validation")
Shards = PathLike | Sequence[PathLike]

_NAME = re.compile(r"(?P<split>.*?)(?P<kind>\.mindrecord)(?P<number>\d*)")


def find_shards(shards: Shards, split: str | None = None) -> list[str]:
    """Find all the shards of a data set from one of them.

    Args:
        shards: one shard (`…/train.mindrecord000`), whose siblings are found by their numbers, or
            the folder of a data set; a list of shards is taken as it is.
        split: "train" or "validation", whichever the given shard belongs to; None: as given.

    Returns:
        Paths in the order of their numbers; empty where there are no validation shards.

    Raises:
        UserError: the shard, its `.db` file or one of the numbers in between is missing.
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
    return found


def count_labels(shard: PathLike) -> Counter[int]:
    """Count the photos of each label in a shard, and make sure the shard is whole.

    Reads the index beside the shard only, not the photos.

    Raises:
        UserError: the shard is cut short, or it is not the MindRecord file its index is about.
    """
    shard = os.fspath(shard)
    _check_present(shard)
    try:
        with open(shard, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < 1 << 27 else {}
        uri = f"{Path(shard + '.db').absolute().as_uri()}?mode=ro"
        index = sqlite3.connect(uri, uri=True)
        try:
            columns = [row[1] for row in index.execute("PRAGMA table_info(INDEXES)")]
            label = next(name for name in columns if re.fullmatch(r"label_\d+", name))
            counts = Counter(
                dict(index.execute(f"SELECT {label}, COUNT(*) FROM INDEXES GROUP BY {label}"))
            )
            last_byte = index.execute(
                "SELECT MAX(MAX(PAGE_ID_BLOB * :page + PAGE_OFFSET_BLOB_END,"
                " PAGE_ID_RAW * :page + PAGE_OFFSET_RAW_END)) FROM INDEXES",
                {"page": header["page_size"]},
            ).fetchone()[0]
        finally:
            index.close()
    except (OSError, ValueError, KeyError, StopIteration, sqlite3.Error) as error:
        raise UserError(
            f"{shard} or its .db file is damaged or was not written by "
            f"src/build_image_dataset.py ({one_line(error)}); copy or build it again"
        ) from error
    size, needed = os.path.getsize(shard), header["header_size"] + last_byte if counts else 0
    if size < needed:
        raise UserError(
            f"{shard} is cut short: {size} bytes of at least {needed}; copy or build it again"
        )
    return counts


def count_classes(shards: Shards) -> int:
    """Return the number of classes K by `relabeling.csv` beside the shards.

    The labels of all training and validation shards are checked against it.

    Raises:
        UserError: the table or a shard is missing or damaged, or a label is outside [0, K).
    """
    train = find_shards(shards)
    table = Path(train[0]).parent / RELABELING
    try:
        labels = pd.read_csv(table, usecols=["new_label"])["new_label"]
    except FileNotFoundError:
        raise UserError(
            f"no {RELABELING} beside {train[0]}; it is written by src/build_image_dataset.py"
        ) from None
    except (ValueError, OSError) as error:
        raise UserError(f"{table} cannot be read: {one_line(error)}") from error
    classes = len(labels)
    if not classes or sorted(labels) != list(range(classes)):
        raise UserError(f"the new_label column of {table} does not count 0, 1, …; build it again")
    validation = find_shards(train[0], SPLITS[1]) if Path(train[0]).name.startswith("train") else []
    for shard in [*train, *validation]:
        for label in sorted(count_labels(shard)):
            if not 0 <= label < classes:
                raise UserError(
                    f"{shard} holds the label {label}, but {table} has {classes} classes "
                    f"(0 to {classes - 1}): the two do not belong together"
                )
    return classes


def _check_present(shard: str) -> None:
    for path in (shard, shard + ".db"):
        if not os.path.isfile(path):
            raise UserError(f"{path} is missing; copy or build the data set again")
