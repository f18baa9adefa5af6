"""TIFFs whose samples Pillow does not read, or not as their tags say: by tifffile.

Pillow knows a TIFF by a handful of modes: samples of more than 8 bits lose their depth or sign on
the way, and some kinds are read as noise or as a negative. Here the tags decide (TIFF 6.0, with
SampleFormat and ExtraSamples): bits, signed or floating-point, MinIsWhite, planar or not, alpha.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, ImageCms

from src.photos.bands import in_bands
from src.photos.sample_range import SampleRange, find_range, to_8_bits, whole_range

if TYPE_CHECKING:
    from tifffile import TiffPage

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 4, 5, 6, 8
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _LAB: 3}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_SIDE_BY_SIDE = 1
# None, fax, LZW, JPEG, deflate, PackBits: what the libtiff in Pillow has been built with.
_COMPRESSIONS_OF_PILLOW = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946)
_ASSOCIATED, _UNASSOCIATED = 1, 2
_MOST_EXTRA_SAMPLES = 8
_LARGEST_TILE = 1 << 16  # pixels on a side
_MIN, _MAX, _SMIN, _SMAX, _ORIENTATION = 280, 281, 340, 341, 274


def is_tiff(head: bytes) -> bool:
    """Tell by its first bytes whether a file is a TIFF."""
    return head[:4] in _MAGIC


def first_page(file: BinaryIO) -> TiffPage | None:
    """Return the first page of a TIFF that is open; None where its structure is broken."""
    import tifffile  # of every thousand photos one is a TIFF

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # odd tags are nobody's concern
    try:
        return tifffile.TiffFile(file).pages[0]
    except Exception:  # of a broken file anything at all
        return None


def pillow_reads(page: TiffPage) -> bool:
    """Tell whether a page is of the kinds that Pillow reads as the tags say.

    Up to 8 bits, unsigned, nothing but the colours, which stand side by side: the rest it does not
    open, or gives it in other colours.
    """
    depths = page.bitspersample
    shallow = depths == 8 or (depths in (1, 2, 4) and page.samplesperpixel == 1)
    if page.photometric not in (_MASK, _YCBCR):
        colours = _COLOURS.get(page.photometric)
        shallow = shallow and page.samplesperpixel == colours and page.planarconfig == _SIDE_BY_SIDE
    packed = page.compression in _COMPRESSIONS_OF_PILLOW
    return shallow and packed and page.sampleformat == _UNSIGNED


def orientation(page: TiffPage) -> int:
    """Return the EXIF orientation of a page, 1 to 8."""
    value = page.tags.valueof(_ORIENTATION)
    return value if isinstance(value, int) else 1


def read_page(page: TiffPage) -> tuple[np.ndarray, str]:
    """Read a page by its tags.

    Returns:
        uint8 [H, W, 3], RGB, as it is stored, transparent pixels laid on white; and a note where
        the tags do not tell its black and white, else "".

    Raises:
        ValueError: its samples are of a kind that is no photo's, or the file is cut short.
    """
    colours = _colours(page)
    _refuse_broken(page)
    samples = page.asarray(squeeze=False)[:, 0]  # [planes, H, W, samples of a plane]
    samples = np.moveaxis(samples, 0, 2).reshape(*samples.shape[1:3], -1)
    if page.photometric == _PALETTE:
        return _looked_up(samples[..., 0], np.asarray(page.colormap)), ""
    colour = samples[..., :colours]
    if page.photometric == _LAB:
        return _lab_to_rgb(colour, page), ""
    bits = page.bitspersample
    found = find_range(colour, bits, _told(page))
    pixels = to_8_bits(colour, found.black, found.white)
    if page.photometric == _WHITE_IS_ZERO:
        pixels = 255 - pixels
    elif page.photometric == _CMYK:
        pixels = _ink_to_rgb(pixels)
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    kind = page.extrasamples[0] if page.extrasamples else 0
    if samples.shape[2] > colours and kind in (_ASSOCIATED, _UNASSOCIATED):
        alpha = _alpha(samples[..., colours], bits, found)
        pixels = on_white(pixels, alpha, associated=kind == _ASSOCIATED)
    return pixels, found.note


def on_white(colour: np.ndarray, alpha: np.ndarray, associated: bool = False) -> np.ndarray:
    """Lay pixels on a white page.

    Args:
        colour: uint8 [H, W, 3].
        alpha: uint8 [H, W], 0 where a pixel is transparent.
        associated: the colours have been multiplied by alpha already.
    """
    mode = "RGBa" if associated else "RGBA"

    def laid(band: np.ndarray, band_alpha: np.ndarray) -> np.ndarray:
        height, width = band_alpha.shape
        pixels = np.dstack([band, band_alpha]).tobytes()
        image = Image.frombytes(mode, (width, height), pixels).convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))

    return in_bands(laid, colour, alpha)


def _colours(page: TiffPage) -> int:
    """Return how many samples of a pixel are its colour.

    Raises:
        ValueError: the page is of a kind that is no photo's.
    """
    colours = _COLOURS.get(page.photometric)
    if colours is None:
        name = getattr(page.photometric, "name", page.photometric)
        raise ValueError(f"its photometric interpretation {name} is not read")
    if page.sampleformat not in (_UNSIGNED, _SIGNED, _FLOAT) or not isinstance(
        page.bitspersample, int
    ):
        name = getattr(page.sampleformat, "name", page.sampleformat)
        raise ValueError(f"its samples ({page.bitspersample} bits, {name}) are not read")
    if page.dtype is None:
        raise ValueError(f"its samples of {page.bitspersample} bits are not read")
    if page.imagedepth != 1:
        raise ValueError(f"it is a volume of {page.imagedepth} slices")
    extra = page.samplesperpixel - colours
    if extra < 0 or extra > (1 if colours == 1 else _MOST_EXTRA_SAMPLES):
        raise ValueError(f"it has {page.samplesperpixel} samples a pixel and {colours} for colour")
    return colours


def _refuse_broken(page: TiffPage) -> None:
    """Raise `ValueError` where strips or tiles are missing, or none can be as they are told."""
    if max(page.tilewidth, page.tilelength) > _LARGEST_TILE:
        raise ValueError(f"its tiles are of {page.tilewidth}×{page.tilelength} pixels")
    size = page.parent.filehandle.size
    parts = list(zip(page.dataoffsets, page.databytecounts))
    whole = sum(1 for start, length in parts if start > 0 and 0 < length <= size - start)
    wanted = int(np.prod(page.chunked))
    if whole < wanted:
        raise ValueError(f"it is cut short: {wanted - whole} of {wanted} strips are missing")


def _told(page: TiffPage) -> tuple[float | None, float | None]:
    """Return the least and greatest value that the tags tell, None where they do not."""
    codes = (_MIN, _MAX) if page.sampleformat == _UNSIGNED else (_SMIN, _SMAX)
    numbers = []
    for code, choose in zip(codes, (min, max)):
        value = page.tags.valueof(code)
        values = value if isinstance(value, tuple) else (value,)  # one for each sample
        fit = all(isinstance(one, (int, float)) and math.isfinite(one) for one in values)
        numbers.append(float(choose(values)) if fit else None)
    return numbers[0], numbers[1]


def _alpha(samples: np.ndarray, bits: int, colour: SampleRange) -> np.ndarray:
    """Return alpha as uint8: of the colours' range, or of the whole one where it passes that."""
    opaque = colour.white
    if colour.black != 0 or samples.max(initial=0) > opaque:
        opaque = whole_range(bits, samples.dtype.kind).white
    return to_8_bits(samples, 0.0, opaque)


