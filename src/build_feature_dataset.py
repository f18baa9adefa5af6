"""Build the index of one or several feature folders, or bring it up to date."""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
from collections.abc import Sequence
from pathlib import Path

from src.common.errors import run_command
from src.index.build import build_index, remove_images, update_index
from src.index.choice import add_index_arguments, settings_from_arguments


def main(arguments: Sequence[str] | None = None) -> None:
    """Build or change an index from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--features_path", type=Path, nargs="+", help="folders of features, one or several"
    )
    parser.add_argument("--index_path", type=Path, required=True, help="folder of the index")
    parser.add_argument(
        "--update",
        action="store_true",
        help="make an index hold what the folders hold now, without building it anew",
    )
    parser.add_argument("--remove", nargs="+", metavar="NAME", help="take images out of the index")
    add_index_arguments(parser)
    args = parser.parse_args(arguments)
    if args.remove:
        if args.features_path or args.update:
            parser.error("--remove goes without --features_path and --update")
        remove_images(args.index_path, args.remove)
        return
    if not args.features_path:
        parser.error("--features_path is missing")
    make = update_index if args.update else build_index
    make(args.features_path, args.index_path, settings_from_arguments(args))


if __name__ == "__main__":
    run_command(main)
