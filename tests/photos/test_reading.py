import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from model_utils.environment import PROJECT_ROOT
from src.photos.reading import UnreadableImageError, read_image, read_reduced


def _photo(height=48, width=64):
    """A smooth coloured picture without symmetry; JPEG keeps it nearly as it is."""
    y, x = np.mgrid[:height, :width] / 64.0
    planes = 40 + 170 * x, 30 + 200 * y * x, 220 - 150 * y
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)


def _save(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def _from_array(array, mode):
    """An image of a mode that cannot be told from the shape of the array."""
    height, width = array.shape[:2]
    return Image.frombytes(mode, (width, height), np.ascontiguousarray(array).tobytes())


# --- modes


def test_jpeg_agrees_with_opencv(tmp_path):
    path = _save(tmp_path / "a.jpg", _photo(), quality=90)
    image = read_image(path)
    assert image.dtype == np.uint8
    expected = cv2.imread(str(path))[..., ::-1]
    assert np.abs(image.astype(int) - expected).max() <= 2


def test_colours_stand_in_the_order_rgb(tmp_path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    assert read_image(_save(tmp_path / "a.png", red))[0, 0].tolist() == [255, 0, 0]


def test_grey(tmp_path):
    grey = _photo()[..., 0]
    image = read_image(_save(tmp_path / "a.png", grey))
    assert (image == grey[..., None]).all()
    assert image.shape == (*grey.shape, 3)


def test_black_and_white(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[0] * 3, [255] * 3]]


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bit_grey_keeps_its_whole_range(tmp_path, extension):
    grey = np.array([[0, 257, 32896, 65535]], np.uint16)
    path = tmp_path / f"a.{extension}"
    assert cv2.imwrite(str(path), grey)
    assert read_image(path)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_16_bit_colour(tmp_path):
    image = _photo()
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1].astype(np.uint16) * 257)
    assert (read_image(tmp_path / "a.png") == image).all()


def test_floating_point_tiff_from_0_to_1(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1.0]], np.float32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_show_white(tmp_path, mode):
    colour = np.full((1, 3, 3), 100, np.uint8)
    alpha = np.array([[0, 51, 255]], np.uint8)
    image = _from_array(np.dstack((colour, alpha)), "RGBA").convert(mode)
    image.save(tmp_path / "a.png")
    # By hand: 100 · a + 255 · (1 − a) with a = 0, 0.2 and 1.
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [255, 224, 100]


def test_palette_with_and_without_a_transparent_entry(tmp_path):
    image = _from_array(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png", transparency=1)
    assert read_image(tmp_path / "a.png")[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert read_image(tmp_path / "b.png")[0].tolist() == [[255, 0, 0], [255] * 3, [0, 0, 255]]


def test_rgb_with_a_transparent_colour(tmp_path):
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    image.save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert read_image(tmp_path / "a.png")[0].tolist() == [[255, 255, 255], [4, 5, 6]]


def test_cmyk_as_photoshop_and_as_others_write_it(tmp_path):
    # C, M, Y, K are inks: 0 is paper.  R = 255 · (1 − C)(1 − K), and so on.
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, :16, 0] = 255  # cyan
    inks[:, 16:32, 2] = 128  # half yellow
    inks[:, 32:, 3] = 204  # dark grey
    expected = [[0, 255, 255], [255, 255, 127], [51, 51, 51]]
    _from_array(inks, "CMYK").save(tmp_path / "a.tif")
    _from_array(inks, "CMYK").save(tmp_path / "b.jpg", quality=100)
    assert b"Adobe" in (tmp_path / "b.jpg").read_bytes()  # inverted inks, as Photoshop
    for name in ("a.tif", "b.jpg"):
        found = read_image(tmp_path / name)[8, 8::16].astype(int)
        assert np.abs(found - expected).max() <= 3, name


@pytest.mark.parametrize("transform", [0, 2])
def test_four_channel_jpegs_agree_with_opencv(tmp_path, transform):
    """Transform 0 marks CMYK, 2 marks YCCK; both hold inverted inks in Adobe's files."""
    rgb = np.array([200, 80, 40])
    y, cb, cr = Image.new("RGB", (1, 1), tuple(255 - rgb)).convert("YCbCr").getpixel((0, 0))
    stored = (*rgb, 255) if transform == 0 else (y, cb, cr, 255)
    planes = np.empty((16, 16, 4), np.uint8)
    planes[:] = 255 - np.array(stored)  # saving inverts
    buffer = io.BytesIO()
    _from_array(planes, "CMYK").save(buffer, "jpeg", quality=100)
    data = bytearray(buffer.getvalue())
    data[data.index(b"Adobe") + 11] = transform
    (tmp_path / "a.jpg").write_bytes(data)
    found = read_image(tmp_path / "a.jpg").astype(int)
    assert np.abs(found[8, 8] - rgb).max() <= 4
    assert np.abs(found - cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]).max() <= 4


