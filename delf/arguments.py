"""The command lines of the words of `delf`: what a word takes itself, and settings behind it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from delf.settings import divided


def word_parser(word: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of what a word takes itself."""
    return argparse.ArgumentParser(
        prog=f"delf {word}",
        description=description,
        epilog="All settings of delf_config.yaml may follow as --name=value.",
        allow_abbrev=False,
    )


def parsed(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, own: Sequence[str]
) -> tuple[argparse.Namespace, dict[str, str]]:
    """Return what a word takes itself, and the settings (name → value).

    Args:
        parser: by `word_parser`.
        arguments: of the command line; None: those of the program.
        own: names of the word's own options.
    """
    taken, settings = divided(sys.argv[1:] if arguments is None else arguments, own)
    return parser.parse_args(taken), settings
