"""Write the features of a folder, and verified matches, as the files of another program.

    python3 -m src.exchange --features FEATURES --photos PHOTOS --to hloc --output OUT
    python3 -m src.exchange --from hloc --input features.h5 --features FEATURES

Formats: hloc, colmap, kapture, delf and numpy; read: hloc, colmap, delf and numpy.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a module or as a script, from any folder, by any Python
    import os
    import sys

    sys.path[0] = os.path.realpath(f"{__file__}/../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import errno
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from model_utils.bounds import number
from src.common.atomic_files import temporary_name
from src.common.errors import UserError, run_command
from src.describe.delf_files import export_delf, import_delf
from src.exchange import colmap_text
from src.exchange.colmap_database import DATABASE, read_database, write_database
from src.exchange.feature_folder import import_features
from src.exchange.hloc_files import check_hloc_names, read_hloc_features, write_hloc
from src.exchange.kapture_folder import write_kapture
from src.exchange.kept_matches import KeptMatches
from src.exchange.numpy_file import FEATURES, read_numpy, write_numpy
from src.exchange.pairs import MatchedPair, Pair, all_pairs, read_pairs, retrieved_pairs
from src.exchange.photo_set import PhotoSet

LOG = logging.getLogger(__name__)
ALL, RETRIEVAL = "all", "retrieval"

Writer = Callable[[Path, PhotoSet, Sequence[MatchedPair]], None]


def _colmap(folder: Path, photos: PhotoSet, matched: Sequence[MatchedPair]) -> None:
    write_database(folder / DATABASE, photos, matched)
    if any(" " in name for name in photos.names):
        LOG.warning(
            "a photo's name has a space, which COLMAP's text files cannot: none are written"
        )
        return
    colmap_text.write_keypoint_texts(folder / colmap_text.KEYPOINTS, photos)
    if matched:
        colmap_text.write_match_list(folder / colmap_text.MATCHES, matched)


WRITERS: dict[str, Writer] = {
    "hloc": write_hloc,
    "colmap": _colmap,
    "kapture": write_kapture,
    "delf": lambda folder, photos, _: export_delf(photos.folder, folder),
    "numpy": lambda folder, photos, matched: write_numpy(folder / FEATURES, photos, matched),
}
READERS = {"hloc": read_hloc_features, "colmap": read_database, "numpy": read_numpy}


def export(
    photos: PhotoSet, form: str, output: Path, pairs: str | None = None, top: int = 20
) -> int:
    """Write a folder of files of another program, all or none of them; return how many pairs.

    Matches are kept beside `output` until it is complete: a run that was stopped goes on.

    Args:
        photos: what is written.
        form: one of `WRITERS`.
        output: folder to be made; it may be there and empty.
        pairs: which photos are matched: "all", "retrieval" or a file; None: none.
        top: for retrieval, how many others a photo is matched with.

    Raises:
        UserError: there is something in `output`, a list of pairs is wrong, or the names of photos
            cannot stand in the files.
    """
    output = Path(os.path.abspath(output))
    if form == "hloc":
        check_hloc_names(photos.names)
    temporary = _begin(output)  # before hours of matching
    try:
        kept = KeptMatches(output, photos, _chosen(photos, pairs, top))
        matched = kept.all()
        WRITERS[form](temporary, photos, matched)
        _put(temporary, output)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    kept.forget()
    return len(matched)


def _put(made: Path, output: Path) -> None:
    """Move what was made to its place; an empty folder that is there stays the same folder."""
    if not output.exists():
        os.replace(made, output)
        return
    for each in sorted(made.iterdir()):
        os.replace(each, output / each.name)
    made.rmdir()


def _begin(output: Path) -> Path:
    """Make the folder that becomes the output when all is written.

    Raises:
        UserError: there is something already, or nothing can be written there.
    """
    temporary = temporary_name(output)
    try:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise UserError(f"{output} is there already and not empty; give another --output")
        temporary.mkdir(parents=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"cannot write to {output} ({error.strerror}); give another --output"
        ) from None
    return temporary


def _chosen(photos: PhotoSet, pairs: str | None, top: int) -> Sequence[Pair]:
    if pairs is None:
        return []
    if pairs == ALL:
        return all_pairs(photos)
    return retrieved_pairs(photos, top) if pairs == RETRIEVAL else read_pairs(Path(pairs), photos)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=sys.argv[0] if sys.argv[0].startswith("delf ") else "python3 -m src.exchange",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--features", type=Path, required=True, help="feature folder")
    parser.add_argument("--photos", type=Path, help="folder of its photos")
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument("--to", choices=sorted(WRITERS), help="write files of this program")
    direction.add_argument(
        "--from",
        dest="source",
        choices=sorted((*READERS, "delf")),
        help="make the feature folder of files of this program",
    )
    parser.add_argument("--output", type=Path, help="with --to: folder to be made")
    parser.add_argument("--input", type=Path, help="with --from: the file; delf: the folder")
    parser.add_argument(
        "--pairs",
        metavar="all|retrieval|FILE",
        help="with --to: photos to match; all: every two; retrieval: each with the --top that a "
        "search finds; FILE: two names a line (default: none)",
    )
    top = number(int, "top", min=1)
    parser.add_argument("--top", type=top, default=20, help="with retrieval (%(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Write or read files of another program from the command line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    needed = "output" if given.to else "input"
    if getattr(given, needed) is None:
        parser.error(f"--{needed} is missing")
    if given.to:
        photos = PhotoSet(given.features, given.photos)
        count = export(photos, given.to, given.output, given.pairs, given.top)
        LOG.info("%d photos and %d pairs in %s", len(photos), count, given.output)
    elif given.source == "delf":
        made = import_delf(given.input, given.features, given.photos)
        LOG.info("features of %d photos in %s", len(made.images), given.features)
    else:
        found = READERS[given.source](given.input)
        import_features(found, given.features, f"{given.source} file {given.input.name}")
        LOG.info("features of %d photos in %s", len(found), given.features)


if __name__ == "__main__":
    run_command(main)
