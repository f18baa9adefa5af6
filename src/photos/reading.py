"""Reading photos as RGB, as they are displayed, whatever their format.

Pillow decodes them, HEIC by pillow-heif; samples of more than 8 bits are read where their tags are
understood: `tiff`, `deep_samples`.
"""

from __future__ import annotations

import functools
import io
import logging
import re
import warnings
from typing import BinaryIO, NamedTuple

import numpy as np
import pillow_heif
from PIL import Image, PngImagePlugin

from src.common.atomic_files import PathLike
from src.common.errors import UserError, one_line
from src.photos import deep_samples, tiff
from src.photos.bands import factor_for, image_in_bands, reduced
from src.photos.places import Place, open_photo
from src.photos.png_text import without_text
from src.photos.sample_range import find_range, to_8_bits, whole_range

LOG = logging.getLogger(__name__)

# Pillow's own line between a large photo and a decompression bomb (2 × 256 MB of 24-bit pixels).
MAX_PIXELS = 178_956_970
# Bytes of a PNG's text, profile or XMP, unpacked; editors write some megabytes, Pillow takes one.
_MOST_TEXT = 16 << 20
_TOO_MUCH_TEXT = ("Decompressed data too large", "Too much memory used in text chunks")
_EXIF_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations whose rows are columns of the file
# How many right angles rows are turned by, against the clock: of the photo, of its mirror image.
_TURNS = {1: 0, 3: 2, 6: 3, 8: 1}
_TURNS_MIRRORED = {2: 0, 4: 2, 5: 1, 7: 3}


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
        least_side: where a smaller copy will do: a photo is read at a half, a quarter or an eighth
            of its size, as long as its longer side keeps this many pixels. A JPEG is decoded at
            that, which is quicker; of others each pixel is the mean of several.

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
        decoded = _decode_tiff(file, least_side)
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
        return _displayed(pixels, 1, size, least_side, note)
    except ValueError as error:
        if not str(error).startswith(_TOO_MUCH_TEXT):
            raise
        file.seek(0)
        data = file.read()
    try:
        return _decode_by_pillow(io.BytesIO(without_text(data)), least_side)
    except ValueError as error:
        if not str(error).startswith(_TOO_MUCH_TEXT):
            raise
        return _decode_by_pillow(io.BytesIO(without_text(data, all_of_it=True)), least_side)


def reason(error: BaseException) -> str:
    """Say in a few words why a file could not be decoded."""
    if isinstance(error, Image.DecompressionBombError):
        told = one_line(error)
        found = re.search(r"\((\d+) pixels\)", told)  # Pillow's own words are about an attack
        size = f"{found[1]} pixels" if found else told
        return f"is larger than {MAX_PIXELS / 1e6:.0f} megapixels ({size}); scale it down"
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


def _decode_tiff(file: BinaryIO, least_side: int | None) -> Decoded | None:
    """Decode a TIFF of a kind that Pillow does not read as it is meant; None for the others."""
    page = tiff.first_page(file)
    if page is None or tiff.pillow_reads(page):
        file.seek(0)
        return None
    _refuse_too_large(page.imagewidth, page.imagelength)
    pixels, note = tiff.read_page(page)
    size = page.imagewidth, page.imagelength
    return _displayed(pixels, tiff.orientation(page), size, least_side, note)


def _decode_by_pillow(file: BinaryIO, least_side: int | None) -> Decoded:
    with open_image(file) as image:
        _refuse_too_large(*image.size)
        size = image.size
        if deep_samples.is_deep(image, file):
            file.seek(0)
            pixels, note = deep_samples.read_deep(file.read())
            return _displayed(pixels, _orientation(image), size, least_side, note)
        if least_side is not None:
            image.draft(None, _at_least(image.size, least_side))
        image.load()
        # A PNG may say only after its pixels how it is displayed.
        return _displayed(_to_rgb(image, least_side), _orientation(image), size, least_side)


def open_image(file: BinaryIO, formats: tuple[str, ...] | None = None) -> Image.Image:
    """Open an image by Pillow, as all do that read what somebody else put there."""
    _set_up_pillow()
    return Image.open(file, formats=formats)


@functools.lru_cache(maxsize=1)
def _set_up_pillow() -> None:
    """Let Pillow open HEIC as well, photos up to `MAX_PIXELS` and texts up to `_MOST_TEXT`."""
    pillow_heif.register_heif_opener(thumbnails=False)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    # What is too large is refused in our words, and broken EXIF does not cost the photo.
    warnings.filterwarnings("ignore", module="PIL")
    PngImagePlugin.MAX_TEXT_CHUNK = _MOST_TEXT
    PngImagePlugin.MAX_TEXT_MEMORY = 4 * _MOST_TEXT


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
    pixels: np.ndarray,
    orientation: int,
    size: tuple[int, int],
    least_side: int | None,
    note: str = "",
) -> Decoded:
    """Return pixels as displayed under an EXIF orientation, reduced where that is enough.

    Args:
        pixels: uint8 [H, W, 3], which may have been reduced.
        orientation: 1 to 8; others say nothing.
        size: (width, height) in the file.
        least_side: see `read_image`.
        note: what had to be guessed.
    """
    pixels = reduced(pixels, factor_for(pixels.shape[1::-1], least_side))
    if orientation in _TURNS_MIRRORED:
        pixels = np.rot90(pixels[:, ::-1], _TURNS_MIRRORED[orientation])
    else:
        pixels = np.rot90(pixels, _TURNS.get(orientation, 0))
    displayed = size if orientation in _ON_ITS_SIDE else size[::-1]
    return Decoded(np.ascontiguousarray(pixels), displayed, note)


def _to_rgb(image: Image.Image, least_side: int | None) -> np.ndarray:
    """Convert an image of any mode of Pillow to RGB, uint8 [H, W, 3], reduced as that allows."""
    convert = _any_to_rgb
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # Pillow brings all whole numbers of more than 8 bits to 16, whatever it calls them.
        found = find_range(np.asarray(image), 32) if image.mode == "F" else whole_range(16, "u")

        def convert(band: Image.Image) -> np.ndarray:
            grey = to_8_bits(np.asarray(band), found.black, found.white)
            return np.repeat(grey[..., None], 3, axis=2)

    return image_in_bands(image, convert, factor_for(image.size, least_side))


def _any_to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode == "LAB":
        return tiff.lab_to_rgb(image)
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        return tiff.on_white(rgba[..., :3], rgba[..., 3])
    return np.asarray(image.convert("RGB"))
