"""PNG, JPEG 2000, JPEG of more than 8 bits a sample, HEIC and others, and what is refused."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from src.photos.jpeg_check import BrokenPhotoError, is_plain_jpeg
from src.photos.reading import UnreadableImageError, read_image, read_reduced
from tests.helpers.pictures import HEIGHT, WIDTH, colour, error, grey, scaled
from tests.helpers.tiff import BLACK_IS_ZERO, RGB, write_tiff

CASES = Path(__file__).parents[3] / "shared" / "data" / "cases"

# --- PNG, JPEG 2000, JPEG, portable maps


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("picture", [grey(), colour()], ids=["grey", "colour"])
def test_other_formats_of_more_than_8_bits(tmp_path, bits, picture):
    high = 2**bits - 1
    samples = scaled(picture, 0, high, "u2")
    truth = np.rint(samples / high * 255)
    files = {
        "a.png": imagecodecs.png_encode(samples),
        "a.jp2": imagecodecs.jpeg2k_encode(samples, level=0, bitspersample=bits),
        "b.jp2": imagecodecs.jpeg2k_encode(samples, level=0, bitspersample=16),
        "a.j2k": imagecodecs.jpeg2k_encode(samples, level=0, codecformat="j2k", bitspersample=bits),
        "a.ppm": b"P%d %d %d %d\n" % (5 if picture.ndim == 2 else 6, WIDTH, HEIGHT, high)
        + samples.astype(">u2").tobytes(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert error(tmp_path / name, truth) == 0, name


def test_a_jpeg_of_12_bits(tmp_path):
    smooth = cv2.GaussianBlur(colour(), (9, 9), 3)
    content = imagecodecs.jpeg_encode(scaled(smooth, 0, 4095, "u2"), level=97, bitspersample=12)
    (tmp_path / "a.jpg").write_bytes(content)
    assert error(tmp_path / "a.jpg", smooth) <= 6
    assert not is_plain_jpeg(content)
    for length in (len(content) // 3, len(content) - 2):
        (tmp_path / "b.jpg").write_bytes(content[:length])
        with pytest.raises(UnreadableImageError, match=r"b\.jpg cannot be read"):
            read_image(tmp_path / "b.jpg")


def test_16_bit_png_with_alpha_and_orientation(tmp_path):
    alpha = np.zeros((HEIGHT, WIDTH), np.uint16)
    alpha[:, :8] = 65535
    truth = np.where(alpha[..., None] > 0, colour(), 255)
    samples = np.dstack([scaled(colour(), 0, 65535, "u2"), alpha])
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(samples))
    assert error(tmp_path / "a.png", truth) == 0
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()[6:]
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[:33] + chunk + content[33:])
    assert error(tmp_path / "b.png", np.rot90(truth, -1)) == 0


@pytest.mark.parametrize("suffix", [".heic", ".avif", ".gif", ".jp2", ".jfif", ".bmp", ".ppm"])
def test_formats_of_phones_and_browsers(tmp_path, suffix):
    smooth = cv2.GaussianBlur(colour(), (9, 9), 3)
    path = tmp_path / f"a{suffix}"
    read_image(write_tiff(tmp_path / "first.tif", grey(), BLACK_IS_ZERO))  # formats are known
    options = {".jfif": {"format": "JPEG", "quality": 95}, ".gif": {}}.get(suffix, {"quality": 95})
    Image.fromarray(smooth).save(path, **options if suffix not in (".bmp", ".ppm") else {})
    assert np.abs(read_image(path).astype(int) - smooth).mean() < 6


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_and_avif_are_turned(tmp_path, suffix, orientation):
    y, x = np.mgrid[:64, :96]
    picture = np.stack([2 * x, 3 * y, 200 - x], axis=-1).clip(0, 255).astype(np.uint8)
    turned = {1: picture, 3: picture[::-1, ::-1], 6: np.rot90(picture), 8: np.rot90(picture, -1)}
    exif = Image.Exif()
    exif[0x0112] = orientation
    read_image(write_tiff(tmp_path / "first.tif", grey(), BLACK_IS_ZERO))
    stored = Image.fromarray(np.ascontiguousarray(turned[orientation]))
    stored.save(tmp_path / f"a{suffix}", quality=95, exif=exif.tobytes())
    found = read_image(tmp_path / f"a{suffix}")
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - picture).mean() < 5


def test_a_png_with_megabytes_of_text(tmp_path):
    """A scanner's or an editor's notes; those that say how to display it are heeded."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * 30_000_000, zip=True)
    text.add_itxt("notes", "b" * 20_000_000, zip=True)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(colour()).save(tmp_path / "a.png", pnginfo=text, exif=exif)
    assert error(tmp_path / "a.png", colour()[::-1, ::-1]) == 0
    with pytest.raises(ValueError, match="too large"):  # why it takes an effort
        Image.open(tmp_path / "a.png").load()
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:-2000])
    with pytest.raises(UnreadableImageError, match=r"b\.png"):
        read_image(tmp_path / "b.png")


