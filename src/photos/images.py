"""Finding the photos of a folder and reading them as RGB, whatever their format."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from src.common.atomic_files import PathLike
from src.common.errors import UserError, one_line

LOG = logging.getLogger(__name__)

EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))
# Pillow's own line between a large photo and a decompression bomb (2 × 256 MB of 24-bit pixels).
MAX_PIXELS = 178_956_970
BACKGROUND = (255, 255, 255, 255)  # what shows through transparent pixels: a white page
# Of 255 bytes a file name may have, what is left beside the ending of a temporary feature file.
_LONGEST_NAME = 230

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


def list_images(folder: PathLike) -> list[tuple[str, str]]:
    """Find the image files of a folder and its sub-folders.

    Hidden files and folders are passed over; extensions count in either case.

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
        if _is_one_line_of_text(path) and len(Path(path).name.encode()) <= _LONGEST_NAME:
            found.append(path)
        else:
            LOG.warning("skipped: the name of %r is too long or no text; rename it", path)
    if not found:
        raise _no_image(folder)
    return [(path, path) for path in sorted(found)]


def _image_files(folder: Path) -> Iterator[str]:
    """Yield the image files below a folder, relative to it, each folder once."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"image folder {folder} {what}; give a folder of photos")
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back to where it lies
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in EXTENSIONS:
                yield Path(parent, file).relative_to(folder).as_posix()


def _no_image(folder: PathLike) -> UserError:
    return UserError(f"no image in {folder} ({', '.join(sorted(EXTENSIONS))})")


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


def _is_one_line_of_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # bytes of some other encoding
        return False
    return len(name.splitlines()) == 1


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
