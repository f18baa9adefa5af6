"""The figures of a training, step by step: a file of JSON lines, one object a record.

A record holds `step` and what was known at it, say `{"step": 20, "epoch": 1, "loss": 0.69}`.
Whoever follows a running training may read the file at any time.
"""

from __future__ import annotations

import contextlib
import json
import math
import numbers
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike, write_text
from src.common.errors import UserError, naming_file
from src.common.regular_files import read_regular

Value = int | float | None


class MetricsLog:
    """Appends records to a file; a training that goes on keeps what its earlier run recorded.

    Of a file that is there, the records of steps up to `last_step` are kept. Later ones are
    dropped, since those steps are about to be done again, and so is a half-written last line. The
    log of a training that was killed and resumed so holds each step once. `last_step` 0 begins an
    empty file. Folders on the way are made.

    Raises:
        UserError: the records to keep cannot be read, or nothing can be written there.
    """

    def __init__(self, path: PathLike, last_step: int = 0):
        self.path = Path(path)
        kept = []
        if last_step > 0 and self.path.exists():
            kept = [record for record in read_metrics(self.path) if record["step"] <= last_step]
        try:
            write_text(self.path, "".join(map(_line, kept)))
            # Unbuffered: each line goes to the file in one write, and is there when add() returns.
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115  closed by close()
        except (PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            raise UserError(
                f"metrics cannot be written to {self.path} ({error.strerror}); name another file"
            ) from error

    def add(self, step: int, **values: Value) -> None:
        """Append a record. None is left out; a number that is not finite is written as null.

        Args:
            step: counted from 1 over the whole training.
            values: named figures, say `loss=0.69, epoch=1`; NumPy's numbers will do as well.
        """
        known = {name: _plain(value) for name, value in values.items() if value is not None}
        with naming_file(self.path):
            self._file.write(_line({"step": int(step), **known}).encode())

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()


def read_metrics(path: PathLike) -> list[dict[str, Any]]:
    """Return the records of a file, in its order.

    A last line that a killed training left unfinished is passed over.

    Raises:
        UserError: the file is missing, or a line of it is no record.
    """
    path = Path(path)
    try:
        text = read_regular(path)
    except OSError as error:
        raise UserError(
            f"metrics {path} cannot be read ({error.strerror}); name the train_<stage>.jsonl of a "
            "training"
        ) from error
    *lines, rest = text.split(b"\n")
    records = [_record(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    # Half an object is never an object: what can be read without its line break is whole.
    with contextlib.suppress(UserError):
        records.append(_record(path, len(lines) + 1, rest))
    return records


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or type(record.get("step")) is not int:
            raise ValueError("no object with a step")
    except ValueError as error:  # broken JSON or UTF-8
        raise UserError(
            f"{path}, line {number} is no record of a training; remove the line, or name "
            "another file"
        ) from error
    return record


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def _plain(value: int | float) -> int | float | None:
    if isinstance(value, numbers.Integral):  # NumPy's too
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None
