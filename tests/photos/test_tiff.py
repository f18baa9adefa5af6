"""TIFFs of every kind of samples, against a picture of 8 bits.

The files are written tag by tag (`helpers.tiff`), so that what is read depends on the tags alone.
"""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from src.photos.reading import read_image
from src.photos.sample_range import find_range
from tests.helpers.pictures import HEIGHT, WIDTH, colour, error, grey, scaled
from tests.helpers.tiff import BLACK_IS_ZERO, CMYK, RGB, WHITE_IS_ZERO, write_tiff

# --- TIFF: bits and signs by the tags

#: What black and white are in a sample of this type, as the tags tell it.
WHOLE = {
    "u2": (0, 2**16 - 1),
    "u4": (0, 2**32 - 1),
    "u8": (0, 2**64 - 2048),  # the greatest double below
    "i1": (-128, 127),
    "i2": (-(2**15), 2**15 - 1),
    "i4": (-(2**31), 2**31 - 1),
    "f2": (0.0, 1.0),
    "f4": (0.0, 1.0),
    "f8": (0.0, 1.0),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", WHOLE)
def test_tiff_of_every_type_and_either_byte_order(tmp_path, caplog, kind, order):
    low, high = WHOLE[kind]
    for number, picture in enumerate((grey(), colour())):
        samples = scaled(picture, low, high, kind)
        photometric = RGB if picture.ndim == 3 else BLACK_IS_ZERO
        path = write_tiff(tmp_path / f"{number}.tif", samples, photometric, order=order)
        assert error(path, picture) == 0
    assert not caplog.text


@pytest.mark.parametrize("kind", ["u1", *(kind for kind in WHOLE if kind[0] != "i")])
def test_white_is_zero(tmp_path, kind):
    low, high = WHOLE.get(kind, (0, 255))
    for planar in (False, True):
        path = tmp_path / f"{planar}.tif"
        write_tiff(path, scaled(grey(), high, low, kind), WHITE_IS_ZERO, planar=planar)
        assert error(path, grey()) == 0


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_planes_one_after_the_other(tmp_path, kind):
    low, high = WHOLE.get(kind, (0, 255))
    samples = scaled(colour(), low, high, kind)
    path = write_tiff(tmp_path / "a.tif", samples, RGB, planar=True)
    assert error(path, colour()) == 0


@pytest.mark.parametrize("bits", [2, 4, 6, 10, 12, 14])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO, RGB])
def test_packed_bits(tmp_path, caplog, bits, photometric):
    picture = colour() if photometric == RGB else grey()
    high = 2**bits - 1
    samples = scaled(picture, 0, high, "u2")
    truth = np.rint(samples / high * 255)
    stored = high - samples if photometric == WHITE_IS_ZERO else samples
    path = write_tiff(tmp_path / "a.tif", stored, photometric, bits=bits, order=">")
    assert error(path, truth) == 0
    assert not caplog.text


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "lzma", "packbits"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_compressed_and_tiled(tmp_path, compression, tile):
    samples = scaled(colour(), 0, 65535, "u2")
    options = {"photometric": "rgb", "compression": compression, "tile": tile}
    if compression != "packbits":
        options["predictor"] = True
    tifffile.imwrite(tmp_path / "a.tif", samples, **options, bigtiff=tile is None)
    assert error(tmp_path / "a.tif", colour()) == 0


def test_the_first_page_of_several(tmp_path):
    pages = np.stack([scaled(picture, 0, 65535, "u2") for picture in (grey(), 255 - grey())])
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    assert error(tmp_path / "a.tif", grey()) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_tiff_is_turned_as_a_shallow_one(tmp_path, orientation):
    tags = {274: ("H", (orientation,))}
    shallow = write_tiff(tmp_path / "8.tif", grey(), BLACK_IS_ZERO, tags=tags)
    deep = write_tiff(tmp_path / "16.tif", scaled(grey(), 0, 65535, "u2"), BLACK_IS_ZERO, tags=tags)
    assert (read_image(shallow) == read_image(deep)).all()
    assert read_image(deep).shape[:2] == ((HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT))


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("associated", [False, True])
def test_alpha(tmp_path, kind, planar, associated):
    opaque = np.iinfo(kind).max
    alpha = np.zeros((HEIGHT, WIDTH), kind)
    alpha[:, :8], alpha[:, 8:16] = opaque, opaque // 2 + 1
    share = alpha[..., None] / opaque
    truth = np.rint(colour() * share + 255 * (1 - share))
    samples = scaled(colour(), 0, opaque, "f8") * (share if associated else 1)
    samples = np.dstack([np.rint(samples).astype(kind), alpha])
    tags = {338: ("H", (1 if associated else 2,))}
    path = write_tiff(tmp_path / "a.tif", samples, RGB, planar=planar, tags=tags)
    # of 8 bits a colour that was multiplied by a share is one of few
    assert error(path, truth) <= (2 if associated and kind == "u1" else 1)
    unknown = write_tiff(tmp_path / "b.tif", samples, RGB, tags={338: ("H", (0,))})
    assert error(unknown, np.rint(samples[..., :3] / opaque * 255)) == 0


