"""Search a folder of photos for those that show what a query photo shows, and see why.

The folder is described once; later only photos that are new or have changed. All that is kept lies
under `work_path`: nothing is written to the photos' folder.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import os
    import sys
    import time

    BEGINNING = time.perf_counter()
    sys.path[0] = os.path.realpath(f"{__file__}/../../..")
    from src.common.leaving import leave_on_interrupt

    leave_on_interrupt()
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from model_utils.bounds import number
from model_utils.config import divided, load_config
from model_utils.environment import IS_INSTALLED, PROJECT_ROOT
from model_utils.host_lock import exclusive
from src.common.atomic_files import PathLike
from src.common.digests import sha256_of
from src.common.errors import QUIET, VERBOSE, UserError, run_command, set_up_logging
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import Box
from src.pages.box import write_box_page
from src.pages.query_sheet import Result
from src.photo_search.asking import Query
from src.photo_search.opening import open_collection, photos_of
from src.photo_search.queries import STAGES, Found, find
from src.photo_search.settings import SearchSettings
from src.ranking.verdict import NOT_HERE

LOG = logging.getLogger(__name__)
#: The box is to be drawn on a page.
DRAWN = "drawn"
SETTINGS = PROJECT_ROOT / "scripts" / "search.yaml"


def search(
    settings: SearchSettings,
    photos: PathLike,
    queries: Sequence[PathLike],
    top: int,
    forget: bool = False,
    stages: Stopwatch | None = None,
    box: Box | None = None,
) -> list[Found]:
    """Bring what is known of a folder of photos up to date and search it for queries.

    Args:
        settings: weights and settings; results lie under its `work_path`.
        photos: folder of photos, searched with its sub-folders.
        queries: photos to look for; they may lie in the folder or elsewhere.
        top: results to show of each.
        forget: drop the features of photos that are not there any more.
        stages: counts the time of `STAGES`.
        box: (left, top, right, bottom) of the part of the query that is looked for, in its pixels.

    Raises:
        UserError: the folder holds no photo that can be read, a query cannot be read, weights or
            settings do not fit.
    """
    stages = stages or Stopwatch(STAGES)
    photos = Path(os.path.abspath(photos))
    asked = [Query(Path(os.path.abspath(query)), box) for query in queries]
    for query in asked:
        if not os.path.isfile(query.photo):
            raise UserError(f"there is no query photo {query.photo}")
    images = photos_of(settings, photos)
    with stages.part("choose"):
        collection = open_collection(settings, photos)
    with exclusive(collection.folder, "searching these photos"):
        with stages.part("folder"):
            collection.update(images)
        if forget:
            collection.forget(images)
        return find(collection, settings.retrieval, asked, top, stages) if asked else []


def report(found: Sequence[Found], seconds: float) -> str:
    """Return what is printed: the nearest photos of each query and where to look at them."""
    lines = []
    for each in found:
        lines.append(f"{each.query}:")
        if not each.results:
            lines.append("  nothing that could be compared was found")
        elif all(result.verdict == NOT_HERE for result in each.results):
            lines.append(
                "  not here, it seems: no photo in all probability shows the same; nearest:"
            )
        width = max((len(result.name) for result in each.results), default=0)
        lines += [
            f"  {result.rank:>3}  {result.name:<{min(width, 60)}}  {_told(result)}"
            for result in each.results
        ]
    lines.append(f"Why they match: {found[0].page}  ({seconds:.1f} s)")
    return "\n".join(lines)


def _told(result: Result) -> str:
    """Return what is printed of a photo that was found, behind its name."""
    if result.probability is None:
        return result.score
    return f"{result.verdict:<8}  {result.score}"


def sort_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide a command line: what is for this program, photos last, and settings (--name=value).

    argparse by itself takes a setting that it does not know for a photo when there is a space in
    its value, and photos between options for none.

    >>> sort_arguments(["photos", "--work_path=my work", "--top=3", "--", "-1.jpg"])
    (['--top=3', '--', 'photos', '-1.jpg'], ['--work_path=my work'])
    >>> sort_arguments(["photos", "query.jpg", "--box"])
    (['--box', '--', 'photos', 'query.jpg'], [])
    """
    own, photos = [], []
    taken, settings = divided(arguments, ("top", "box"))
    left = deque(taken)
    while left:
        argument = left.popleft()
        if argument == "--":
            photos += left
            break
        if argument == "--top" and left:
            own += [argument, left.popleft()]
        else:
            (own if argument.startswith("-") else photos).append(argument)
    return [*own, "--", *photos], settings


