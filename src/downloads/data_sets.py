"""Fetching the data sets: Google Landmarks v2, Oxford5k and Paris6k.

Downloads resume where they stopped, are tried again with growing pauses, checked against the
published md5 sums where there are any, and unpacked. A small record beside each file, in the folder
`.download`, says what is complete, so that a second run does not read 500 GB again to find out.
"""

from __future__ import annotations

if __name__ == "__main__":  # run as a script: from any folder, by any Python
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from model_utils.environment import use_project_environment

    use_project_environment()

import argparse
import dataclasses
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Callable

from src.common.archives import Damaged, unpack_tar
from src.common.digests import md5_of
from src.common.errors import UserError, run_command
from src.downloads.archives import PHOTOS, is_unpacked, note_unpacked
from src.downloads.http_fetch import AGAIN, Network, NotServed, fetch, part_path, remote_size
from src.downloads.records import is_recorded, only_process, read_record, write_record

LOG = logging.getLogger(__name__)

GLDV2_URL = "https://s3.amazonaws.com/google-landmark"
OXFORD_URL = "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings"
PARIS_URL = "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings"

GLDV2_TABLES = (
    "train.csv",
    "train_clean.csv",
    "train_attribution.csv",
    "train_label_to_category.csv",
)
GLDV2_LAST_TAR = 499
GLDV2_TAR_BYTES = 1.07e9  # on average: 500 files, 535 GB
MD5_ATTEMPTS = 3


@dataclasses.dataclass
class Summary:
    """What a run did.

    Attributes:
        fetched: names of the files downloaded.
        complete: names of the files that were complete already.
        unpacked: archives unpacked now.
        failed: one line for each file that could not be had.
    """

    fetched: list[str] = dataclasses.field(default_factory=list)
    complete: list[str] = dataclasses.field(default_factory=list)
    unpacked: list[str] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)

    def attempt(self, path: Path, step: Callable[..., None], *arguments: Any) -> None:
        """Run step(path, …, self); a bad or missing file does not stop the others."""
        try:
            with only_process(path):
                step(path, *arguments, self)
        except (NotServed, Damaged) as error:
            LOG.error("%s", error)
            self.failed.append(str(error))

    def finish(self) -> None:
        """Report, and end with an error where files are missing."""
        LOG.info(
            "%d files fetched, %d were complete already, %d archives unpacked",
            len(self.fetched),
            len(self.complete),
            len(self.unpacked),
        )
        if self.failed:
            more = f" (and {len(self.failed) - 1} more, above)" if len(self.failed) > 1 else ""
            raise UserError(f"{len(self.failed)} files could not be had: {self.failed[0]}{more}")


def download_gldv2(
    first: int,
    last: int,
    dataset_path: Path,
    base_url: str = GLDV2_URL,
    network: Network | None = None,
    unpack_archives: bool = True,
    keep_archives: bool = True,
) -> Summary:
    """Download the training set of Google Landmarks v2 into `dataset_path`/train.

    The four tables, and for each number from `first` to `last` the archive and its md5 file. A bad
    archive does not stop the others: it is fetched again, a few times, and named at the end.

    Raises:
        UserError: the range is wrong, the server is out of reach, or files could not be had.
    """
    if not 0 <= first <= last <= GLDV2_LAST_TAR:
        raise UserError(
            f"MIN {first} and MAX {last}: both must lie in 0 … {GLDV2_LAST_TAR}, MIN not above MAX"
        )
    network = network or Network()
    base_url = base_url.rstrip("/")
    folder = _make_folder(dataset_path / "train")
    summary = Summary()
    archives = [folder / f"images_{number:03d}.tar" for number in range(first, last + 1)]

    missing = sum(not (is_recorded(tar) or is_unpacked(tar, folder)) for tar in archives)
    packed = sum(not is_unpacked(tar, folder) for tar in archives) if unpack_archives else 0
    kept = missing if keep_archives or not unpack_archives else min(missing, 1)
    _warn_of_space(folder, GLDV2_TAR_BYTES * (kept + packed))

    for name in GLDV2_TABLES:
        summary.attempt(folder / name, _have_table, f"{base_url}/metadata/{name}", network)
    for tar in archives:
        summary.attempt(tar, _have_gldv2_archive, base_url, network, unpack_archives, keep_archives)
    summary.finish()
    return summary


