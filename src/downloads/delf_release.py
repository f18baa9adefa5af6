"""The files of the DELF release: ResNet50's weights, and the PCA of its own descriptors."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from src.common.atomic_files import atomic_path
from src.common.errors import UserError
from src.describe.datum_io import parse_datum, pca_of_datums
from src.describe.pca import Pca
from src.downloads.http_fetch import Network, fetch, is_reachable
from src.downloads.known_sums import as_first_time, take_kept
from src.downloads.records import RECORDS
from src.downloads.resnet50_h5 import check_weights
from src.downloads.tar_files import read_members

URL = "https://storage.googleapis.com/delf"
VARIABLE = "DELF_PRETRAINED_URL"
WEIGHTS = "resnet50_imagenet_weights.tar.gz"
MODEL = "delf_gld_20190411.tar.gz"


@contextlib.contextmanager
def release_file(
    url: str, folder: Path, network: Network, accept: Collection[str] = ()
) -> Iterator[Path]:
    """Fetch a file of the release for the time of the block; a closed network is noticed soon.

    Raises:
        UserError: it is out of reach, or has changed and is not in `accept`.
    """
    path = folder / RECORDS / PurePosixPath(url).name
    if not path.exists() and not take_kept(path, accept):
        if not is_reachable(url):
            raise UserError(f"{url} is out of reach")
        fetch(url, path, network)
    try:
        with as_first_time(path, url, accept):
            yield path
    finally:
        path.unlink(missing_ok=True)  # one that has changed is kept under another name


def write_weights(tarball: Path, output: Path) -> None:
    """Take the h5 file out of the DELF release's tar file.

    Raises:
        UserError: it is not in there, or is not ResNet50.
    """
    contents = read_members(tarball, lambda name: name.endswith("notop.h5"))
    if len(contents) != 1:
        raise UserError(f"{tarball} holds {len(contents)} files *notop.h5, not one")
    with atomic_path(output) as temporary:
        temporary.write_bytes(next(iter(contents.values())))
        try:
            check_weights(temporary)
        except ValueError as error:
            raise UserError(
                f"the weights in {tarball} are not those of ResNet50: {error}"
            ) from None


def read_release_pca(tarball: Path, url: str) -> Pca:
    """Read the PCA in the DELF release's tar file.

    Raises:
        UserError: it is not in there or does not fit together.
    """
    contents = read_members(
        tarball, lambda name: name.endswith(".datum") and PurePosixPath(name).parent.name == "pca"
    )
    try:
        arrays = {PurePosixPath(name).stem: parse_datum(data) for name, data in contents.items()}
    except ValueError as error:
        raise UserError(f"there is no usable PCA in {tarball} ({error})") from error
    pca = pca_of_datums(arrays, str(tarball))
    return dataclasses.replace(pca, about={"source": "DELF release", "url": url})
