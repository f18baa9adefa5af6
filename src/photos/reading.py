"""Reading photos as RGB, as they are displayed, whatever their format.

Pillow decodes them, HEIC by pillow-heif; samples of more than 8 bits are read where their tags are
understood: `tiff`, `deep_samples`.
"""

from __future__ import annotations

import functools
import io
import logging
import warnings
from typing import BinaryIO, NamedTuple

import numpy as np
import pillow_heif
from PIL import Image

from src.common.atomic_files import PathLike
from src.common.errors import UserError, one_line
from src.photos import deep_samples, tiff
from src.photos.places import Place, open_photo
from src.photos.png_text import without_text
from src.photos.sample_range import find_range, to_8_bits, whole_range

LOG = logging.getLogger(__name__)

# Pillow's own line between a large photo and a decompression bomb (2 × 256 MB of 24-bit pixels).
MAX_PIXELS = 178_956_970
_EXIF_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations whose rows are columns of the file
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(UserError):
    """A file that is not a whole, readable image."""


class Decoded(NamedTuple):
    """A photo as it is displayed.

    Attributes:
        pixels: uint8 [H, W, 3], RGB.
        size: (height, width) of the photo in its file as it is displayed; `pixels` may be fewer.
        note: what had to be guessed, else "".
    """

    pixels: np.ndarray
    size: tuple[int, int]
    note: str = ""


def read_image(path: Place, least_side: int | None = None) -> np.ndarray:
    """Read an image file as it is displayed, the first frame of it where there are several.

    The EXIF orientation is applied, transparent pixels are laid on white. Samples of more than 8
    bits and floating-point ones are brought to 8 bits as the tags of the file say, and by the range
    of the values where no tag does, which is logged.

    Args:
        path: the file.
        least_side: where a smaller copy will do: a JPEG is decoded at a half, a quarter or an
            eighth of its size, as long as its longer side keeps this many pixels. That is quicker.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        UnreadableImageError: there is no such file, or it is no image, broken, cut short, or
            larger than `MAX_PIXELS`.
    """
    return read_enough(path, least_side).pixels


def read_reduced(path: PathLike, side: int) -> tuple[np.ndarray, float]:
    """Read an image file to show it small.

    Returns:
        uint8 [H, W, 3], RGB, its longer side at most `side` pixels; and its size relative to the
        photo's, by which a location in the photo becomes one in the small image.

    Raises:
        UnreadableImageError: as `read_image`.
    """
    image, size, _ = read_enough(path, side)
    if max(image.shape[:2]) > side:
        height, width = (
            max(1, round(length * side / max(image.shape[:2]))) for length in image.shape[:2]
        )
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
    return image, min(1.0, side / max(size))


def decode(file: BinaryIO, least_side: int | None = None) -> Decoded:
    """Decode an image file that is open; see `read_image`.

    Raises:
        Exception: it is no image, broken, cut short or too large. Broken files make the decoders
            raise anything at all; `reason` puts it into words.
    """
    head = file.read(4)
    file.seek(0)
    if tiff.is_tiff(head):
        decoded = _decode_tiff(file)
        if decoded is not None:
            return decoded
    try:
        return _decode_by_pillow(file, least_side)
    except Image.UnidentifiedImageError:
        file.seek(0)
        data = file.read()
        size = deep_samples.deep_jpeg_size(data)
        if size is None:
            raise
        _refuse_too_large(*size)
        pixels, note = deep_samples.read_deep(data)
        return Decoded(pixels, pixels.shape[:2], note)
    except ValueError:
        file.seek(0)
        shorter = without_text(file.read())
        if shorter is None:
            raise
        return _decode_by_pillow(io.BytesIO(shorter), least_side)


def reason(error: BaseException) -> str:
    """Say in a few words why a file could not be decoded."""
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"is larger than {MAX_PIXELS / 1e6:.0f} megapixels ({one_line(error)}); scale it down"
        )
    if isinstance(error, Image.UnidentifiedImageError):
        return "is not an image of a known format"
    told = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return f"cannot be read: {told}"


def read_enough(path: Place, least_side: int | None = None) -> Decoded:
    """Read an image file as `read_image` does, and tell how large the photo is.

    Raises:
        UnreadableImageError: as `read_image`.
    """
    try:
        with open_photo(path) as file:
            if not file.read(1):
                raise UnreadableImageError(f"image {path} is empty")
            file.seek(0)
            decoded = decode(file, least_side)
    except (MemoryError, UnreadableImageError):
        raise
    except Exception as error:
        raise UnreadableImageError(f"image {path} {reason(error)}") from error
    if decoded.note:
        _say_once(f"image {path}: {decoded.note}")
    return decoded


@functools.lru_cache(maxsize=4096)
def _say_once(text: str) -> None:
    """Log a line; a photo is read again to be shown."""
    LOG.warning("%s", text)


def _decode_tiff(file: BinaryIO) -> Decoded | None:
    """Decode a TIFF of a kind that Pillow does not read as it is meant; None for the others."""
    page = tiff.first_page(file)
    if page is None or tiff.pillow_reads(page):
        file.seek(0)
        return None
    _refuse_too_large(page.imagewidth, page.imagelength)
    pixels, note = tiff.read_page(page)
    return _displayed(pixels, tiff.orientation(page), pixels.shape[1::-1], note)


def _decode_by_pillow(file: BinaryIO, least_side: int | None) -> Decoded:
    _set_up_pillow()
    with Image.open(file) as image:
        _refuse_too_large(*image.size)
        size = image.size
        if deep_samples.is_deep(image, file):
            file.seek(0)
            pixels, note = deep_samples.read_deep(file.read())
            return _displayed(pixels, _orientation(image), size, note)
        if least_side is not None:
            image.draft(None, _at_least(image.size, least_side))
        image.load()
        # A PNG may say only after its pixels how it is displayed.
        return _displayed(_to_rgb(image), _orientation(image), size)


@functools.lru_cache(maxsize=1)
def _set_up_pillow() -> None:
    """Let Pillow open HEIC as well, and photos of half of `MAX_PIXELS` without a warning."""
    pillow_heif.register_heif_opener(thumbnails=False)
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _refuse_too_large(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{width}×{height} pixels")


def _at_least(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return a size of the same shape whose longer side is `side`."""
    return max(1, size[0] * side // max(size)), max(1, size[1] * side // max(size))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation (1 to 8), or 1 where there is none or the block is broken."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a broken EXIF block does not make the pixels unreadable
        return 1


def _displayed(
    pixels: np.ndarray, orientation: int, size: tuple[int, int], note: str = ""
) -> Decoded:
    """Return pixels as displayed under an EXIF orientation; size: (width, height) in the file."""
    if orientation not in _TRANSPOSE:
        return Decoded(pixels, size[::-1], note)
    turned = np.array(Image.fromarray(pixels).transpose(_TRANSPOSE[orientation]))
    return Decoded(turned, size if orientation in _ON_ITS_SIDE else size[::-1], note)


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Convert an image of any mode of Pillow to RGB, uint8 [H, W, 3]."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.array(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        # Pillow brings all whole numbers of more than 8 bits to 16, whatever it calls them.
        found = find_range(values, 32) if image.mode == "F" else whole_range(16, "u")
        return np.repeat(to_8_bits(values, found.black, found.white)[..., None], 3, axis=2)
    if image.mode == "LAB":
        return tiff.lab_to_rgb(image)
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        return tiff.on_white(rgba[..., :3], rgba[..., 3])
    return np.array(image.convert("RGB"))