def test_inks_and_palettes_of_16_bits(tmp_path):
    inks = np.dstack([255 - colour(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    path = write_tiff(tmp_path / "a.tif", scaled(inks, 0, 65535, "u2"), CMYK)
    assert error(path, colour()) == 0
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    for name, compression in (("b.tif", None), ("c.tif", "zstd")):  # Pillow's, and ours
        tifffile.imwrite(tmp_path / name, 255 - grey(), photometric="palette",
                         colormap=ramp[:, ::-1], compression=compression)  # fmt: skip
        assert error(tmp_path / name, grey()) == 0


def test_lab_of_16_bits_looks_as_of_8(tmp_path):
    lab = np.dstack([grey(), np.full_like(grey(), 20), np.full_like(grey(), 236)])  # b: −20
    wide = lab.astype(np.uint16) << 8
    wide[..., 0] = lab[..., 0].astype(np.uint16) * 257
    for name, samples in (("8.tif", lab), ("16.tif", wide)):
        tifffile.imwrite(tmp_path / name, samples, photometric="cielab")
    assert error(tmp_path / "16.tif", read_image(tmp_path / "8.tif")) == 0


# --- where no tag tells what white is


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("u2", 0, 1023), ("u2", 0, 4095), ("u2", 0, 16383), ("u2", 0, 255),
        ("u4", 0, 65535), ("u4", 0, 4095), ("u4", 0, 100_000), ("u8", 0, 65535),
        ("i2", 0, 4095), ("i2", -128, 127), ("i2", -1000, 3000), ("i4", 0, 65535),
        ("i4", -32768, 32767), ("f4", 0, 1.1), ("f4", 0, 255), ("f4", 0, 4095), ("f4", 0, 65535),
        ("f4", -1, 1), ("f4", -0.5, 0.5), ("f4", 0, 100), ("f4", 0, 1e6), ("f8", 1e-6, 1e-5),
        ("f8", -1000, 3000), ("f4", 0.002, 0.004),
    ],
)  # fmt: skip
@pytest.mark.parametrize("picture", [grey(), colour()], ids=["grey", "colour"])
def test_the_values_decide_and_that_is_said_in_one_line(tmp_path, caplog, kind, low, high, picture):
    photometric = RGB if picture.ndim == 3 else BLACK_IS_ZERO
    path = write_tiff(tmp_path / "a.tif", scaled(picture, low, high, kind), photometric)
    for _ in range(2):  # a photo is read once more to be shown
        assert error(path, picture) == 0
    (record,) = caplog.records
    assert "a.tif: no tag tells black and white" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_dark_photo_stays_dark_where_the_tags_tell(tmp_path, caplog):
    dark = grey() // 8  # 0 to 31
    shallow = write_tiff(tmp_path / "8.tif", dark, BLACK_IS_ZERO)
    samples = scaled(dark, 0, 4095, "u2")
    packed = write_tiff(tmp_path / "12.tif", samples, BLACK_IS_ZERO, bits=12)
    told = write_tiff(tmp_path / "told.tif", samples, BLACK_IS_ZERO, tags={281: ("H", (4095,))})
    unit = write_tiff(tmp_path / "unit.tif", scaled(dark, 0, 1, "f4"), BLACK_IS_ZERO)
    for path in (shallow, packed, told, unit):
        assert error(path, dark) == 0
    assert not caplog.text


def test_least_and_greatest_value_of_floating_point_numbers_in_the_tags(tmp_path, caplog):
    samples = scaled(grey(), 2, 7, "f4")
    tags = {340: ("f", (2.0,)), 341: ("f", (7.0,))}
    assert error(write_tiff(tmp_path / "a.tif", samples, BLACK_IS_ZERO, tags=tags), grey()) == 0
    assert not caplog.text
    # tags that the values belie do not count
    wrong = write_tiff(tmp_path / "b.tif", scaled(grey(), 0, 65535, "f4"), BLACK_IS_ZERO, tags=tags)
    assert error(wrong, grey()) == 0
    assert "no tag tells" in caplog.text


def test_what_is_no_number_or_of_one_value_does_no_harm(tmp_path):
    samples = scaled(grey(), 0, 1, "f4")
    samples[0, :3] = np.nan, np.inf, -np.inf
    truth = grey()
    truth[0, :3] = 0, 255, 0
    assert error(write_tiff(tmp_path / "a.tif", samples, BLACK_IS_ZERO), truth) == 0
    for kind, value, wanted in (("f4", 0.5, 128), ("f4", np.nan, 0), ("f4", 7.0, 0),
                                ("u2", 0, 0), ("u2", 65535, 255), ("u4", 0, 0)):  # fmt: skip
        samples = np.full((4, 5), value, kind)
        path = write_tiff(tmp_path / "b.tif", samples, BLACK_IS_ZERO)
        assert error(path, np.full((4, 5), wanted)) == 0


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_range_does_not_depend_on_how_much_of_it_a_photo_uses(bits):
    """Three in four of the brightest pixels is as much as some photos have."""
    found = find_range(np.array([5, int(0.75 * 2**bits)], np.uint16), 16)
    assert (found.black, found.white) == (0, 2**bits - 1)
    assert bool(found.note) is (bits < 16)
