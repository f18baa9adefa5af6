"""Photos are brought to RGB a band at a time: the same pixels, and held once."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from model_utils.environment import PROJECT_ROOT
from src.photos import bands
from src.photos.reading import read_enough, read_image
from tests.helpers.infer import textured

ORIENTATION = 0x0112


def picture(mode, height=61, width=53):
    image = Image.fromarray(textured(height, width, seed=3))
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(textured(height, width, seed=4)).convert("L"))
    return image.convert(mode)


def on_white(image):
    """A picture as it is shown, by Pillow's own means, as a whole."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("at_once", [1, 53 * 7, 10**6])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P", "1", "CMYK"])
def test_bands_are_the_whole(tmp_path, monkeypatch, mode, at_once):
    monkeypatch.setattr(bands, "_AT_ONCE", at_once)
    image = picture(mode)
    path = tmp_path / f"photo.{'tif' if mode == 'CMYK' else 'png'}"
    image.save(path)
    assert (read_image(path) == on_white(image)).all()
    found = read_enough(path, 20)  # a third is wanted: a half is enough
    assert found.size == (61, 53)
    wanted = np.asarray(Image.fromarray(on_white(image)).reduce(2))
    assert found.pixels.shape == (31, 27, 3) and (found.pixels == wanted).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_as_pillow_turns_it(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = picture("RGB")
    image.save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as saved:
        wanted = np.asarray(ImageOps.exif_transpose(saved))
    pixels = read_image(tmp_path / "photo.png")
    assert (pixels == wanted).all() and pixels.flags.c_contiguous


_PEAK = """
import sys
from src.photos.reading import read_enough

def peak():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) * 1024

read_enough(sys.argv[1], 4)  # what is imported at the first photo
before = peak()
read_enough(sys.argv[2], int(sys.argv[3]) or None)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
@pytest.mark.parametrize(
    ("mode", "orientation", "side", "most"),
    # Pillow holds 4 bytes a pixel (1 of grey); what is read 3, or a quarter of it.
    [("RGB", 1, 2500, 6.5), ("RGBA", 6, 2500, 6.5), ("L", 1, 2500, 3.5), ("RGBA", 1, 0, 9)],
)
def test_a_large_photo_is_held_once(tmp_path, mode, orientation, side, most):
    """In bytes of each pixel. Converted as a whole it took 10 to 25."""
    side_of_all = 5000
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.new(mode, (9, 9)).save(tmp_path / "small.png", exif=exif)
    large = Image.new(mode, (side_of_all, side_of_all))
    large.save(tmp_path / "large.png", exif=exif, compress_level=1)
    command = [sys.executable, "-c", _PEAK, str(tmp_path / "small.png")]
    command += [str(tmp_path / "large.png"), str(side)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) / side_of_all**2 < most
