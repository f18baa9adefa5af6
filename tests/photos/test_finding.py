import errno
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_utils.environment import PROJECT_ROOT
from src.common.errors import UserError
from src.photos.finding import (
    EXTENSIONS,
    SKIPPED_FOLDERS,
    LeftOut,
    is_photo,
    list_images,
    list_photos,
    walk,
)
from src.photos.names import PhotoNames, without_suffix
from src.shards.tables import find_photo_files, read_clean_table


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


# --- one list of suffixes and of folders for all programs

NO_PHOTOS = {  # what a NAS, Windows, macOS and others leave beside photos
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/b.jpg", "$RECYCLE.BIN/S-1-5/$R2.jpg"),
    *("lost+found/c.jpg", ".thumbnails/d.jpg", "System Volume Information/e.jpg"),
    *(".Trash-1000/files/f.jpg", ".@__thumb/g.jpg", "__MACOSX/h.jpg", "__MACOSX/._i.jpg"),
    *("@Recycle/j.jpg", "RECYCLER/k.jpg", "LOST.DIR/l.jpg", "FOUND.000/m.jpg", "._n.jpg"),
    *("holiday/@eaDir/o.jpg/SYNOPHOTO_THUMB_M.jpg", "holiday/#Recycle/p.jpg"),
}


def fill(folder, files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def test_what_a_nas_leaves_is_no_photo(tmp_path):
    kept = ("holiday/one.jpg", "thumbnails of paintings/two.jpg", "found/three.jpg")
    fill(tmp_path, [*NO_PHOTOS, *kept])
    assert [file for _, file in list_photos(tmp_path)] == sorted(kept)
    assert {file for _, file in list_images(tmp_path)} == set(kept)


def test_a_folder_that_is_named_is_looked_into(tmp_path):
    fill(tmp_path, ["#recycle/one.jpg", "#recycle/@eaDir/two.jpg"])
    assert list_images(tmp_path / "#recycle") == [("one", "one.jpg")]


def test_training_takes_the_same_files_as_the_others(tmp_path):
    """All suffixes, and no folder that the others pass over, named by a pattern or not."""
    suffixes = sorted(EXTENSIONS)
    ids = [f"{number:016x}" for number in range(len(suffixes) + 3)]
    names = [f"{photo}{suffix}" for photo, suffix in zip(ids, suffixes)]
    names[0] = names[0].upper()
    fill(tmp_path / "train", [f"a/{name}" for name in names])
    hidden = [
        f"{place}/{photo}.jpg" for place, photo in zip(("@eaDir", ".x", "a/#recycle"), ids[-3:])
    ]
    fill(tmp_path / "train", hidden)
    (tmp_path / "clean.csv").write_text(f"landmark_id,images\n1,{' '.join(ids)}\n")
    table = read_clean_table(tmp_path / "clean.csv")
    wanted = {Path(file).stem for _, file in list_images(tmp_path / "train")}
    assert len(wanted) == len(suffixes)
    for where in (tmp_path / "train", f"{tmp_path}/train/*/"):
        files = find_photo_files([where], table)
        found = {
            table.ids[row].decode() for row in range(len(table.ids)) if files.folder_of[row] >= 0
        }
        assert found == wanted


def test_suffixes_of_phones_cameras_and_browsers_are_photos():
    for suffix in ("jpg", "JPEG", "jpe", "jfif", "png", "gif", "webp", "avif", "heic", "HEIF",
                   "bmp", "tif", "tiff", "jp2"):  # fmt: skip
        assert is_photo(f"a.{suffix}")
    for name in ("a.mp4", "a.cr2", "a.xmp", "a", ".a.jpg", "a.jpg.part", "a.txt", "jpg"):
        assert not is_photo(name)
    assert all(name == name.lower() for name in (*EXTENSIONS, *SKIPPED_FOLDERS))


def test_what_is_left_out_is_counted_by_suffix_in_one_line(tmp_path, caplog):
    caplog.set_level("INFO")
    fill(tmp_path, ["a.jpg", "b.MP4", "c.mp4", "sub/d.txt", "e", ".hidden", "@eaDir/f.jpg",
                    "sub/@eaDir/g.jpg", "$RECYCLE.BIN/h.jpg", ".thumbnails/i.jpg"])  # fmt: skip
    for _ in range(2):  # a folder is listed several times in a run
        list_images(tmp_path)
    list_photos(tmp_path)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"left out of {tmp_path}: 2 .mp4, 1 .txt, 1 without a suffix (no photos by their suffix), "
        "and what is in @eaDir (2), $RECYCLE.BIN (1)"
    )
    caplog.clear()
    (tmp_path / "sub" / "new.mov").touch()
    list_images(tmp_path)
    assert "1 .mov" in caplog.text


def test_nothing_is_said_where_nothing_is_left_out(tmp_path, caplog):
    caplog.set_level("INFO")
    list_images(fill(tmp_path, ["a.jpg", ".hidden", "sub/b.png"]))
    assert not caplog.records


def test_the_line_stays_short():
    left_out = LeftOut()
    for number in range(50):
        left_out.note_file(f"a.x{number}")
    left_out.note_file("a.of a very long name")
    left_out.note_file("a.\n")
    left_out.note_file("a.ü\udcff")
    assert left_out.text().count(".x") == 7
    assert "3 without a suffix" in left_out.text()
    assert "43 others" in left_out.text()


# --- names in lists


def test_the_suffix_of_a_photo_is_taken_off_and_no_other():
    names = ["a.jpg", "a.JPEG", "st.mary", "v1.0", "a.jpg.jpg", "a.heic", "a", ".jpg", "a.txt"]
    assert [without_suffix(name) for name in names] == [
        *("a", "a", "st.mary", "v1.0", "a.jpg", "a", "a", ".jpg", "a.txt")
    ]


photo_names = st.lists(
    st.text("aAeé\u0301ôö.j pg", min_size=1, max_size=8), unique=True, max_size=8
)


@given(photo_names, st.sampled_from(["NFC", "NFD"]), st.sampled_from(["", ".jpg", ".PNG"]))
def test_a_photo_is_found_by_its_name_in_any_form_with_any_suffix(names, form, suffix):
    """As long as no other photo looks alike."""
    known = PhotoNames(names)
    alike = [unicodedata.normalize("NFC", without_suffix(name)) for name in names]
    for place, name in enumerate(names):
        assert known.position(name) == place
        if without_suffix(name) == name and alike.count(alike[place]) == 1:
            assert known.find(unicodedata.normalize(form, name) + suffix) == name
    assert known.find("nothing of the kind") is None
