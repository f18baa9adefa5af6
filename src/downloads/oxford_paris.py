"""Oxford5k and Paris6k: archives of photos and ground truth, each set in its own layout."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from src.common.archives import Damaged, unpack_tar
from src.downloads.archives import PHOTOS, is_unpacked, note_unpacked
from src.downloads.http_fetch import AGAIN, Network, NotServed, fetch
from src.downloads.known_sums import as_first_time, take_kept
from src.downloads.records import is_recorded, write_record
from src.downloads.summary import Summary, make_folder, warn_of_space

LOG = logging.getLogger(__name__)

OXFORD_URL = "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings"
PARIS_URL = "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings"


@dataclass(frozen=True)
class Archive:
    """An archive of a data set.

    Attributes:
        name: at the source.
        folder: that it fills.
        suffixes: of the files to take.
        md5: of what the source has, by a public record; None where there is none.
    """

    name: str
    folder: str
    suffixes: tuple[str, ...]
    md5: str | None = None


# The publisher names no sums. Oxford's stand in a public program that checks what it fetched.
OXFORD = (
    Archive("oxbuild_images-v1.tgz", "oxbuild_images", PHOTOS, "8f0017cc5d671f35011d6968269fbf47"),
    Archive(
        "gt_files_170407.tgz", "gt_files_170407", (".txt",), "06c4dee0ad954f6ee122c82390548537"
    ),
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
    accept: Collection[str] = (),
) -> Summary:
    """Download Oxford5k: `oxbuild_images` and `gt_files_170407` in `dataset_path`.

    Raises:
        UserError: the server is out of reach, or files could not be had.
    """
    summary = _have_archives(
        *(OXFORD, dataset_path, base_url, network or Network()),
        *(keep_archives, OXFORD_BYTES, accept),
    )
    summary.finish()
    return summary


def download_paris(
    dataset_path: Path,
    base_url: str = PARIS_URL,
    network: Network | None = None,
    keep_archives: bool = True,
    accept: Collection[str] = (),
) -> Summary:
    """Download Paris6k: `paris6k_images` (one flat folder) and `paris_120310` in `dataset_path`.

    The photos that are damaged at the source stay with the others, so that the set is the one all
    published figures are about; their list is kept as `paris_corrupt.txt` and reported.

    Raises:
        UserError: the server is out of reach, or files could not be had.
    """
    network = network or Network()
    summary = _have_archives(
        PARIS, dataset_path, base_url, network, keep_archives, PARIS_BYTES, accept
    )
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
    accept: Collection[str],
) -> Summary:
    """Fetch and unpack what is not there yet."""
    dataset_path = make_folder(dataset_path)
    base_url = base_url.rstrip("/")
    summary = Summary()
    if not all(is_unpacked(dataset_path / a.name, dataset_path / a.folder) for a in archives):
        warn_of_space(dataset_path, 2 * size)
    for archive in archives:
        summary.attempt(
            *(dataset_path / archive.name, _have_archive),
            *(archive, base_url, network, keep_archives, accept),
        )
    return summary


def _have_archive(
    path: Path,
    archive: Archive,
    base_url: str,
    network: Network,
    keep_archives: bool,
    accept: Collection[str],
    summary: Summary,
) -> None:
    """Fetch and unpack one archive. One that a person put there is used as it is."""
    folder, url = path.parent / archive.folder, f"{base_url}/{archive.name}"
    if is_unpacked(path, folder):
        summary.complete.append(path.name)
    elif path.exists():
        _unpack(path, archive, summary)
        summary.complete.append(path.name)
    else:
        if not take_kept(path, accept):
            fetch(url, path, network)
        # A mirror may have packed the photos itself; what it gives is to stay the same as well.
        public = base_url in (OXFORD_URL, PARIS_URL)
        with as_first_time(path, url, accept, archive.md5 if public else None):
            write_record(path, url=url)
            _unpack(path, archive, summary)
        summary.fetched.append(path.name)
    if not keep_archives and path.exists():
        path.unlink()


def _unpack(path: Path, archive: Archive, summary: Summary) -> None:
    folder = path.parent / archive.folder
    try:
        names = unpack_tar(path, folder, archive.suffixes, flat=True)
    except Damaged as error:
        if not is_recorded(path):
            raise Damaged(f"{error}; delete it, then {AGAIN}") from error
        path.unlink()  # our own download: do not trip over it again
        raise Damaged(f"{error}; it was removed, {AGAIN}") from error
    note_unpacked(path, folder, names)
    summary.unpacked.append(path.name)
    LOG.info("%s: %d files in %s", path.name, len(names), folder)


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