def parse_box(text: str) -> Box:
    """Return (left, top, right, bottom) of "x,y,width,height".

    >>> parse_box("10,20,300,400")
    (10.0, 20.0, 310.0, 420.0)

    Raises:
        UserError: it is no box.
    """
    try:
        left, top, width, height = (float(part) for part in text.split(","))
    except ValueError:
        width = height = left = top = math.nan
    if not (math.isfinite(left + top + width + height) and width > 0 and height > 0):
        raise UserError(f"--box is {text!r}; give --box=X,Y,WIDTH,HEIGHT in pixels of the query")
    return left, top, left + width, top + height


def _box_page(settings: SearchSettings, given: argparse.Namespace, others: Sequence[str]) -> Path:
    """Write the page on which the box is drawn, and return it."""
    (query,) = given.queries
    if not os.path.isfile(query):
        raise UserError(f"there is no query photo {query}")
    paths = (os.path.abspath(given.photos), os.path.abspath(query))
    script = PROJECT_ROOT / "scripts" / "run_search.sh"
    begin = ["delf", "search"] if IS_INSTALLED or os.name == "nt" else ["bash", str(script)]
    command = [*begin, *paths, f"--top={given.top}", *others]
    folder = Path(os.path.abspath(settings.work_path), "boxes", sha256_of(Path(query))[:16])
    return write_box_page(folder, query, command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Search from the command line."""
    start = time.perf_counter()
    stages = Stopwatch(STAGES)
    beginning = globals().get("BEGINNING", start)
    stages.seconds["import"] = start - beginning
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="All settings of delf_config.yaml may follow as --name=value.",
        allow_abbrev=False,
    )
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument(
        "queries", nargs="*", default=[], help="photos to look for; none: describe the folder"
    )
    top = number(int, "top", min=1)
    parser.add_argument("--top", type=top, default=10, help="results to show (%(default)s)")
    parser.add_argument(
        "--forget",
        action="store_true",
        help="drop the features of photos that are gone; they are kept in case they come back",
    )
    parser.add_argument(
        "--box",
        nargs="?",
        const=DRAWN,
        metavar="X,Y,WIDTH,HEIGHT",
        help="look for this part of the query only, in its pixels; --box alone: draw it on a page",
    )
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="say results and warnings only")
    loudness.add_argument("--verbose", action="store_true", help="say more of what is done")
    own, others = sort_arguments(sys.argv[1:] if arguments is None else arguments)
    given = parser.parse_args(own)
    if given.quiet or given.verbose:
        set_up_logging(QUIET if given.quiet else VERBOSE)
    config = load_config(others, description=parser.description, config_path=str(SETTINGS))
    settings = SearchSettings.from_config(config)
    if given.box is not None and len(given.queries) != 1:
        raise UserError(f"--box is a part of one query photo; {len(given.queries)} are given")
    if given.box == DRAWN:
        print(f"Draw the box on this page: {_box_page(settings, given, others)}")
        return
    box = None if given.box is None else parse_box(given.box)
    found = search(settings, given.photos, given.queries, given.top, given.forget, stages, box)
    seconds = time.perf_counter() - beginning
    if found:
        LOG.info("time: %s", stages.text())
        print(report(found, seconds))
    else:
        print(f"{given.photos} is ready to be searched ({seconds:.1f} s)")


if __name__ == "__main__":
    run_command(main)