def _have_table(path: Path, url: str, network: Network, summary: Summary) -> None:
    """Make sure of a file for which no sum is published."""
    if is_recorded(path):
        summary.complete.append(path.name)
        return
    if path.exists():  # brought by other means: complete if it is as large as the server's
        size, wanted = path.stat().st_size, None
        try:
            wanted = remote_size(url, network)
        except UserError as error:
            LOG.warning("%s is used as it is: %s", path, error)
        if wanted is not None and size != wanted:
            raise Damaged(
                f"{path} has {size:,} bytes and the one at {url} {wanted:,}; move it away, then "
                f"{AGAIN}"
            )
        summary.complete.append(path.name)
    else:
        fetch(url, path, network)
        summary.fetched.append(path.name)
    write_record(path, url=url)


def _have_gldv2_archive(
    tar: Path,
    base_url: str,
    network: Network,
    unpack_archives: bool,
    keep_archives: bool,
    summary: Summary,
) -> None:
    """Make sure that one archive is here, is right and is unpacked."""
    folder = tar.parent
    unpacked = is_unpacked(tar, folder)
    if is_recorded(tar) or (unpacked and not tar.exists()):
        summary.complete.append(tar.name)
    else:
        _have_verified(tar, base_url, network, summary)
        unpacked = is_unpacked(tar, folder)
    if unpack_archives and not unpacked:
        names = unpack_tar(tar, folder, PHOTOS)
        note_unpacked(tar, folder, names)
        summary.unpacked.append(tar.name)
        LOG.info("%s: %d photos", tar.name, len(names))
        unpacked = True
    if unpacked and not keep_archives and tar.exists():
        tar.unlink()


def _have_verified(tar: Path, base_url: str, network: Network, summary: Summary) -> None:
    """Make sure of an archive whose md5 sum is published; a bad one is fetched again."""
    url = f"{base_url}/train/{tar.name}"
    sum_path = tar.with_name(f"md5.{tar.stem}.txt")
    sum_url = f"{base_url}/md5sum/train/{sum_path.name}"
    wanted = _published_md5(sum_path) or _fetch_md5(sum_url, sum_path, network)
    was_there = tar.exists()
    for attempt in range(MD5_ATTEMPTS + was_there):
        if attempt or not was_there:
            fetch(url, tar, network)
        found = md5_of(tar)
        if found != wanted:  # the sum itself may be the bad one
            wanted = _fetch_md5(sum_url, sum_path, network)
        if found == wanted:
            known = read_record(tar)
            same = ("unpacked",) if known.get("md5") == found else ()
            write_record(tar, url=url, md5=found, **{k: known[k] for k in same if k in known})
            (summary.fetched if attempt or not was_there else summary.complete).append(tar.name)
            return
        LOG.warning("%s: the md5 sum is %s, not %s", tar, found, wanted)
        if attempt == 0 and was_there:  # perhaps only cut off: go on from where it ends
            os.replace(tar, part_path(tar))
        else:
            tar.unlink()
    raise Damaged(f"{url}: the md5 sum was wrong {MD5_ATTEMPTS} times; {AGAIN}")


