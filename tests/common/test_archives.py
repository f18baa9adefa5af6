from __future__ import annotations

import gzip
import os
import tarfile
import zipfile

import pytest

from src.common.archives import Damaged, unpack_tar, unpack_zip
from src.common.errors import UserError
from tests.helpers.download import files_below, make_tar, noise
from tests.helpers.faults import files_up_to

UNPACK = {"tar": unpack_tar, "zip": unpack_zip}


def pack(folder, kind, files):
    path = folder / f"photos.{kind}"
    if kind == "tar":
        path.write_bytes(make_tar(files))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/tmp/evil.jpg", "a/../../evil.jpg", "a\\..\\b.jpg"]
)
@pytest.mark.parametrize("flat", [False, True])
def test_paths_that_lead_out_of_the_folder_are_refused(name, flat, tmp_path):
    archive = tmp_path / "bad.tar"
    archive.write_bytes(make_tar({name: b"x"}))
    with pytest.raises(Damaged, match="leads out of its folder"):
        unpack_tar(archive, tmp_path / "into", flat=flat)
    assert files_below(tmp_path).keys() == {"bad.tar"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind, tmp_path):
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("a.jpg")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(Damaged, match="no plain file"):
        unpack_tar(archive, tmp_path / "into")
    assert not (tmp_path / "into" / "a.jpg").exists()


def test_an_interrupted_unpacking_goes_on_and_keeps_what_is_there(tmp_path, caplog):
    archive = tmp_path / "images.tar"
    archive.write_bytes(make_tar({"0/a.jpg": b"aa", "0/b.jpg": b"bb", "1/c.jpg": b"cc"}))
    folder = tmp_path / "into"
    (folder / "0").mkdir(parents=True)
    (folder / "0" / "a.jpg").write_bytes(b"AA")  # same size: complete
    (folder / "0" / "b.jpg").write_bytes(b"my own")
    (folder / "0" / ".images.tar.part").write_bytes(b"h")  # what a killed run leaves
    os.utime(folder / "0" / "a.jpg", (1, 1))
    assert unpack_tar(archive, folder) == ["0/a.jpg", "0/b.jpg", "1/c.jpg"]
    assert (folder / "0" / "a.jpg").stat().st_mtime == 1
    assert (folder / "0" / "b.jpg").read_bytes() == b"my own"
    assert (folder / "1" / "c.jpg").read_bytes() == b"cc"
    assert "1 files" in caplog.text


def test_a_leftover_of_a_killed_run_is_removed(tmp_path):
    archive = tmp_path / "images.tar"
    archive.write_bytes(make_tar({"0/a.jpg": b"aa"}))
    (tmp_path / "into/0").mkdir(parents=True)
    (tmp_path / "into/0/.images.tar.part").write_bytes(b"much longer than the photo")
    (tmp_path / "into/0/.images.tar.0a1b2c.part").write_bytes(b"of today's")
    (tmp_path / "into/0/.others.tar.0a1b2c.part").write_bytes(b"of a run that goes on")
    unpack_tar(archive, tmp_path / "into")
    assert files_below(tmp_path / "into").keys() == {"0/a.jpg", "0/.others.tar.0a1b2c.part"}


def test_a_link_that_was_laid_in_the_way_is_not_written_through(tmp_path):
    archive = tmp_path / "images.tar"
    archive.write_bytes(make_tar({"a.jpg": b"aa"}))
    (tmp_path / "theirs").write_text("precious")
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / ".images.tar.part").symlink_to("../theirs")
    unpack_tar(archive, tmp_path / "into")
    assert (tmp_path / "theirs").read_text() == "precious"
    assert not (tmp_path / "into" / "a.jpg").is_symlink()


@pytest.mark.parametrize(
    "files",
    [{"a.jpg": b"1", "a.jpg/b.jpg": b"2"}, {"a.jpg/b.jpg": b"2", "a.jpg": b"1"}],
    ids=["a file is a folder later", "a folder is a file later"],
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_has_one_meaning(files, kind, tmp_path):
    archive = pack(tmp_path, kind, files)
    with pytest.raises(UserError, match=rf"{archive.name} holds 'a\.jpg"):
        UNPACK[kind](archive, tmp_path / "into")
    (first, *_) = files
    assert files_below(tmp_path / "into") == {first: files[first]}


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "y/" * 3000 + "a.jpg"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_that_no_disk_takes_is_told_in_short(name, kind, tmp_path):
    archive = pack(tmp_path, kind, {"a.jpg": b"1", name: b"2"})
    with pytest.raises(UserError, match=f"{archive.name} holds '.*too long") as caught:
        UNPACK[kind](archive, tmp_path / "into")
    assert len(str(caught.value)) < 500 and not isinstance(caught.value, Damaged)
    assert files_below(tmp_path / "into") == {"a.jpg": b"1"}


def test_a_disk_that_does_not_hold_a_file_is_told_with_it(tmp_path):
    archive = pack(tmp_path, "tar", {"a.jpg": b"1", "b.jpg": bytes(5000)})
    with files_up_to(4000), pytest.raises(OSError, match=r"too large.*b\.jpg"):
        unpack_tar(archive, tmp_path / "into")
    assert files_below(tmp_path / "into") == {"a.jpg": b"1"}


@pytest.mark.parametrize("cut", [0.3, 0.95])
def test_a_cut_off_archive_is_damaged(cut, tmp_path):
    whole = make_tar({f"{i}.jpg": noise(5000, i) for i in range(20)}, "w:gz")
    archive = tmp_path / "cut.tgz"
    archive.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(Damaged, match=r"cut\.tgz is damaged"):
        unpack_tar(archive, tmp_path / "into", flat=True)


def test_a_wrong_sum_at_the_end_of_a_gzip_archive_is_noticed(tmp_path):
    whole = bytearray(make_tar({"a.jpg": b"x" * 5000}, "w:gz"))
    whole[-6] ^= 1
    archive = tmp_path / "a.tgz"
    archive.write_bytes(bytes(whole))
    with pytest.raises(Damaged):
        unpack_tar(archive, tmp_path / "into")


def test_only_photos_are_taken_and_no_hidden_file(tmp_path):
    archive = tmp_path / "a.tar"
    files = {"x/a.JPG": b"1", "x/run.sh": b"2", "x/._a.jpg": b"3", ".download/b.jpg": b"4"}
    archive.write_bytes(make_tar(files))
    assert unpack_tar(archive, tmp_path / "into", (".jpg", ".png")) == ["x/a.JPG"]
    assert files_below(tmp_path / "into") == {"x/a.JPG": b"1"}


def test_two_files_of_one_name_cannot_share_a_flat_folder(tmp_path):
    archive = tmp_path / "a.tar"
    archive.write_bytes(make_tar({"x/a.jpg": b"1", "y/a.jpg": b"22"}))
    with pytest.raises(Damaged, match=r"two files called a\.jpg"):
        unpack_tar(archive, tmp_path / "into", flat=True)


def test_plain_gzip_that_is_no_archive_is_damaged(tmp_path):
    path = tmp_path / "a.tgz"
    path.write_bytes(gzip.compress(b"no tar at all" * 100))
    with pytest.raises(Damaged):
        unpack_tar(path, tmp_path / "into")
