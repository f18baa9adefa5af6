"""Group photos of one thing: the same file, near-duplicates, the same building.

Writes a page and a table. Nothing is written to the photos' folder, and no photo is removed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from delf.arguments import parsed, word_parser
from delf.photos import PhotoSearch
from src.common.errors import UserError
from src.pages.document import PAGE_NAME
from src.photo_search.duplicates import TABLE_NAME, summary


def main(arguments: Sequence[str] | None = None) -> None:
    """Look for duplicates from the command line."""
    parser = word_parser("duplicates", __doc__)
    parser.add_argument("photos", metavar="PHOTOS", help="folder of photos, with its sub-folders")
    parser.add_argument(
        "--output", metavar="FOLDER", help="of the page and the table (duplicates in work_path)"
    )
    own, settings = parsed(parser, arguments, ["output"])
    folder = Path(os.path.abspath(own.photos))
    if own.output and Path(os.path.abspath(own.output)).is_relative_to(folder):
        raise UserError(
            f"--output={own.output} lies in {folder}: its pictures would be photos of the next "
            "search; give a folder elsewhere"
        )
    photos = PhotoSearch(folder, **settings)
    count = photos.update()
    output = Path(os.path.abspath(own.output or photos.kept / "duplicates"))
    groups = photos.duplicates(output)
    print(f"{summary(groups, count)}.")
    print(f"Page: {output / PAGE_NAME}")
    print(f"Table: {output / TABLE_NAME}")