def _published_md5(path: Path) -> str | None:
    """Return the sum in an md5 file, None where the file is missing or holds none."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    return found[0].lower() if found else None


def _fetch_md5(url: str, path: Path, network: Network) -> str:
    """Fetch an md5 file, anew where one is there, and return its sum."""
    fetch(url, path, network)
    published = _published_md5(path)
    if published is None:
        path.unlink()
        raise Damaged(f"{url} holds no md5 sum; {AGAIN}")
    return published


@dataclasses.dataclass(frozen=True)
class Archive:
    """An archive of a data set: its name at the source, the folder it fills, what to take."""

    name: str
    folder: str
    suffixes: tuple[str, ...]


OXFORD = (
    Archive("oxbuild_images-v1.tgz", "oxbuild_images", PHOTOS),
    Archive("gt_files_170407.tgz", "gt_files_170407", (".txt",)),
)
PARIS = (
    Archive("paris_1-v1.tgz", "paris6k_images", PHOTOS),
    Archive("paris_2-v1.tgz", "paris6k_images", PHOTOS),
    Archive("paris_120310.tgz", "paris_120310", (".txt",)),
)
OXFORD_BYTES, PARIS_BYTES = 2.0e9, 2.6e9


def download_oxford(
    dataset_path: Path,
    base_url: str = OXFORD_URL,
    network: Network | None = None,
    keep_archives: bool = True,
) -> Summary:
    """Download Oxford5k: `oxbuild_images` and `gt_files_170407` in `dataset_path`.

    Raises:
        UserError: the server is out of reach, or files could not be had.
    """
    summary = _have_archives(
        OXFORD, dataset_path, base_url, network or Network(), keep_archives, OXFORD_BYTES
    )
    summary.finish()
    return summary


def download_paris(
    dataset_path: Path,
    base_url: str = PARIS_URL,
    network: Network | None = None,
    keep_archives: bool = True,
) -> Summary:
    """Download Paris6k: `paris6k_images` (one flat folder) and `paris_120310` in `dataset_path`.

    The photos that are damaged at the source stay with the others, so that the set is the one all
    published figures are about; their list is kept as `paris_corrupt.txt` and reported.

    Raises:
        UserError: the server is out of reach, or files could not be had.
    """
    network = network or Network()
    summary = _have_archives(PARIS, dataset_path, base_url, network, keep_archives, PARIS_BYTES)
    _report_damaged_photos(dataset_path, base_url.rstrip("/"), network, summary)
    summary.finish()
    return summary


def _have_archives(
    archives: Sequence[Archive],
    dataset_path: Path,
    base_url: str,
    network: Network,
    keep_archives: bool,
    size: float,
) -> Summary:
    """Fetch and unpack what is not there yet."""
    dataset_path = _make_folder(dataset_path)
    base_url = base_url.rstrip("/")
    summary = Summary()
    if not all(is_unpacked(dataset_path / a.name, dataset_path / a.folder) for a in archives):
        _warn_of_space(dataset_path, 2 * size)
    for archive in archives:
        summary.attempt(
            dataset_path / archive.name, _have_archive, archive, base_url, network, keep_archives
        )
    return summary


def _have_archive(
    path: Path,
    archive: Archive,
    base_url: str,
    network: Network,
    keep_archives: bool,
    summary: Summary,
) -> None:
    """Fetch and unpack one archive. One that a person put there is used as it is."""
    folder, url = path.parent / archive.folder, f"{base_url}/{archive.name}"
    if is_unpacked(path, folder):
        summary.complete.append(path.name)
    else:
        was_there = path.exists()
        if not was_there:
            fetch(url, path, network)
            write_record(path, url=url)
        try:
            names = unpack_tar(path, folder, archive.suffixes, flat=True)
        except Damaged as error:
            if was_there and not is_recorded(path):
                raise Damaged(f"{error}; delete it, then {AGAIN}") from error
            path.unlink()  # our own download: do not trip over it again
            raise Damaged(f"{error}; it was removed, {AGAIN}") from error
        note_unpacked(path, folder, names)
        (summary.complete if was_there else summary.fetched).append(path.name)
        summary.unpacked.append(path.name)
        LOG.info("%s: %d files in %s", path.name, len(names), folder)
    if not keep_archives and path.exists():
        path.unlink()


def _report_damaged_photos(
    dataset_path: Path, base_url: str, network: Network, summary: Summary
) -> None:
    """Fetch the list of photos known to be damaged at the source and say which are here."""
    path = dataset_path / "paris_corrupt.txt"
    try:
        if not path.exists():
            fetch(f"{base_url}/corrupt.txt", path, network)
            summary.fetched.append(path.name)
    except NotServed as error:
        LOG.warning("no list of damaged photos: %s", error)
        return
    listed = path.read_text(encoding="utf-8", errors="replace").split()
    photos = [PurePosixPath(name).name for name in listed]
    here = [name for name in photos if (dataset_path / "paris6k_images" / name).exists()]
    if here:
        LOG.warning(
            "%d photos are damaged at the source (listed in %s): %s",
            len(here),
            path,
            ", ".join(here),
        )


def _make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"the folder {path} may not be written to; choose another one")
    return path


def _warn_of_space(folder: Path, wanted: float) -> None:
    """Warn before the start where the disk will not do."""
    free = shutil.disk_usage(folder).free
    if wanted > free:
        LOG.warning(
            "about %.1f GB are needed in %s and %.1f GB are free; a full disk will stop it",
            wanted / 1e9,
            folder,
            free / 1e9,
        )


# --- command line ---------------------------------------------------------------------------------


def yes_or_no(text: str) -> bool:
    """Read a switch from the environment or the command line.

    Raises:
        ValueError: it is neither yes nor no.
    """
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _switch(parser: argparse.ArgumentParser, name: str, variable: str, text: str) -> None:
    """Add --name / --no-name; the environment variable gives the default."""
    parser.add_argument(
        f"--{name}", action="store_true", help=f"{text} (or {variable}=1; the default)"
    )
    parser.add_argument(f"--no-{name}", dest=name, action="store_false", help=f"or {variable}=0")
    given = os.environ.get(variable, "1")
    try:
        parser.set_defaults(**{name: yes_or_no(given)})
    except ValueError as error:
        parser.error(f"{variable}: {error}")


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    defaults = Network()
    common.add_argument(
        "--timeout", type=float, default=defaults.timeout, help="seconds of silence"
    )
    common.add_argument(
        "--retries", type=int, default=defaults.retries, help="tries after a failure"
    )
    common.add_argument(
        "--backoff", type=float, default=defaults.backoff, help="first pause, seconds"
    )
    _switch(common, "keep_archives", "DELF_KEEP_ARCHIVES", "keep archives once they are unpacked")

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    gldv2 = commands.add_parser("gldv2", parents=[common], help="Google Landmarks v2, training set")
    gldv2.add_argument("first", type=int, metavar="MIN", help="number of the first archive, from 0")
    gldv2.add_argument(
        "last", type=int, metavar="MAX", help="number of the last archive, up to 499"
    )
    _switch(gldv2, "unpack", "DELF_UNPACK", "unpack the archives")
    oxford = commands.add_parser("oxford", parents=[common], help="Oxford5k")
    paris = commands.add_parser("paris", parents=[common], help="Paris6k")
    for command, url in ((gldv2, GLDV2_URL), (oxford, OXFORD_URL), (paris, PARIS_URL)):
        variable = f"DELF_{command.prog.split()[-1].upper()}_URL"
        command.add_argument("dataset_path", type=Path, metavar="DATASET_PATH", help="folder")
        command.add_argument(
            "--base_url",
            default=os.environ.get(variable) or url,
            help=f"address of a mirror (or {variable}; now %(default)s)",
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Download a data set."""
    options = _parser().parse_args(arguments)
    network = Network(options.timeout, options.retries, options.backoff)
    if options.command == "gldv2":
        download_gldv2(
            options.first,
            options.last,
            options.dataset_path,
            options.base_url,
            network,
            options.unpack,
            options.keep_archives,
        )
        return
    download = download_oxford if options.command == "oxford" else download_paris
    download(options.dataset_path, options.base_url, network, options.keep_archives)


if __name__ == "__main__":
    run_command(main)
