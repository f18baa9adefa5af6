"""Draw where the network looks in a photo: the map of its scores over it, and its features.

The scores are those that features are chosen by: the attention, or the norm of the descriptors
where the weights have none (`score` says which). Each feature is a circle around the centre of its
receptive field, red and large where it looks at something large.
"""

from __future__ import annotations

from collections.abc import Sequence

from delf.arguments import parsed, word_parser
from delf.single import attention


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the attention of one photo from the command line."""
    parser = word_parser("attention", __doc__)
    parser.add_argument("photo", metavar="PHOTO", help="a photo")
    parser.add_argument("--output", default="attention.jpg", help="the picture (%(default)s)")
    own, settings = parsed(parser, arguments, ["output"])
    features = attention(own.photo, own.output, **settings)
    print(f"{len(features)} features; see {own.output}")
