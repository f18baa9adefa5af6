"""The archives among the data that a job brings to its host."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from src.common.errors import UserError
from tests.helpers.download import files_below, make_tar
from tests.helpers.modelarts import run_job


def make_zip(files: dict[str, bytes], path: Path, mode: int = stat.S_IFREG) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (mode | 0o644) << 16
            file.writestr(member, content)


def test_archives_are_unpacked_where_they_lie_and_once(host):
    data = host.bucket / "data"
    make_zip({"shards/train.mindrecord007": b"7", "shards/": b""}, data / "all.zip")
    files = {"./labels.csv": b"0,1", "._labels.csv": b"resource fork"}
    (data / "mindrecord/more.tar").write_bytes(make_tar(files))
    (data / "x").mkdir()
    (data / "x/photos.tar.gz").write_bytes(make_tar({"0/a.JPG": b"a"}, "w:gz"))
    (data / "x/others.TGZ").write_bytes(make_tar({"0/b": b"b"}, "w:gz"))
    run_job(host.config())
    unpacked = {
        "shards/train.mindrecord007": b"7",
        "mindrecord/labels.csv": b"0,1",
        "x/0/a.JPG": b"a",
        "x/0/b": b"b",
    }
    assert files_below(host.cache / "data") == {**files_below(data), **unpacked}
    (host.cache / "data/x/0/a.JPG").unlink()
    run_job(host.config())
    assert not (host.cache / "data/x/0/a.JPG").exists()  # nobody unpacked it again


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../../evil", "a\\..\\evil"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_hostile_names_in_archives_are_refused(host, name, kind):
    files = {"good": b"g", name: b"x"}
    if kind == "zip":
        make_zip(files, host.bucket / "data/bad.zip")
    else:
        (host.bucket / "data/bad.tar").write_bytes(make_tar(files))
    for _ in range(2):  # the next process says the same, without copying everything again
        with pytest.raises(UserError, match=r"bad\.(zip|tar) holds the path"):
            run_job(host.config())
    assert host.calls() == ["data"]
    assert not list(host.cache.parent.rglob("*evil*"))


def test_links_in_a_zip_are_refused(host):
    make_zip({"link": b"/etc"}, host.bucket / "data/bad.zip", stat.S_IFLNK)
    with pytest.raises(UserError, match="no plain file"):
        run_job(host.config())
    assert not (host.cache / "data/link").exists()


def test_two_files_of_one_name_in_a_zip_are_refused(host):
    path = host.bucket / "data/bad.zip"
    with zipfile.ZipFile(path, "w") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("a", b"1")
        file.writestr("a", b"2")
    with pytest.raises(UserError, match="two files of one name"):
        run_job(host.config())


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_zip_is_refused_and_leaves_no_half_file(host, damage):
    path = host.bucket / "data/bad.zip"
    content = os.urandom(5000)
    make_zip({"photo": content}, path)
    whole = bytearray(path.read_bytes())
    if damage == "cut":
        del whole[3000:]
    else:
        whole[3000] ^= 255
    path.write_bytes(whole)
    with pytest.raises(UserError, match="is damaged"):
        run_job(host.config())
    assert not (host.cache / "data/photo").exists()


def test_an_interrupted_unpacking_goes_on(host):
    with zipfile.ZipFile(host.bucket / "data/a.zip", "w") as file:
        for name in ("one", "two", "three"):
            file.writestr(name, name)
    (host.bucket / "data/bad.tar").write_bytes(b"no tar")
    with pytest.raises(UserError, match=r"bad\.tar"):
        run_job(host.config())
    (host.cache / "data/bad.tar").write_bytes(make_tar({"four": b"4"}))
    run_job(host.config())
    names = {"one", "two", "three", "four"}
    assert names <= files_below(host.cache / "data").keys()
    assert host.calls() == ["data", "weights"]
