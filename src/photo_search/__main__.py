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
import os
import re
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from model_utils.bounds import number
from model_utils.config import load_config
from model_utils.environment import PROJECT_ROOT
from model_utils.host_lock import exclusive, make_folder
from src.common.atomic_files import PathLike
from src.common.errors import UserError, run_command
from src.describe.recipe import choose_describer
from src.describe.stopwatch import Stopwatch
from src.photo_search.collection import Collection
from src.photo_search.queries import STAGES, Found, find
from src.photo_search.settings import SearchSettings
from src.photo_search.weights import known_weights
from src.photos.finding import list_photos

LOG = logging.getLogger(__name__)
SETTINGS = PROJECT_ROOT / "scripts" / "search.yaml"


def search(
    settings: SearchSettings,
    photos: PathLike,
    queries: Sequence[PathLike],
    top: int,
    forget: bool = False,
    stages: Stopwatch | None = None,
) -> list[Found]:
    """Bring what is known of a folder of photos up to date and search it for queries.

    Args:
        settings: weights and settings; results lie under its `work_path`.
        photos: folder of photos, searched with its sub-folders.
        queries: photos to look for; they may lie in the folder or elsewhere.
        top: results to show of each.
        forget: drop the features of photos that are not there any more.
        stages: counts the time of `STAGES`.

    Raises:
        UserError: the folder holds no photo that can be read, a query cannot be read, weights or
            settings do not fit.
    """
    stages = stages or Stopwatch(STAGES)
    photos = Path(os.path.abspath(photos))
    paths = [Path(os.path.abspath(query)) for query in queries]
    for path in paths:
        if not os.path.isfile(path):
            raise UserError(f"there is no query photo {path}")
    work = Path(os.path.abspath(settings.work_path))
    # Where the results lie among the photos, their pictures are none.
    images = [image for image in list_photos(photos) if work not in (photos / image[1]).parents]
    if not images:
        raise UserError(f"no image in {photos} but those of {work}; give a folder of photos")
    make_folder(work)
    with stages.part("choose"):
        known = known_weights(settings.describe.engine, work)
        describer = choose_describer(settings.describe, known)
    folder = work / describer.folder_name(photos)
    with exclusive(folder, "searching these photos"):
        with stages.part("folder"):
            collection = Collection(settings, describer, photos, folder)
            collection.update(images)
        if forget:
            collection.forget(images)
        return find(collection, settings.retrieval, paths, top, stages) if paths else []


def report(found: Sequence[Found], seconds: float) -> str:
    """Return what is printed: the nearest photos of each query and where to look at them."""
    lines = []
    for each in found:
        lines.append(f"{each.query}:")
        if not each.results:
            lines.append("  nothing that could be compared was found")
        width = max((len(result.name) for result in each.results), default=0)
        lines += [
            f"  {result.rank:>3}  {result.name:<{min(width, 60)}}  {result.score}"
            for result in each.results
        ]
    lines.append(f"Why they match: {found[0].page}  ({seconds:.1f} s)")
    return "\n".join(lines)


def sort_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide a command line: what is for this program, photos last, and settings (--name=value).

    argparse by itself takes a setting that it does not know for a photo when there is a space in
    its value, and photos between options for none.

    >>> sort_arguments(["photos", "--work_path=my work", "--top=3", "--", "-1.jpg"])
    (['--top=3', '--', 'photos', '-1.jpg'], ['--work_path=my work'])
    """
    own, photos, settings = [], [], []
    left = deque(arguments)
    while left:
        argument = left.popleft()
        if argument == "--":
            photos += left
            break
        if argument == "--top" and left:
            own += [argument, left.popleft()]
        elif re.match(r"--(?!top=)\w+=", argument):
            settings.append(argument)
        else:
            (own if argument.startswith("-") else photos).append(argument)
    return [*own, "--", *photos], settings


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
    parser.add_argument("queries", nargs="*", help="photos to look for; none: describe the folder")
    top = number(int, "top", min=1)
    parser.add_argument("--top", type=top, default=10, help="results to show (%(default)s)")
    parser.add_argument(
        "--forget",
        action="store_true",
        help="drop the features of photos that are gone; they are kept in case they come back",
    )
    own, others = sort_arguments(sys.argv[1:] if arguments is None else arguments)
    given = parser.parse_args(own)
    config = load_config(others, description=parser.description, config_path=str(SETTINGS))
    settings = SearchSettings.from_config(config)
    found = search(settings, given.photos, given.queries, given.top, given.forget, stages)
    seconds = time.perf_counter() - beginning
    if found:
        LOG.info("time: %s", stages.text())
        print(report(found, seconds))
    else:
        print(f"{given.photos} is ready to be searched ({seconds:.1f} s)")


if __name__ == "__main__":
    run_command(main)
