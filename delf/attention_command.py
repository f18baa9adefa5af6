"""Draw where the network looks in a photo: the map of its scores over it, and its features.

The scores are those that features are chosen by: the attention, or the norm of the descriptors
where the weights have none (`score` says which). Each feature is a circle around the centre of its
receptive field, red and large where it looks at something large.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from delf.settings import divided
from delf.single import attention


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the attention of one photo from the command line."""
    parser = argparse.ArgumentParser(
        prog="delf attention",
        description=__doc__,
        epilog="All settings of delf_config.yaml may follow as --name=value.",
        allow_abbrev=False,
    )
    parser.add_argument("photo", metavar="PHOTO", help="a photo")
    parser.add_argument("--output", default="attention.jpg", help="the picture (%(default)s)")
    taken, settings = divided(sys.argv[1:] if arguments is None else arguments, ["output"])
    own = parser.parse_args(taken)
    features = attention(own.photo, own.output, **settings)
    print(f"{len(features)} features; see {own.output}")
