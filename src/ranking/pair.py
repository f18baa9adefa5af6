"""Matching two photos: nearest descriptors, one affine map, and a picture of what agrees."""

from __future__ import annotations

import colorsys
import logging
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.common.atomic_files import PathLike, atomic_path
from src.common.errors import UserError
from src.feature_io import Features, feature_path, read_features
from src.photos.finding import EXTENSIONS, list_images
from src.photos.reading import read_image
from src.ranking.geometry import VerifySettings, extent, match_descriptors, verify

LOG = logging.getLogger(__name__)

#: Both photos are drawn this high, unless that makes the picture wider than `DRAWN_WIDTH`.
DRAWN_HEIGHT = 720
DRAWN_WIDTH = 2400
#: Look of the pictures: pixels around the photos, colours of the page and of the text.
MARGIN = 16
BACKGROUND = (250, 250, 250)
INK = (40, 40, 40)
_TITLE_HEIGHT = 44


@dataclass(frozen=True)
class MatchSettings:
    """How two photos are matched.

    Attributes:
        max_distance: largest distance of two descriptors of unit length that match.
        ratio: the nearest descriptor must be nearer than this share of the distance to the second
            nearest; None = not asked.
        mutual: both descriptors must be nearest to each other.
        verify: how matches are verified.
    """

    max_distance: float | None = 0.8
    ratio: float | None = None
    mutual: bool = True
    verify: VerifySettings = field(default_factory=VerifySettings)


@dataclass(frozen=True)
class PairMatch:
    """Matches of two photos.

    Attributes:
        locations_a, locations_b: float32 [M, 2], (y, x) of the matches in each photo.
        inliers: bool [M], the matches that agree on one affine map.
        affine: float64 [2, 3] that maps (x, y, 1) of the first photo to (x, y) of the second; None
            without inliers.
    """

    locations_a: np.ndarray
    locations_b: np.ndarray
    inliers: np.ndarray
    affine: np.ndarray | None

    @property
    def inlier_count(self) -> int:
        """Number of inliers."""
        return int(self.inliers.sum())


def match_pair(
    features_a: Features,
    features_b: Features,
    settings: MatchSettings = MatchSettings(),  # noqa: B008 (frozen)
) -> PairMatch:
    """Match the features of two photos and verify the matches.

    Raises:
        UserError: when the descriptors are not of the same length.
    """
    if features_a.dimension != features_b.dimension and len(features_a) and len(features_b):
        raise UserError(
            f"the two photos' descriptors have {features_a.dimension} and {features_b.dimension} "
            "dimensions; extract both with the same settings"
        )
    pairs = match_descriptors(
        features_a.descriptors,
        features_b.descriptors,
        settings.max_distance,
        settings.ratio,
        settings.mutual,
    )
    locations_a = features_a.locations[pairs[:, 0]]
    locations_b = features_b.locations[pairs[:, 1]]
    relative_size = extent(features_b.locations) / extent(features_a.locations)
    found = verify(locations_a, locations_b, settings.verify, relative_size)
    return PairMatch(locations_a, locations_b, found.inliers, found.affine)


# ---------------------------------------------------------------- drawing


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


# ---------------------------------------------------------------- command line


def read_image_pair(path: PathLike) -> tuple[str, str]:
    """Read the names of the two photos to match: one a line, blank lines passed over.

    A name may carry the suffix of an image file.

    Raises:
        UserError: when the file is missing or does not hold two names.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"there is no list of images {path}; write two image names in it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list of images {path}: {error}") from None
    names = [line.strip() for line in lines if line.strip()]
    if len(names) != 2:
        raise UserError(f"{path} holds {len(names)} names; it must hold two, one a line")
    first, second = (
        name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in EXTENSIONS else name
        for name in names
    )
    return first, second


def match_images(
    list_images_path: PathLike,
    images_path: PathLike,
    features_path: PathLike,
    output_image: PathLike,
    settings: MatchSettings = MatchSettings(),  # noqa: B008 (frozen)
) -> PairMatch:
    """Match the two photos of a list by their features and draw the result.

    Raises:
        UserError: when the list, a photo or its features are missing.
    """
    names = read_image_pair(list_images_path)
    files = dict(list_images(images_path))
    for name in names:
        if name not in files:
            raise UserError(f"{list_images_path} names {name}, which is not in {images_path}")
    features = [read_features(feature_path(features_path, name)) for name in names]
    match = match_pair(*features, settings)
    photos = [read_image(Path(images_path) / files[name]) for name in names]
    draw_matches(*photos, match, output_image, names)
    LOG.info(
        "%s (%d features), %s (%d features): %d matches, %d inliers; see %s",
        names[0],
        len(features[0]),
        names[1],
        len(features[1]),
        len(match.inliers),
        match.inlier_count,
        output_image,
    )
    return match
