from pathlib import Path

import pytest

from src.common.errors import UserError
from src.photos.finding import list_images, walk


def test_listing_sorts_by_name_and_ignores_what_is_no_image(tmp_path):
    for file in ("b.JPG", "sub/a.png", "c.tiff", ".hidden.jpg", ".cache/d.jpg", "notes.txt", "e"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert list_images(tmp_path) == [("a", "sub/a.png"), ("b", "b.JPG"), ("c", "c.tiff")]


def test_names_keep_inner_dots_and_spaces(tmp_path):
    for file in ("x.1.jpg", "x.2.jpg", "Foto 5.00\u202fPM.jpg", "München.png"):
        (tmp_path / file).touch()
    names = [name for name, _ in list_images(tmp_path)]
    assert names == ["Foto 5.00\u202fPM", "München", "x.1", "x.2"]


def test_two_images_of_one_name_are_refused(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.jpg").touch()
    (tmp_path / "sub" / "a.png").touch()
    with pytest.raises(UserError, match=r"a\.jpg.*sub/a\.png"):
        list_images(tmp_path)


def test_empty_missing_and_wrong_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="no image"):
        list_images(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        list_images(tmp_path / "nowhere")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match="is a file"):
        list_images(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", [b"a\nb.jpg", b"a\xff.jpg"])
def test_names_that_cannot_stand_in_a_list_are_refused(tmp_path, name):
    with open(bytes(tmp_path) + b"/" + name, "wb"):
        pass
    with pytest.raises(UserError, match="rename"):
        list_images(tmp_path)


def test_each_folder_is_walked_once_whatever_links_lead_to_it(tmp_path):
    for folder in ("b", "a", "a/.hidden", "elsewhere"):
        (tmp_path / "top" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / folder / "photo.jpg").touch()
    (tmp_path / "top" / "a" / "round").symlink_to(tmp_path / "top")
    (tmp_path / "top" / "elsewhere").rename(tmp_path / "elsewhere")
    (tmp_path / "top" / "z").symlink_to(tmp_path / "elsewhere")
    found = []
    for folder, children, names in walk([tmp_path / "top", tmp_path / "top" / "b"]):
        children[:] = [name for name in children if name != ".hidden"]
        found += [str(Path(folder, name).relative_to(tmp_path)) for name in names]
    assert found == ["top/a/photo.jpg", "top/b/photo.jpg", "top/z/photo.jpg"]
