"""Where photos are: in a folder, named by a list, or in tar archives, which are read in place.

A photo of an archive has a file such as `images_000.tar/0/1/2/name.jpg`, as if it were a folder.
"""

from __future__ import annotations

import functools
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.common.regular_files import open_regular
from src.common.text_files import read_lines
from src.photos.finding import is_photo, list_images

_TAR = ".tar"


class Archived(NamedTuple):
    """A photo in a tar archive.

    Attributes:
        archive: the archive.
        member: its name in there.
        offset: of its first byte.
        size: how many bytes it has.
    """

    archive: Path
    member: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}/{self.member}"


Place = PathLike | Archived


def open_photo(place: Place) -> BinaryIO:
    """Open the file of a photo for reading.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    if not isinstance(place, Archived):
        return open_regular(place)
    with open_regular(place.archive) as file:
        file.seek(place.offset)
        return io.BytesIO(file.read(place.size))


def photo_place(photos: PathLike, file: str) -> Place:
    """Return where a photo is.

    Args:
        photos: the folder, list or archive that `list_places` was given.
        file: what that said of the photo.
    """
    before, tar, member = file.partition(f"{_TAR}/")
    base = _base(os.fspath(photos))
    if not tar or not (archive := Path(base, f"{before}{_TAR}")).is_file():
        return Path(base, file)
    found = _members(str(archive), *_state(archive)).get(member)
    return found if found is not None else Path(base, file)


def list_places(photos: PathLike) -> list[tuple[str, str]]:
    """Find photos.

    Args:
        photos: a folder of photos, or of nothing but tar archives of them; one archive; or a text
            file with a photo or an archive in each line, seen from its own folder.

    Returns:
        (name, file) sorted by name; the name is the stem of the file.

    Raises:
        UserError: there are none, two share a name, or a list or an archive cannot be read.
    """
    path = Path(photos)
    if path.is_file():
        if path.suffix.lower() == _TAR:
            return _named([path.name], path.parent, path)
        return _named(_listed(path), path.parent, path)
    archives = sorted(each.name for each in path.glob(f"*{_TAR}")) if path.is_dir() else []
    if archives and not any(is_photo(name) for _, _, names in os.walk(path) for name in names):
        return _named(archives, path, path)
    return list_images(path)


def _listed(path: Path) -> list[str]:
    missing = f"there is no list of photos {path}"
    lines = [line.strip() for line in read_lines(path, "list of photos", missing)]
    return [line for line in lines if line and not line.startswith("#")]


def _named(files: Iterable[str], base: Path, source: Path) -> list[tuple[str, str]]:
    """Return names and files, the photos of an archive in its place."""
    found: dict[str, str] = {}
    for file in files:
        inside = [file]
        if file.lower().endswith(_TAR):
            archive = base / file
            inside = [f"{file}/{member}" for member in _members(str(archive), *_state(archive))]
        for each in inside:
            name = Path(each).stem
            if found.setdefault(name, each) != each:
                raise UserError(
                    f"two photos of {source} have the name {name}: {found[name]} and {each}; take "
                    "one of them out"
                )
    if not found:
        raise UserError(f"no photo in {source}; give a folder, a list or tar archives of photos")
    return sorted(found.items())


@functools.lru_cache(maxsize=64)
def _base(photos: str) -> Path:
    path = Path(photos)
    return path.parent if path.is_file() else path


def _state(archive: Path) -> tuple[int, int]:
    try:
        status = archive.stat()
    except OSError as error:
        raise UserError(f"cannot read the archive {archive} ({error.strerror})") from None
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=1024)
def _members(archive: str, size: int, changed: int) -> dict[str, Archived]:
    """Return the photos of an archive by the names in it.

    Raises:
        UserError: it is compressed, no archive, or ends half-way.
    """
    path = Path(archive)
    found: dict[str, Archived] = {}
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isreg() and is_photo(Path(member.name).name):
                    place = Archived(path, member.name, member.offset_data, member.size)
                    if place.offset + place.size > size:
                        raise tarfile.ReadError(f"{member.name} is cut off")
                    found[member.name] = place
            if tar.offset > size:
                raise tarfile.ReadError("it is cut off")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise UserError(
            f"cannot read the photos of {path} ({error}); it must be a whole tar archive that is "
            "not compressed: fetch or unpack it again"
        ) from None
    return found
