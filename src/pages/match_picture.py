"""The picture of a match: two photos side by side, with lines between the points that agree."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.common.atomic_files import PathLike, atomic_path
from src.pages.look import BACKGROUND, INK, MARGIN
from src.ranking.pair import PairMatch

#: Both photos are drawn this high, unless that makes the picture wider than `DRAWN_WIDTH`.
DRAWN_HEIGHT = 720
DRAWN_WIDTH = 2400
_TITLE_HEIGHT = 44
#: Pictures can be written as these.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def draw_matches(
    image_a: np.ndarray,
    image_b: np.ndarray,
    match: PairMatch,
    path: PathLike,
    names: tuple[str, str] | None = None,
) -> None:
    """Draw two photos side by side with a line between each pair of inliers.

    Both photos get the same height; the colour of a line follows the place of its end in the first
    photo, so that neighbouring lines can be told apart.

    Args:
        image_a: uint8 [H, W, 3], RGB.
        image_b: uint8 [H, W, 3], RGB.
        match: what `match_pair` found.
        path: picture to write; at most about `DRAWN_WIDTH` pixels wide.
        names: what to call the photos in the title.
    """
    canvas = matches_canvas(image_a, image_b, match, DRAWN_HEIGHT, DRAWN_WIDTH, _TITLE_HEIGHT)
    what = f"{match.inlier_count} of {len(match.inliers)} matches agree on one affine map"
    title = f"{names[0]} and {names[1]}: {what}" if names else what
    with atomic_path(path) as temporary:
        _with_title(canvas, title).save(temporary)


def matches_canvas(
    image_a: np.ndarray,
    image_b: np.ndarray,
    match: PairMatch,
    max_height: int,
    max_width: int,
    top: int = MARGIN,
) -> np.ndarray:
    """Return a picture of two photos side by side with a line between each pair of inliers.

    Args:
        image_a: uint8 [H, W, 3], RGB.
        image_b: uint8 [H, W, 3], RGB.
        match: the matches, in pixels of these images.
        max_height: both photos get this height, unless that makes the picture too wide.
        max_width: of the picture, the margins of `MARGIN` pixels included.
        top: empty rows above the photos.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    height, scales = _common_height(image_a, image_b, max_height, max_width)
    photos = [_scaled(image, height, scale) for image, scale in zip((image_a, image_b), scales)]
    width = sum(photo.shape[1] for photo in photos) + 3 * MARGIN
    canvas = np.full((height + top + MARGIN, width, 3), BACKGROUND, dtype=np.uint8)
    origins = [MARGIN, 2 * MARGIN + photos[0].shape[1]]
    for photo, left in zip(photos, origins):
        canvas[top : top + height, left : left + photo.shape[1]] = photo
    ends = [
        (locations[match.inliers][:, ::-1] * scale + (left, top)).astype(np.float64)
        for locations, scale, left in zip((match.locations_a, match.locations_b), scales, origins)
    ]
    radius = 4 if height >= 400 else 3 if height >= 250 else 2  # dots must not hide a small photo
    return _with_lines(canvas, *ends, radius)


def _common_height(
    image_a: np.ndarray, image_b: np.ndarray, max_height: int, max_width: int
) -> tuple[int, tuple[float, float]]:
    """Return the height to draw both photos at, and the scale of each."""
    relative_width = sum(image.shape[1] / image.shape[0] for image in (image_a, image_b))
    height = max(1, int(min(max_height, (max_width - 3 * MARGIN) / relative_width)))
    return height, (height / image_a.shape[0], height / image_b.shape[0])


def _scaled(image: np.ndarray, height: int, scale: float) -> np.ndarray:
    width = max(1, round(image.shape[1] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method)


def _with_lines(
    canvas: np.ndarray, ends_a: np.ndarray, ends_b: np.ndarray, radius: int
) -> np.ndarray:
    """Draw lines that shine through, so that photos stay visible, and round ends."""
    shift = 4  # OpenCV's fixed-point coordinates: 1/16 pixel
    colours = _colours(ends_a)
    order = np.argsort(ends_a[:, 1], kind="stable")
    fixed = [np.round(ends * (1 << shift)).astype(int) for ends in (ends_a, ends_b)]
    lines = canvas.copy()
    for i in order:
        points = tuple(fixed[0][i]), tuple(fixed[1][i])
        cv2.line(lines, *points, colours[i], 1, cv2.LINE_AA, shift)
    canvas = cv2.addWeighted(lines, 0.75, canvas, 0.25, 0)
    for i in order:
        for ends in fixed:
            centre = tuple(ends[i])
            cv2.circle(canvas, centre, radius << shift, (255, 255, 255), -1, cv2.LINE_AA, shift)
            cv2.circle(canvas, centre, (radius - 1) << shift, colours[i], -1, cv2.LINE_AA, shift)
    return canvas


def _colours(ends: np.ndarray) -> list[tuple[int, int, int]]:
    """Return a colour for each point: the hue runs along the direction they spread most in."""
    if not len(ends):
        return []
    centred = ends - ends.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    along = np.argsort(np.argsort(centred @ directions[0], kind="stable"), kind="stable")
    hues = 0.85 * along / max(1, len(ends) - 1)
    return [
        tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.5, 0.95)) for hue in hues
    ]


def _with_title(canvas: np.ndarray, title: str) -> Image.Image:
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    room = picture.width - 2 * MARGIN
    for size in range(22, 7, -1):
        font = ImageFont.load_default(size)
        if draw.textlength(title, font=font) <= room:
            break
    draw.text((MARGIN, _TITLE_HEIGHT / 2), title, fill=INK, font=font, anchor="lm")
    return picture
