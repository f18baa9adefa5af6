"""Tables as spreadsheets write them, and where they are wrong."""

import numpy as np
import pytest

from src.common.csv_tables import read_columns, whole_numbers
from src.common.errors import UserError

WANTED = {"landmark_id": [1, 22], "images": ["a b", "c"]}


@pytest.mark.parametrize(
    "text",
    [
        "landmark_id,images\n1,a b\n22,c\n",
        " landmark_id , images\n1, a b\n22 ,c\n",
        "landmark_id,images,,\n1,a b,,\n22,c,,\n,,,\n",
        "landmark_id,images\n1,a b,,\n22,c,,\n",
        "\ufefflandmark_id,images\r\n1,a b\r\n\r\n22,c\r\n",
        'url,images,landmark_id\nx,"a b",1\n"y, z",c,22\n',
    ],
    ids=["plain", "blanks", "commas of a spreadsheet", "commas behind", "windows", "other columns"],
)
@pytest.mark.parametrize("rows_at_once", [1, 10])
def test_a_table_is_read_however_it_was_written(tmp_path, text, rows_at_once):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    parts = list(read_columns(path, tuple(WANTED), "there is none", rows_at_once))
    numbers = np.concatenate([whole_numbers(part["landmark_id"], path) for part in parts])
    assert numbers.tolist() == WANTED["landmark_id"]
    assert [text for part in parts for text in part["images"]] == WANTED["images"]


def test_the_line_is_named_in_later_parts_too(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("landmark_id\n" + "1\n" * 7 + "\nseven\n")
    with pytest.raises(UserError, match="line 10: landmark_id is seven, not a whole number"):
        for part in read_columns(path, ("landmark_id",), "there is none", 3):
            whole_numbers(part["landmark_id"], path)