def _looked_up(numbers: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return the colours of a palette, uint16 [3, colours]; some writers leave 8 bits in it."""
    whole = 65535 if palette.max(initial=0) > 255 else 255
    return to_8_bits(palette, 0, whole).T[numbers.clip(0, palette.shape[1] - 1)]


def _ink_to_rgb(inks: np.ndarray) -> np.ndarray:
    """Return CMYK, uint8 [H, W, 4] of ink, as Pillow shows it."""

    def shown(band: np.ndarray) -> np.ndarray:
        size = band.shape[1], band.shape[0]
        return np.asarray(Image.frombytes("CMYK", size, band.tobytes()).convert("RGB"))

    return in_bands(shown, inks)


def _lab_to_rgb(lab: np.ndarray, page: TiffPage) -> np.ndarray:
    """Return CIE L*a*b* of 16 bits, where a and b are signed, as sRGB."""
    if page.bitspersample not in (8, 16) or page.sampleformat == _FLOAT:
        raise ValueError(f"its L*a*b* samples of {page.bitspersample} bits are not read")
    shift = page.bitspersample - 8

    def shown(band: np.ndarray) -> np.ndarray:
        narrow = np.stack(
            [
                to_8_bits(band[..., 0], 0, 2.0**page.bitspersample - 1),
                *((band[..., number] >> shift).astype(np.uint8) for number in (1, 2)),
            ],
            axis=-1,
        )
        height, width = band.shape[:2]
        return lab_to_rgb(Image.frombytes("LAB", (width, height), narrow.tobytes()))

    return in_bands(shown, lab)


def lab_to_rgb(image: Image.Image) -> np.ndarray:
    """Return an image of mode LAB as sRGB, uint8 [H, W, 3]."""
    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransformFromOpenProfiles(*profiles, "LAB", "RGB")
    return np.asarray(ImageCms.applyTransform(image, transform))
