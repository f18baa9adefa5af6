import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.photos.finding import list_images, list_photos, walk


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


def test_a_folder_that_cannot_be_read_ends_a_walk(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.jpg").touch()
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "sub":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(UserError, match=r"cannot read the folder .*/sub \(Input/output error\)"):
        list_images(tmp_path)
    with pytest.raises(UserError, match=r"cannot read the folder .*/sub"):
        list_photos(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become somebody else")
@pytest.mark.parametrize("asked", ["", "closed", "closed/inner"])
def test_a_folder_of_somebody_else_is_named(asked):
    program = f"""
import os, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from src.common.errors import run_command
from src.photos.finding import list_images
with TemporaryDirectory() as folder:
    Path(folder, "closed", "inner").mkdir(parents=True)
    Path(folder, "a.jpg").touch()
    os.chmod(folder, 0o755)
    Path(folder, "closed").chmod(0o700)
    os.seteuid(65534)
    try:
        run_command(lambda: list_images(Path(folder, {asked!r})))
    finally:
        os.seteuid(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert re.fullmatch(
        rf"error: cannot read the folder .*/{asked or 'closed'} \(Permission denied\); .*\n",
        done.stderr,
    )
