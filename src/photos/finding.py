"""Finding the photos of a folder: which files are photos, and where none are.

This is the only list of suffixes and of folders that are passed over: search, extraction,
evaluation and training take the same files for photos.
"""

from __future__ import annotations

import functools
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from src.common.atomic_files import PathLike
from src.common.errors import UserError

LOG = logging.getLogger(__name__)

EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".gif", ".webp"),
        *(".heic", ".heif", ".hif", ".avif", ".tif", ".tiff", ".bmp", ".dib"),
        *(".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c", ".pbm", ".pgm", ".ppm", ".pnm"),
    )
)
#: Folders of a NAS, of Windows, macOS, Linux and Android: thumbnails, trash and what was rescued,
#: in lower case. Those whose names begin with a dot are hidden and passed over as well.
SKIPPED_FOLDERS = frozenset(
    (
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharesnap", "@sharebin"),
        *("#recycle", "#snapshot", "~snapshot", "$recycle.bin", "recycler", "recycled"),
        *("system volume information", "found.000", "found.001", "lost+found", "lost.dir"),
        *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),
    )
)
# Suffixes and folders that are named in the line about what was left out.
_TOLD = 8
_LONGEST_SUFFIX = 12


def list_images(folder: PathLike) -> list[tuple[str, str]]:
    """Find the image files of a folder and its sub-folders.

    Hidden files and folders and those of `SKIPPED_FOLDERS` are passed over, suffixes count in
    either case, and what is left out is logged in one line.

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
        if _is_one_line_of_text(path):
            found.append(path)
        else:
            _say_once(f"skipped: the name of {path!r} is no text of one line; rename it", True)
    if not found:
        raise _no_image(folder)
    return [(path, path) for path in sorted(found)]


class LeftOut:
    """What was left out of some folders: files by suffix, and folders that hold no photos."""

    def __init__(self) -> None:
        self._suffixes: Counter[str] = Counter()
        self._folders: Counter[str] = Counter()

    def note_file(self, name: str) -> None:
        """Count a file that is no photo by its suffix; hidden ones do not count."""
        if name.startswith("."):
            return
        suffix = Path(name).suffix.lower()
        said = suffix.isascii() and suffix.isprintable() and 1 < len(suffix) <= _LONGEST_SUFFIX
        self._suffixes[suffix if said else "without a suffix"] += 1

    def note_folder(self, name: str) -> None:
        """Count a folder that is not looked into; hidden ones do not count."""
        if not name.startswith("."):
            self._folders[name] += 1

    def text(self) -> str:
        """Return it in one line, "" where nothing was left out."""
        parts = []
        if self._suffixes:
            parts.append(f"{_listed(self._suffixes, '{count} {name}')} (no photos by their suffix)")
        if self._folders:
            parts.append(f"what is in {_listed(self._folders, '{name} ({count})')}")
        return ", and ".join(parts)

    def log(self, where: object) -> None:
        """Log it, once for the same files: a folder is listed several times in a run."""
        if self.text():
            _say_once(f"left out of {where}: {self.text()}")


def _listed(counts: Counter[str], form: str) -> str:
    """Return the most frequent ones with their numbers, and how many others there are."""
    order = sorted(counts, key=lambda name: (-counts[name], name))
    told = [form.format(name=name, count=counts[name]) for name in order[:_TOLD]]
    others = sum(counts[name] for name in order[_TOLD:])
    return ", ".join([*told, *([f"{others} others"] if others else [])])


@functools.lru_cache(maxsize=1024)
def _say_once(text: str, is_warning: bool = False) -> None:
    LOG.log(logging.WARNING if is_warning else logging.INFO, "%s", text)


def is_photo(name: str) -> bool:
    """Tell by its name whether a file is a photo that is meant to be seen."""
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS


def is_skipped(name: str) -> bool:
    """Tell by its name whether a folder is hidden or one of `SKIPPED_FOLDERS`."""
    return name.startswith(".") or name.lower() in SKIPPED_FOLDERS


def _image_files(folder: Path) -> Iterator[str]:
    """Yield the image files below a folder, relative to it, each folder once."""
    try:
        is_folder = folder.is_dir()
    except OSError as error:  # whoever may not look is told so
        _unreadable(error)
    if not is_folder:
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"image folder {folder} {what}; give a folder of photos")
    left_out = LeftOut()
    for parent, _, files in walk([folder], left_out):
        for file in sorted(files):
            if is_photo(file):
                yield Path(parent, file).relative_to(folder).as_posix()
            else:
                left_out.note_file(file)
    left_out.log(folder)


def walk(
    tops: Iterable[PathLike], left_out: LeftOut | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through folders and their sub-folders by name, over links too, each real folder once.

    Sub-folders that `is_skipped` are passed over, and noted in `left_out`.

    Yields:
        (folder, its sub-folders, its files); what is taken out of the sub-folders is passed over.
    """
    seen: set[tuple[int, int | str]] = set()
    for top in tops:
        for folder, children, names in os.walk(top, onerror=_unreadable, followlinks=True):
            status = os.stat(folder)
            # Some network shares number no files on Windows: there the path says which it is.
            real = (status.st_dev, status.st_ino or os.path.realpath(folder))
            if real in seen:  # a link that leads back to where it lies
                children.clear()
                continue
            seen.add(real)
            for name in filter(is_skipped, children if left_out is not None else ()):
                left_out.note_folder(name)
            children[:] = sorted(name for name in children if not is_skipped(name))
            yield folder, children, names


def _unreadable(error: OSError) -> NoReturn:
    """End a walk at a folder that cannot be read: what it holds is not gone."""
    raise UserError(
        f"cannot read the folder {error.filename} ({error.strerror}); make it readable, or move it "
        "out of the folder of photos"
    ) from None


def _no_image(folder: PathLike) -> UserError:
    return UserError(
        f"no image in {folder}; photos are files that end in {', '.join(sorted(EXTENSIONS))}"
    )


def _is_one_line_of_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # bytes of some other encoding
        return False
    return len(name.splitlines()) == 1
