"""The picture of where the network looks: the map of its scores over a photo, and the features."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from PIL import Image, ImageDraw

from src.common.atomic_files import PathLike, atomic_path
from src.feature_io import Features
from src.pages.look import BACKGROUND, MARGIN, QUIET, counted, font, write_line
from src.pages.match_picture import PICTURE_SUFFIXES as PICTURE_SUFFIXES

#: Longest sides of each of the two photos in the picture, in pixels.
DRAWN_HEIGHT = 720
DRAWN_WIDTH = 1180
_TITLE_HEIGHT = 44
_LEGEND_HEIGHT = 34
#: A circle has the radius of half a cell: what lies between two features of its scale.
_CELL_SHARE = 0.5
_SHINE = 0.62  # how much of the colour of the highest score is seen


def drawn_shape(size: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) at which a photo of some size is drawn."""
    scale = min(DRAWN_HEIGHT / size[0], DRAWN_WIDTH / size[1])
    return tuple(max(1, round(length * scale)) for length in size)


def draw_attention(
    image: np.ndarray,
    heat: np.ndarray,
    features: Features,
    path: PathLike,
    title: str,
    stride: float,
) -> None:
    """Draw a photo with the map of its scores and, beside it, with its features.

    Args:
        image: uint8 [H, W, 3], RGB.
        heat: float32 [h, w], the scores, 0 and more, of the size of `drawn_shape`.
        features: of the photo, in its pixels. Each is a circle around its receptive field's
            centre, by scale: large and red for what looks large in the photo, small and blue for
            what looks small.
        path: picture to write.
        title: what stands above it.
        stride: pixels between the cells of a level.
    """
    height, width = heat.shape
    method = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_CUBIC
    photo = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method)
    room = (_TITLE_HEIGHT + height + _LEGEND_HEIGHT, 2 * width + 3 * MARGIN)
    canvas = np.full((*room, 3), BACKGROUND, dtype=np.uint8)
    below = slice(_TITLE_HEIGHT, _TITLE_HEIGHT + height)
    canvas[below, MARGIN : MARGIN + width] = _heated(photo, heat)
    left = 2 * MARGIN + width
    scale = height / image.shape[0]
    canvas[below, left : left + width] = with_circles(photo, features, scale, stride)
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    write_line(draw, (MARGIN, 10), title, 20, room[1] - 2 * MARGIN)
    top = _TITLE_HEIGHT + height + 8
    lowest, highest = (float(value) for value in (heat.min(), heat.max()))
    legend = f"score {lowest:.3g} (dark) to {highest:.3g} (bright), highest of all levels"
    write_line(draw, (MARGIN, top), legend, 15, width, colour=QUIET)
    _write_scales(draw, (left, top), features, width)
    with atomic_path(path) as temporary:
        picture.save(temporary)


def _heated(photo: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a photo in grey under the colours of a map."""
    low, high = heat.min(), heat.max()
    share = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    colours = cv2.applyColorMap(np.round(255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    seen = (1 - _SHINE) * grey + _SHINE * colours[..., ::-1]
    return np.round(seen).astype(np.uint8)


def with_circles(photo: np.ndarray, features: Features, scale: float, stride: float) -> np.ndarray:
    """Return a photo with a circle for each feature, the largest below."""
    shift = 4  # OpenCV's fixed-point coordinates: 1/16 pixel
    colours = dict(zip(_scales(features), _hues(len(_scales(features)))))
    lines = photo.copy()
    for number in np.argsort(features.scales, kind="stable"):  # a small scale: something large
        y, x = features.locations[number] * scale
        size = float(features.scales[number])
        radius = max(2.0, _CELL_SHARE * stride / size * scale)
        centre = tuple(round(float(value) * (1 << shift)) for value in (x, y))
        colour = colours[size]
        cv2.circle(lines, centre, round(radius * (1 << shift)), colour, 1, cv2.LINE_AA, shift)
        cv2.circle(lines, centre, round(1.5 * (1 << shift)), colour, -1, cv2.LINE_AA, shift)
    return cv2.addWeighted(lines, 0.85, photo, 0.15, 0)


def _write_scales(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], features: Features, width: int
) -> None:
    """Write the number of features of each scale in its colour, as far as there is room."""
    left, top = corner
    word = f"{counted(len(features), 'feature')}, by scale:"
    letters = font(15)
    draw.text((left, top), word, fill=QUIET, font=letters)
    x = left + draw.textlength(word, font=letters) + 10
    scales = _scales(features)
    for scale, colour in zip(scales, _hues(len(scales))):
        word = f"{scale:.4g}: {int((features.scales == np.float32(scale)).sum())}"
        length = draw.textlength(word, font=letters)
        if x + length > left + width:
            break
        draw.text((x, top), word, fill=tuple(part * 3 // 4 for part in colour), font=letters)
        x += length + 12


def _scales(features: Features) -> list[float]:
    return sorted({float(scale) for scale in features.scales})


def _hues(count: int) -> list[tuple[int, int, int]]:
    """Return colours from red, for what is large, to blue."""
    return [
        tuple(
            round(255 * part)
            for part in colorsys.hls_to_rgb(0.66 * number / max(1, count - 1), 0.5, 1.0)
        )
        for number in range(count)
    ]
