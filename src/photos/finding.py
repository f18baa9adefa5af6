"""Finding the photos of a folder, and what they are called."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from src.common.atomic_files import PathLike
from src.common.errors import UserError

LOG = logging.getLogger(__name__)

EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))
# Of 255 bytes a file name may have, what is left beside the ending of a temporary feature file.
_LONGEST_NAME = 230


def list_images(folder: PathLike) -> list[tuple[str, str]]:
    """Find the image files of a folder and its sub-folders.

    Hidden files and folders are passed over; extensions count in either case.

    Returns:
        (name, path relative to `folder` with forward slashes) pairs sorted by name; the name is
        the file's stem.

    Raises:
        UserError: the folder is missing or holds no image, two images share a name, or a name
            cannot stand in a list.
    """
    found: dict[str, str] = {}
    for path in _image_files(Path(folder)):
        name = Path(path).stem
        if not _is_one_line_of_text(path):
            raise UserError(
                f"the name of image {path!r} in {folder} cannot stand in a list; rename it"
            )
        if name in found:
            raise UserError(
                f"two images of {folder} have the name {name}: {found[name]} and {path}; "
                "rename or remove one of them"
            )
        found[name] = path
    if not found:
        raise _no_image(folder)
    return sorted(found.items())


def list_photos(folder: PathLike) -> list[tuple[str, str]]:
    """Find the image files of a folder that nobody has prepared.

    As `list_images`, but the name is the whole relative path, so that sub-folders may hold photos
    of the same name; a photo whose name cannot stand in a list is reported and passed over.

    Raises:
        UserError: the folder is missing or holds no image.
    """
    found = []
    for path in _image_files(Path(folder)):
        if _is_one_line_of_text(path) and len(Path(path).name.encode()) <= _LONGEST_NAME:
            found.append(path)
        else:
            LOG.warning("skipped: the name of %r is too long or no text; rename it", path)
    if not found:
        raise _no_image(folder)
    return [(path, path) for path in sorted(found)]


def _image_files(folder: Path) -> Iterator[str]:
    """Yield the image files below a folder, relative to it, each folder once."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"image folder {folder} {what}; give a folder of photos")
    for parent, folders, files in walk([folder]):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in EXTENSIONS:
                yield Path(parent, file).relative_to(folder).as_posix()


def walk(tops: Iterable[PathLike]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through folders and their sub-folders by name, over links too, each real folder once.

    Yields:
        (folder, its sub-folders, its files); what is taken out of the sub-folders is passed over.
    """
    seen: set[tuple[int, int]] = set()
    for top in tops:
        for folder, children, names in os.walk(top, onerror=_unreadable, followlinks=True):
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back to where it lies
                children.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            children.sort()
            yield folder, children, names


def _unreadable(error: OSError) -> NoReturn:
    """End a walk at a folder that cannot be read: what it holds is not gone."""
    raise UserError(
        f"cannot read the folder {error.filename} ({error.strerror}); make it readable, or move it "
        "out of the folder of photos"
    ) from None


def _no_image(folder: PathLike) -> UserError:
    return UserError(f"no image in {folder} ({', '.join(sorted(EXTENSIONS))})")


def _is_one_line_of_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # bytes of some other encoding
        return False
    return len(name.splitlines()) == 1
