"""Lists of photos that people leave out."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from src.common.text_files import read_lines


def read_left_out(paths: Sequence[str]) -> set[str]:
    """Return the ids of photos to leave out: what a line begins with, an id or a file."""
    left_out = set()
    for path in paths:
        missing = f"there is no list {path} of photos to leave out"
        for line in read_lines(Path(path), "list of photos to leave out", missing):
            left_out.add(Path(re.split(r"[\s,]", line, maxsplit=1)[0]).stem)
    return left_out


def add_labelled_photos_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which photos of known landmarks are learned from."""
    parser.add_argument(
        "--images_path", required=True, nargs="+", help="folders of photos, each with a train.csv"
    )
    parser.add_argument(
        "--leave_out",
        nargs="+",
        default=[],
        help="text files whose lines begin with the id or the file of a photo to leave out",
    )
