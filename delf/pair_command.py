"""`delf match A B`: two photos, their inliers and a picture of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from delf.arguments import parsed, word_parser
from delf.single import match
from src.pages.match_picture import draw_matches
from src.photos.reading import read_image


def main(arguments: Sequence[str] | None = None) -> None:
    """Match two photos from the command line."""
    parser = word_parser("match", __doc__)
    parser.add_argument("first", metavar="A", help="a photo")
    parser.add_argument("second", metavar="B", help="another")
    parser.add_argument("--output", default="match.jpg", help="the picture (%(default)s)")
    own, settings = parsed(parser, arguments, ["output"])
    found = match(own.first, own.second, **settings)
    photos = [read_image(path) for path in (own.first, own.second)]
    draw_matches(*photos, found, own.output, (Path(own.first).name, Path(own.second).name))
    print(f"{found.inlier_count} inliers of {len(found.inliers)} matches; see {own.output}")