def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def packed(size):
    return zlib.compress(b"x" * (size << 20))


TEXTS = {
    "3 MB of text": chunk(b"tEXt", b"Comment\0" + b"x" * (3 << 20)),
    "a packed one": chunk(b"zTXt", b"Comment\0\0" + packed(3)),
    "a packed one in UTF-8": chunk(b"iTXt", b"Comment\0\1\0\0\0" + packed(3)),
    "a colour profile": chunk(b"iCCP", b"icc\0\0" + packed(3)),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * (3 << 20)),
    "XMP, packed": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed(3)),
    "EXIF as ImageMagick writes it": chunk(b"zTXt", b"Raw profile type exif\0\0" + packed(3)),
    "80 MB in parts": chunk(b"tEXt", b"Comment\0" + b"x" * (1 << 20)) * 80,
    "a bomb": chunk(b"zTXt", b"Comment\0\0" + packed(300)),
    "a bomb of XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed(300)),
    "a bomb of a profile": chunk(b"iCCP", b"icc\0\0" + packed(300)),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("behind", [False, True])
def test_a_png_with_any_text_is_read_in_bounded_memory(tmp_path, text, behind):
    path = tmp_path / "a.png"
    Image.fromarray(colour()).save(path)
    content = path.read_bytes()
    place = len(content) - 12 if behind else 33  # before IEND, behind IHDR
    path.write_bytes(content[:place] + TEXTS[text] + content[place:])
    tracemalloc.start()
    try:
        assert error(path, colour()) == 0
        assert tracemalloc.get_traced_memory()[1] < 260 << 20  # the file twice at most, and 64 MB
    finally:
        tracemalloc.stop()


def test_a_small_copy_of_a_deep_photo(tmp_path):
    path = write_tiff(tmp_path / "a.tif", scaled(colour(), 0, 4095, "u2"), RGB, order=">")
    small, scale = read_reduced(path, 16)
    assert (small.shape, scale) == ((12, 16, 3), 0.5)
    whole, scale = read_reduced(path, 100)
    assert (whole == colour()).all() and scale == 1


# --- what is refused by name


def test_samples_that_are_no_photos_are_refused_with_the_reason(tmp_path):
    plain = scaled(grey(), 0, 65535, "u2")
    five = np.repeat(plain[..., None], 5, axis=2)
    tifffile.imwrite(tmp_path / "complex.tif", grey().astype(np.complex64))
    tifffile.imwrite(tmp_path / "cfa.tif", plain, photometric="cfa")
    tifffile.imwrite(tmp_path / "five.tif", five, photometric="minisblack", planarconfig="contig")
    tifffile.imwrite(tmp_path / "volume.tif", np.zeros((16, 32, 32), np.uint16), volumetric=True,
                     tile=(16, 32, 32))  # fmt: skip
    for name, reason in (("complex", "COMPLEX"), ("cfa", "CFA"), ("five", "5 samples"),
                         ("volume", "16 slices")):  # fmt: skip
        with pytest.raises(UnreadableImageError, match=rf"{name}\.tif cannot be read: .*{reason}"):
            read_image(tmp_path / f"{name}.tif")


@pytest.mark.parametrize("share", [0.03, 0.5, 0.95])
def test_deep_photos_that_were_cut_short_are_unreadable(tmp_path, share):
    samples = scaled(colour(), 0, 65535, "u2")
    files = {
        "planar.tif": write_tiff(tmp_path / "x.tif", samples, RGB, planar=True).read_bytes(),
        "a.png": imagecodecs.png_encode(samples),
        "a.jp2": imagecodecs.jpeg2k_encode(samples, level=0),
    }
    for name, options in (("tile.tif", {"tile": (16, 16)}), ("lzw.tif", {"rowsperstrip": 8})):
        compression = name[:-4] if name == "lzw.tif" else "zlib"
        path = tmp_path / "y.tif"
        tifffile.imwrite(path, samples, photometric="rgb", compression=compression, **options)
        files[name] = path.read_bytes()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content[: int(share * len(content))])
        with pytest.raises(UnreadableImageError, match=name):
            read_image(tmp_path / name)
        with pytest.raises(BrokenPhotoError):
            is_plain_jpeg((tmp_path / name).read_bytes())


def test_a_huge_deep_photo_is_refused_before_it_is_read(tmp_path):
    path = write_tiff(tmp_path / "a.tif", scaled(grey(), 0, 65535, "u2"), BLACK_IS_ZERO,
                      tags={256: ("I", (60_000,)), 257: ("I", (60_000,))})  # fmt: skip
    with pytest.raises(UnreadableImageError, match="megapixels"):
        read_image(path)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_cases_of_public_bug_reports():
    truth = read_image(CASES / "grey_truth.png")
    tiffs = sorted(CASES.glob("*.tif"))
    assert tiffs
    for path in tiffs:
        assert np.abs(read_image(path).astype(int) - truth).max() <= 1, path.name
    found = read_image(CASES / "text_over_1_MB.png")
    assert (found == read_image(CASES / "plain.png")).all()
