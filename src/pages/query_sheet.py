"""The sheet of a query: the photo with its box, the first results and whether they are right, and
lines between the points by which the best of them match."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from src.common.atomic_files import PathLike, atomic_path
from src.common.errors import one_line
from src.pages.look import (
    BACKGROUND,
    INK,
    MARGIN,
    QUIET,
    VERDICTS,
    counted,
    font,
    write_line,
)
from src.pages.match_picture import matches_canvas
from src.photos.reading import UnreadableImageError, read_reduced
from src.ranking.pair import PairMatch

LOG = logging.getLogger(__name__)

#: Counted up when sheets are drawn differently, so that old ones are drawn again.
VERSION = 1
#: Results for which lines are drawn where they have inliers, the query itself left out.
MATCHED = 3

_WIDTH = 1600
_QUERY_WIDTH = 420
_COLUMNS = 5
_PHOTO_HEIGHT = 168
_CELL_HEIGHT = _PHOTO_HEIGHT + 84
_FRAME = 6
_HEADER = 84
_MATCH_HEIGHT = 300
_READ_SIDE = 640  # photos are read at this size, the largest they are shown at
_QUALITY = 86
_BOX_COLOUR = (255, 214, 0)

Matcher = Callable[[int], PairMatch | None]


@dataclass(frozen=True)
class Result:
    """One photo that a search found.

    Attributes:
        image: its index.
        rank: from 1.
        name: what it is called.
        photo: its file.
        verdict: one of `VERDICTS`.
        inliers: matches that agree on one affine map.
        votes: votes of the query's features.
        probability: that it shows the same thing; None where nobody can tell.
    """

    image: int
    rank: int
    name: str
    photo: Path
    verdict: str
    inliers: float
    votes: float
    probability: float | None = None

    @property
    def score(self) -> str:
        """Inliers and votes in words, and how probable it is."""
        if self.probability is not None:
            # Never 0 or 100: it is an estimate.
            percent = min(max(round(100 * self.probability), 1), 99)
            return f"{percent} % · {replace(self, probability=None).score}"
        return f"{counted(self.inliers, 'inlier')} · {counted(self.votes, 'vote')}"


@dataclass(frozen=True)
class Sheet:
    """What the sheet of a query shows.

    Attributes:
        label: of the query.
        photo: the query's file.
        box: (left, top, right, bottom) of what is asked for, in pixels of the photo.
        caption: a line below the label.
        results: best first.
        evidence: identifies what the lines are drawn from, features and settings, so that a
            sheet is drawn again when they change.
    """

    label: str
    photo: Path
    box: tuple[float, float, float, float] | None
    caption: str
    results: tuple[Result, ...]
    evidence: str

    @property
    def file(self) -> str:
        """Name of the picture: the label, as far as it can be a file name anywhere."""
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", self.label)[:80]
        if plain and plain == self.label:
            return f"{plain}.jpg"
        digest = hashlib.sha256(self.label.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{plain or 'query'}-{digest[:8]}.jpg"


def write_sheet(sheet: Sheet, path: PathLike, matcher: Matcher) -> bool:
    """Draw a sheet (JPEG); one that shows this already is kept.

    Args:
        sheet: what to show.
        path: the picture. A comment in it says what it was drawn from.
        matcher: called with the index of an image for its matches with the query; None: there are
            none to be had.

    Returns:
        Whether it was drawn now.
    """
    fingerprint = _fingerprint(sheet)
    if _comment(path) == fingerprint:
        return False
    picture = draw_sheet(sheet, matcher)
    with atomic_path(path) as temporary:
        picture.save(temporary, quality=_QUALITY, optimize=True, comment=fingerprint.encode())
    return True


def draw_sheet(sheet: Sheet, matcher: Matcher) -> Image.Image:
    """Return the picture of a sheet, RGB."""
    rows = max(1, -(-len(sheet.results) // _COLUMNS))
    query = _query_photo(sheet)
    top_height = max(rows * _CELL_HEIGHT, query.height + 40)
    strips = _match_strips(sheet, matcher)
    strip_height = max((strip.height for _, strip in strips), default=0)
    height = _HEADER + top_height + (56 + strip_height + MARGIN if strips else 0)
    picture = Image.new("RGB", (_WIDTH, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    room = _WIDTH - 2 * MARGIN
    write_line(draw, (MARGIN, 12), sheet.label, 28, room, bold=True)
    write_line(draw, (MARGIN, 50), sheet.caption, 18, room, colour=QUIET)

    draw.text((MARGIN, _HEADER), "query", fill=INK, font=font(18, True))
    picture.paste(query, (MARGIN, _HEADER + 28))
    left = MARGIN + _QUERY_WIDTH + 2 * MARGIN
    cell = (_WIDTH - left - MARGIN + 12) // _COLUMNS
    for number, result in enumerate(sheet.results):
        corner = (
            left + number % _COLUMNS * cell,
            _HEADER + number // _COLUMNS * _CELL_HEIGHT,
        )
        _paste_result(picture, result, corner, cell - 12)
    if not sheet.results:
        draw.text((left, _HEADER + 28), "no other photos", fill=QUIET, font=font(18))
    if strips:
        top = _HEADER + top_height + MARGIN
        draw.line((MARGIN, top, _WIDTH - MARGIN, top), fill=(215, 215, 215))
        width = room // max(2, len(strips))
        for number, (title, strip) in enumerate(strips):
            x = number * width
            write_line(draw, (x + MARGIN, top + 14), title, 17, width - 2 * MARGIN)
            picture.paste(strip, (x, top + 40))
    return picture


def _paste_result(
    picture: Image.Image, result: Result, corner: tuple[int, int], width: int
) -> None:
    draw = ImageDraw.Draw(picture)
    left, top = corner
    mark, colour = VERDICTS[result.verdict]
    photo = _fitted(_shown(result.photo)[0], width - 2 * _FRAME, _PHOTO_HEIGHT - 2 * _FRAME)
    top += _PHOTO_HEIGHT - photo.height - 2 * _FRAME  # what is written below stands in one line
    box = (left, top, left + photo.width + 2 * _FRAME - 1, top + photo.height + 2 * _FRAME - 1)
    draw.rectangle(box, fill=colour)
    picture.paste(photo, (left + _FRAME, top + _FRAME))
    word = f"{result.rank}" + (f"  {mark} {result.verdict}" if mark else "")
    tag_width = round(draw.textlength(word, font=font(16, True))) + 18
    below = top + photo.height + 2 * _FRAME
    draw.rectangle((left, below, left + tag_width, below + 25), fill=colour)
    draw.text((left + 9, below + 3), word, fill="white", font=font(16, True))
    write_line(draw, (left, below + 28), result.name, 15, width)
    write_line(draw, (left, below + 48), result.score, 15, width, colour=QUIET)


def _query_photo(sheet: Sheet) -> Image.Image:
    image, scale = _shown(sheet.photo)
    photo = _fitted(image, _QUERY_WIDTH, 2 * _CELL_HEIGHT - 60)
    if sheet.box is not None:
        drawn = scale * photo.width / image.shape[1]
        left, top, right, bottom = (round(drawn * edge) for edge in sheet.box)
        left, right = (min(max(x, 0), photo.width - 1) for x in (left, right))
        top, bottom = (min(max(y, 0), photo.height - 1) for y in (top, bottom))
        draw = ImageDraw.Draw(photo)
        draw.rectangle((left, top, right, bottom), outline=(0, 0, 0), width=5)
        draw.rectangle((left, top, right, bottom), outline=_BOX_COLOUR, width=3)
    return photo


def _match_strips(sheet: Sheet, matcher: Matcher) -> list[tuple[str, Image.Image]]:
    """Return the title and the picture of the matches of the best results that have any."""
    strips = []
    others = [result for result in sheet.results if result.photo != sheet.photo][:MATCHED]
    chosen = [result for result in others if result.inliers]
    width = (_WIDTH - 2 * MARGIN) // max(2, len(chosen))
    for result in chosen:
        match = matcher(result.image)
        if match is None or not match.inlier_count:
            continue
        (query, scale_a), (found, scale_b) = _shown(sheet.photo), _shown(result.photo)
        match = replace(
            match,
            locations_a=match.locations_a * np.float32(scale_a),
            locations_b=match.locations_b * np.float32(scale_b),
        )
        canvas = matches_canvas(query, found, match, _MATCH_HEIGHT, width, top=0)
        title = f"query and {result.rank}, {result.name}: {counted(match.inlier_count, 'inlier')}"
        strips.append((title, Image.fromarray(canvas)))
    return strips


@functools.lru_cache(maxsize=96)  # a photo of 640 pixels is about 0.9 MB
def _read_once(path: str, _stamp: int) -> tuple[np.ndarray, float]:
    try:
        return read_reduced(path, _READ_SIDE)
    except UnreadableImageError as error:
        LOG.warning("shown without its picture: %s", one_line(error))
        return _no_photo(), 1.0


def _shown(path: Path) -> tuple[np.ndarray, float]:
    """Return a photo as it is shown and its scale; a grey plate where it cannot be read."""
    return _read_once(str(path), _stamp(path)[1])


def _no_photo() -> np.ndarray:
    plate = Image.new("RGB", (320, 240), (225, 225, 225))
    ImageDraw.Draw(plate).text(
        (160, 120), "photo cannot be read", fill=QUIET, font=font(20), anchor="mm"
    )
    return np.asarray(plate)


def _fitted(image: np.ndarray, width: int, height: int) -> Image.Image:
    scale = min(width / image.shape[1], height / image.shape[0])
    size = tuple(max(1, round(length * scale)) for length in (image.shape[1], image.shape[0]))
    return Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (-1, -1)
    return status.st_size, status.st_mtime_ns


def _fingerprint(sheet: Sheet) -> str:
    """Identify what a sheet shows; the photos by name, size and time."""
    photos = [sheet.photo, *(result.photo for result in sheet.results)]
    content = {**asdict(sheet), "version": VERSION, "stamps": [_stamp(path) for path in photos]}
    text = json.dumps(content, default=_plain, sort_keys=True)
    return f"sheet {hashlib.sha256(text.encode()).hexdigest()}"


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def _comment(path: PathLike) -> str | None:
    try:
        with Image.open(path) as picture:
            return picture.info.get("comment", b"").decode("ascii", "replace")
    except (OSError, ValueError):
        return None


def verdicts(
    images: Sequence[int], positives: Sequence[np.ndarray], junk: Sequence[np.ndarray]
) -> list[str]:
    """Judge images by several protocols at once.

    Right is what is positive in any of them, junk what all of them ignore: a photo may be positive
    in one and ignored in another.

    Args:
        images: indices.
        positives, junk: of each protocol, sorted indices.
    """
    right = functools.reduce(np.union1d, positives)
    ignored = functools.reduce(np.intersect1d, junk)
    return [
        "right" if image in right else "junk" if image in ignored else "wrong" for image in images
    ]
