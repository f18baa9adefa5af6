"""Photos in folders, lists and tar archives."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.photos.places import Archived, list_places, open_photo, photo_place
from src.photos.reading import read_image


def png(seed):
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue(), pixels


def archive(path, photos, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, data in photos.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def tars(tmp_path):
    folder = tmp_path / "tars"
    folder.mkdir()
    archive(folder / "images_000.tar", {"0/a/b.png": png(0)[0], "0/readme.txt": b"x"})
    archive(folder / "images_001.tar", {"1/a.png": png(1)[0], "1/.hidden.png": b"x"})
    (folder / "train.csv").write_text("id,url\n")
    return folder


def test_photos_of_archives_are_read_in_place(tars):
    found = list_places(tars)
    assert found == [("a", "images_001.tar/1/a.png"), ("b", "images_000.tar/0/a/b.png")]
    for (_, file), seed in zip(found, (1, 0)):
        place = photo_place(tars, file)
        assert isinstance(place, Archived)
        assert (read_image(place) == png(seed)[1]).all()
        assert open_photo(place).read() == png(seed)[0]
    one = tars / "images_001.tar"
    assert list_places(one) == found[:1]
    assert (read_image(photo_place(one, found[0][1])) == png(1)[1]).all()


def test_a_list_names_photos_and_archives(tars, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "c.png").write_bytes(png(2)[0])
    chosen = tmp_path / "list.txt"
    chosen.write_text("# some\nphotos/c.png\n\ntars/images_000.tar\n")
    assert list_places(chosen) == [("b", "tars/images_000.tar/0/a/b.png"), ("c", "photos/c.png")]
    assert (read_image(photo_place(chosen, "photos/c.png")) == png(2)[1]).all()


def test_two_of_one_name_are_refused(tars):
    archive(tars / "images_002.tar", {"2/a.jpg": b"x"})
    with pytest.raises(UserError, match=r"two photos of .* the name a: images_001.*images_002"):
        list_places(tars)


def test_an_archive_that_ends_half_way_is_named(tars):
    path = tars / "images_001.tar"
    data = archive(path, {"1/a.png": bytes(5000), "1/z.png": bytes(5000)}).read_bytes()
    for cut in (0, 100, 2000, 5600, 9000):
        path.write_bytes(data[:cut])
        with pytest.raises(UserError, match=r"images_001.tar .*not compressed"):
            list_places(tars)
    archive(path, {"1/a.png": b"x"}, "w:gz")
    with pytest.raises(UserError, match=r"images_001.tar .*not compressed"):
        list_places(tars)


def test_a_folder_of_photos_is_one_with_archives_beside_them(tars):
    (tars / "p.png").write_bytes(png(4)[0])
    assert list_places(tars) == [("p", "p.png")]
    assert photo_place(tars, "p.png") == tars / "p.png"


def test_nothing_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match="no photo in"):
        list_places(tmp_path / "empty.txt")
    with pytest.raises(UserError, match="does not exist"):
        list_places(tmp_path / "nowhere")
