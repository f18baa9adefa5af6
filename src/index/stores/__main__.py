"""Fill a store with the global descriptors of feature folders, and search it.

Settings (vector_store, milvus_uri, …; see delf_config.yaml) are given as --name=value.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from model_utils.bounds import number
from model_utils.config import load_config
from src.common.atomic_files import write_csv
from src.common.errors import run_command
from src.index.stores.filling import ask, fill, read_folders
from src.index.stores.interface import Only
from src.index.stores.opening import open_store
from src.index.stores.settings import StoreSettings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m src.index.stores", description=__doc__, allow_abbrev=False
    )
    actions = parser.add_subparsers(dest="action", required=True)
    fill_ = actions.add_parser("fill", help="add photos that are not there yet")
    fill_.add_argument("--part", default="", help="of the collection that they belong to")
    fill_.add_argument(
        "--mirror", action="store_true", help="remove photos that none of the folders has"
    )
    search = actions.add_parser("search", help="find the photos nearest to those of a folder")
    search.add_argument("--part", action="append", default=[], help="search these parts only")
    search.add_argument(
        "--top", type=number(int, "top", min=1), default=10, help="photos a query (%(default)s)"
    )
    search.add_argument("--ranks", type=Path, help="csv to write: query,rank,photo,score")
    remove = actions.add_parser("remove", help="take photos out")
    remove.add_argument("--photo", action="append", required=True, help="its name; repeatable")
    describe = actions.add_parser("describe", help="say what the store is")
    for action in (fill_, search, remove, describe):
        action.add_argument("features", nargs="+", type=Path, help="feature folders")
        action.add_argument(
            "--store_path", type=Path, default=Path("store"), help="faiss: folder (%(default)s)"
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args, settings = _parser().parse_known_args(arguments)
    config = load_config(settings, __doc__)
    folders = read_folders(args.features)
    dimension = folders[0].dimension()
    with open_store(
        StoreSettings.from_config(config), args.store_path, folders[0].made_with, dimension
    ) as store:
        if args.action == "fill":
            print(fill(store, folders, args.part, args.mirror))
        elif args.action == "remove":
            print(f"{store.remove(args.photo)} photos removed")
            store.flush()
        elif args.action == "search":
            only = Only(parts=tuple(args.part))
            rows = [
                (query, rank, name, f"{score:.6f}")
                for folder in folders
                for query, found in ask(store, folder, args.top, only)
                for rank, (name, score) in enumerate(zip(found.names, found.scores), start=1)
            ]
            if args.ranks:
                write_csv(args.ranks, ("query", "rank", "photo", "score"), rows)
            else:
                print("\n".join("\t".join(map(str, row)) for row in rows))
        else:
            print(json.dumps(store.describe(), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    run_command(main)
