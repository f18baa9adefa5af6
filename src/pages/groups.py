"""The page of photos in groups: small pictures side by side, and what joins them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from src.common.atomic_files import PathLike, atomic_path, write_text
from src.common.errors import one_line
from src.common.progress import progress_bar
from src.pages.document import PAGE_NAME, page_top, shown_text
from src.photos.reading import UnreadableImageError, read_reduced

LOG = logging.getLogger(__name__)

#: Longest side of a small picture, in pixels.
SIDE = 320
_QUALITY = 82
_STYLE = """
.group { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .8rem;
  margin: .6rem 0 0; padding: 0; list-style: none; }
.group li { min-width: 0; overflow-wrap: anywhere; font-size: .9rem; line-height: 1.35; }
.group img { width: 100%; height: 9rem; object-fit: contain; border: 1px solid var(--line); }
.group .none { height: 9rem; display: grid; place-items: center; border: 1px solid var(--line);
  color: var(--quiet); }
"""


@dataclass(frozen=True)
class ShownPhoto:
    """A photo of a group.

    Attributes:
        photo: its file.
        name: what it is called.
        note: what joins it to the group.
    """

    photo: Path
    name: str
    note: str


@dataclass(frozen=True)
class ShownGroup:
    """A group of photos: its heading and the photos."""

    title: str
    photos: Sequence[ShownPhoto]


def write_groups(
    folder: PathLike, title: str, lead: Sequence[str], groups: Sequence[ShownGroup]
) -> Path:
    """Write the page of groups and its small pictures; what is drawn already is kept.

    Args:
        folder: of the page; small pictures lie in its `photos`, those of other pages of this
            folder are removed.
        title: heading.
        lead: sentences below it.
        groups: what to show.

    Returns:
        The page. Its folder can be moved or sent as a whole; only the originals that the pictures
        lead to stay where they are.
    """
    small = Path(folder) / "photos"
    small.mkdir(parents=True, exist_ok=True)
    parts = [*page_top(title, lead, _STYLE), "</header><main>"]
    kept = set()
    with progress_bar("drawing", sum(len(group.photos) for group in groups), "photo") as bar:
        for number, group in enumerate(groups, 1):
            parts.append(f'<article id="group-{number}"><h3>{shown_text(group.title)}</h3>')
            parts.append('<ul class="group">')
            for photo in group.photos:
                picture = _small_picture(photo.photo, small)
                kept.add(picture)
                parts.append(_cell(photo, picture))
                bar.update()
            parts.append("</ul></article>")
    for old in set(small.glob("*.jpg")) - kept:
        with contextlib.suppress(OSError):
            old.unlink()
    parts.append("</main></body></html>")
    path = Path(folder) / PAGE_NAME
    write_text(path, "\n".join(parts) + "\n")
    return path


def _cell(photo: ShownPhoto, picture: Path | None) -> str:
    if picture is None:
        image = '<span class="none">cannot be read</span>'
    else:
        with Image.open(picture) as opened:
            width, height = opened.size
        image = (
            f'<img src="photos/{picture.name}" alt="" loading="lazy" '
            f'width="{width}" height="{height}">'
        )
    return (
        f'<li><a href="{shown_text(photo.photo.absolute().as_uri())}">{image}</a>'
        f"{shown_text(photo.name)}<br>"
        f'<span class="quiet">{shown_text(photo.note)}</span></li>'
    )


def _small_picture(photo: Path, folder: Path) -> Path | None:
    """Return the small picture of a photo; it is named after the photo's path, size and time."""
    try:
        status = photo.stat()
        stamp = f"{photo}\n{status.st_size}\n{status.st_mtime_ns}"
        digest = hashlib.sha256(stamp.encode("utf-8", "surrogatepass")).hexdigest()
        path = folder / f"{digest[:20]}.jpg"
        if not path.exists():
            image, _ = read_reduced(photo, SIDE)
            with atomic_path(path) as temporary:
                Image.fromarray(image).save(temporary, quality=_QUALITY)
    except (UnreadableImageError, FileNotFoundError) as error:
        LOG.warning("shown without its picture: %s", one_line(error))
        return None
    return path
