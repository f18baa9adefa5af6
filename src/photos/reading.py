"""Reading photos as RGB, as they are displayed, whatever their format."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image, ImageCms

from src.common.atomic_files import PathLike
from src.common.errors import UserError, one_line

# Pillow's own line between a large photo and a decompression bomb (2 × 256 MB of 24-bit pixels).
MAX_PIXELS = 178_956_970
BACKGROUND = (255, 255, 255, 255)  # what shows through transparent pixels: a white page
_EXIF_ORIENTATION = 0x0112
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


def read_image(path: PathLike, least_side: int | None = None) -> np.ndarray:
    """Read an image file as it is displayed, the first frame of it where there are several.

    The EXIF orientation is applied, transparent pixels are laid on white, 16-bit and
    floating-point images are brought to 8 bits.

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
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{image.width}×{image.height} pixels")
            if least_side is not None:
                image.draft(None, _at_least(image.size, least_side))
            image.load()
            orientation = _orientation(image)
            pixels = _to_rgb(image)
            if orientation in _TRANSPOSE:
                pixels = pixels.transpose(_TRANSPOSE[orientation])
            return np.array(pixels)
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(
            f"image {path} is larger than {MAX_PIXELS / 1e6:.0f} megapixels "
            f"({one_line(error)}); scale it down"
        ) from error
    except Image.UnidentifiedImageError as error:
        what = "is empty" if _is_empty(path) else "is not an image of a known format"
        raise UnreadableImageError(f"image {path} {what}") from error
    except MemoryError:
        raise
    except Exception as error:  # broken files make the decoders raise anything at all
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        raise UnreadableImageError(
            f"image {path} cannot be read: {reason or one_line(error)}"
        ) from error


def read_reduced(path: PathLike, side: int) -> tuple[np.ndarray, float]:
    """Read an image file to show it small.

    Returns:
        uint8 [H, W, 3], RGB, its longer side at most `side` pixels; and its size relative to the
        photo's, by which a location in the photo becomes one in the small image.

    Raises:
        UnreadableImageError: as `read_image`.
    """
    image = read_image(path, side)
    with Image.open(path) as file:
        longest = max(file.size)
    scale = min(1.0, side / longest)
    if max(image.shape[:2]) > side:
        height, width = (
            max(1, round(length * side / max(image.shape[:2]))) for length in image.shape[:2]
        )
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
    return image, scale


def _at_least(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return a size of the same shape whose longer side is `side`."""
    return max(1, size[0] * side // max(size)), max(1, size[1] * side // max(size))


def _is_empty(path: PathLike) -> bool:
    return os.path.getsize(path) == 0


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation (1 to 8), or 1 where there is none or the block is broken."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a broken EXIF block does not make the pixels unreadable
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to mode RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        # 16-bit grey; older versions of Pillow give it as 32-bit integers.
        values = np.asarray(image).astype(np.float64)
        return _grey_to_rgb(values / 257.0)
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image), nan=0.0)
        return _grey_to_rgb(values * 255.0 if values.max(initial=0.0) <= 1.0 else values)
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransformFromOpenProfiles(*profiles, "LAB", "RGB")
        return ImageCms.applyTransform(image, transform)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert(
            "RGB"
        )
    return image.convert("RGB")


def _grey_to_rgb(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8)).convert("RGB")