def test_lab_tiff(tmp_path):
    lab = np.zeros((1, 2, 3), np.uint8)
    lab[0, 1, 0] = 255  # L 0 and 100, a = b = 0: black and white
    _from_array(lab, "LAB").save(tmp_path / "a.tif")
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - [[[0] * 3, [255] * 3]]).max() <= 2


def test_first_frame_of_several(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(tmp_path / "b.tif", save_all=True, append_images=frames[1:])
    for name in ("a.webp", "b.tif"):
        assert read_image(tmp_path / name)[0, 0].tolist() == [255, 0, 0]


# --- orientation


def _upright_to_stored(image, orientation):
    """How a camera stores an upright image under each EXIF orientation."""
    turned = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: np.rot90(image),  # to be turned clockwise for display, so stored anticlockwise
        7: image[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(image, -1),
    }
    return np.ascontiguousarray(turned[orientation])


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path, orientation, extension):
    image = _photo()
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{extension}"
    options = {"quality": 95} if extension in ("jpg", "webp") else {}
    _save(path, _upright_to_stored(image, orientation), exif=exif, **options)
    found = read_image(path)
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).mean() < 3
    if extension == "jpg":  # OpenCV applies the tag by itself
        assert np.abs(found.astype(int) - cv2.imread(str(path))[..., ::-1]).max() <= 2


def test_broken_exif_does_not_cost_the_photo(tmp_path):
    path = tmp_path / "a.jpg"
    for block in (b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03"):
        Image.fromarray(_photo()).save(path, exif=block)
        assert read_image(path).shape == (48, 64, 3)


# --- what cannot be read


def _png_without_pixels(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", b""), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<html>404 not found</html>", "not an image"),
        (_png_without_pixels(40000, 40000), "megapixels"),
        (_png_without_pixels(14000, 13000), "megapixels"),
        (_png_without_pixels(10, 10), "cannot be read"),
    ],
    ids=["empty", "text", "1600 megapixels", "182 megapixels", "no pixels"],
)
def test_unreadable_files_are_named_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=rf"a\.jpg.*{reason}"):
        read_image(path)


def test_nobody_hears_of_bombs(tmp_path):
    """Photos of 91 to 178 megapixels are read, larger ones refused in our words alone."""
    for number, size in enumerate([(10_000, 10_000), (14_000, 13_000), (19_000, 19_000)]):
        (tmp_path / f"{number}.png").write_bytes(_png_without_pixels(*size))
    Image.fromarray(_photo()).save(jpeg := io.BytesIO(), "JPEG")
    large = jpeg.getvalue().replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 10_000, 10_000))
    (tmp_path / "3.jpg").write_bytes(large)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from src.photos.jpeg_check import is_plain_jpeg\n"
        "from src.photos.reading import read_image\n"
        "for path in sys.argv[1:]:\n"
        "    for read in (read_image, lambda path: is_plain_jpeg(Path(path).read_bytes())):\n"
        "        try:\n"
        "            read(path)\n"
        "        except Exception as error:\n"
        "            print(error)\n"
    )
    paths = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program, *paths],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    assert done.stdout.count("megapixels") == 4


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif", "bmp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_files_that_were_cut_short_are_unreadable(tmp_path, extension, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = _save(tmp_path / f"a.{extension}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnreadableImageError, match=rf"a\.{extension}"):
        read_image(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UnreadableImageError, match="No such file"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImageError, match="directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize(("size", "side"), [((900, 700), 160), ((70, 50), 160), ((1600, 30), 100)])
def test_a_small_copy_looks_as_the_photo_and_says_its_scale(tmp_path, suffix, size, side):
    ramp = np.linspace(0, 255, size[0])[None, :, None].repeat(size[1], axis=0).repeat(3, axis=2)
    path = tmp_path / f"ramp{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6  # displayed turned by a quarter
    Image.fromarray(ramp.astype(np.uint8)).save(path, exif=exif)
    small, scale = read_reduced(path, side)
    whole = read_image(path)
    assert max(small.shape[:2]) == min(side, max(size))
    assert scale == pytest.approx(small.shape[0] / whole.shape[0], rel=0.01)
    rows = (np.arange(small.shape[0]) / scale).astype(int).clip(0, whole.shape[0] - 1)
    assert np.abs(small[:, 0, 0].astype(int) - whole[rows, 0, 0]).max() <= 6
