"""Reading columns of csv tables as people and spreadsheets write them.

Names in the header may have blanks around them; rows may end with commas too many; rows in which
nothing stands do not count.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from src.common.atomic_files import PathLike
from src.common.errors import UserError, one_line
from src.common.regular_files import open_regular


def read_columns(
    path: PathLike, columns: Sequence[str], if_missing: str, rows_at_once: int = 1_000_000
) -> Iterator[pd.DataFrame]:
    """Yield some columns of a csv file (UTF-8), in parts that fit in memory.

    Args:
        path: the file.
        columns: their names.
        if_missing: the message where there is no such file.
        rows_at_once: rows of a part.

    Yields:
        The columns as text without blanks around it, "" where nothing stands. The index is the
        number of the line, from 1, as long as no text in the file goes over several.

    Raises:
        UserError: the file is missing, cannot be read, or lacks a column.
    """
    options = {"dtype": str, "keep_default_na": False, "index_col": False}
    try:
        # A pipe is refused before pandas waits for it.
        with open_regular(path) as file:
            present = list(pd.read_csv(file, nrows=0, **options).columns)
            places = {str(name).strip(): place for place, name in enumerate(present)}
            missing = [name for name in columns if name not in places]
            if missing:
                shown = ", ".join(places)[:200]
                raise UserError(f"{path} has no column {', '.join(missing)} (it has: {shown})")
            file.seek(0)
            parts = pd.read_csv(
                file,
                usecols=[places[name] for name in columns],
                chunksize=rows_at_once,
                skip_blank_lines=False,
                **options,
            )
            names = {present[places[name]]: name for name in columns}
            for part in parts:
                part = part.rename(columns=names).fillna("").apply(lambda texts: texts.str.strip())
                part.index += 2
                yield part[(part != "").any(axis=1)]
    except FileNotFoundError:
        raise UserError(if_missing) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or one_line(error)}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, csv.Error) as error:
        reason = one_line(error)[:200]
        raise UserError(f"{path} is not a csv file that can be read: {reason}") from error


def whole_numbers(column: pd.Series, path: PathLike) -> np.ndarray:
    """Return a column of such a table as int64.

    Raises:
        UserError: a line holds something else.
    """
    try:
        return column.to_numpy().astype(np.int64)
    except (ValueError, OverflowError):
        line, text = next((line, text) for line, text in column.items() if not _is_int64(text))
    raise UserError(
        f"{path}, line {line}: {column.name} is {text[:40] or 'empty'}, not a whole number"
    ) from None


def _is_int64(text: str) -> bool:
    try:
        np.int64(int(text))
    except (ValueError, OverflowError):
        return False
    return True
