"""Files that are not what they are said to be: refused, kept, and taken when a person says so."""

from __future__ import annotations

import hashlib

import pytest

from src.common.errors import UserError
from src.common.user_cache import user_cache
from src.downloads import oxford_paris
from src.downloads.gldv2 import MD5_ATTEMPTS
from src.downloads.known_sums import KNOWN_NAME
from src.downloads.oxford_paris import download_oxford
from tests.helpers.download import (
    IMPATIENT,
    expected_gldv2,
    files_below,
    gldv2,
    make_tar,
    photos,
    serve_gldv2,
)

TRUTH = make_tar({"a_query.txt": b"x"}, "w:gz")  # once: gzip notes the time


def stale_sum(server):
    tars = serve_gldv2(server, 2)
    server.files["/md5sum/train/md5.images_000.txt"].bodies = [b"0" * 32 + b"  images_000.tar\n"]
    return tars, server.files["/md5sum/train/md5.images_000.txt"]


def test_an_archive_that_is_always_the_same_is_kept_and_can_be_taken(server, tmp_path):
    """The published sum is out of date."""
    tars, _ = stale_sum(server)
    for fetched in (MD5_ATTEMPTS, 0):  # the second run does not fetch 3 GB again
        server.requests.clear()
        with pytest.raises(UserError, match=r"tar\.unverified.*--accept_md5=images_000"):
            gldv2(server, tmp_path, last=1)
        assert len(server.asked("/train/images_000.tar")) == fetched
        there = files_below(tmp_path / "train")
        assert there["images_000.tar.unverified"] == tars[0] and "images_000.tar" not in there
        assert there.items() >= photos(1).items() and not photos(0).keys() & there.keys()
    server.requests.clear()
    gldv2(server, tmp_path, last=1, accept=["images_000.tar"])
    assert not server.asked("/train/images_000.tar")
    there = files_below(tmp_path / "train")
    assert there.items() >= (photos(0) | photos(1) | {"images_000.tar": tars[0]}).items()
    assert "images_000.tar.unverified" not in there
    gldv2(server, tmp_path, last=1)  # it is noted


def test_an_archive_that_was_kept_is_taken_when_its_sum_is_published_at_last(server, tmp_path):
    tars, published = stale_sum(server)
    with pytest.raises(UserError, match="--accept_md5"):
        gldv2(server, tmp_path, last=0)
    published.bodies = [f"{hashlib.md5(tars[0]).hexdigest()}  images_000.tar\n".encode()]
    server.requests.clear()
    gldv2(server, tmp_path, last=0)
    assert not server.asked("/train/images_000.tar")
    assert files_below(tmp_path / "train") == expected_gldv2({0: tars[0]})


def test_an_archive_that_is_another_one_each_time_is_not_kept(server, tmp_path):
    tars, _ = stale_sum(server)
    server.files["/train/images_000.tar"].bodies = [tars[0], tars[1], tars[0]]
    with pytest.raises(UserError, match=r"the md5 sum was wrong 3 times"):
        gldv2(server, tmp_path, last=0)
    assert not [name for name in files_below(tmp_path / "train") if "images_000.tar" in name]


def serve_oxford(server, content):
    server.add("/oxbuild_images-v1.tgz", make_tar({"a.jpg": content}, "w:gz"))
    server.add("/gt_files_170407.tgz", TRUTH)


def test_what_changes_after_the_first_download_is_refused_and_can_be_taken(server, tmp_path):
    """As with the known hosts of ssh, in whatever folder."""
    serve_oxford(server, b"1")
    download_oxford(tmp_path / "a", server.url, IMPATIENT)
    download_oxford(tmp_path / "b", server.url, IMPATIENT)
    serve_oxford(server, b"2")
    for fetched in (1, 0):
        server.requests.clear()
        with pytest.raises(UserError, match=r"--accept_sum=oxbuild_images-v1\.tgz takes it"):
            download_oxford(tmp_path / "c", server.url, IMPATIENT)
        assert len(server.asked("/oxbuild_images-v1.tgz")) == fetched
        assert not (tmp_path / "c" / "oxbuild_images").exists()
        assert (tmp_path / "c" / "gt_files_170407").exists()
    server.requests.clear()
    download_oxford(tmp_path / "c", server.url, IMPATIENT, accept=["oxbuild_images-v1.tgz"])
    assert not server.requests
    assert (tmp_path / "c" / "oxbuild_images" / "a.jpg").read_bytes() == b"2"
    download_oxford(tmp_path / "d", server.url, IMPATIENT)  # the new sum is remembered
    assert (tmp_path / "d" / "oxbuild_images" / "a.jpg").read_bytes() == b"2"


def test_a_public_sum_is_compared_at_the_publisher_only(server, tmp_path, monkeypatch):
    serve_oxford(server, b"1")
    monkeypatch.setattr(oxford_paris, "OXFORD_URL", server.url)
    with pytest.raises(UserError, match="by public records 8f0017cc5d671f35011d6968269fbf47"):
        download_oxford(tmp_path, server.url, IMPATIENT)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "[" * 9999, "\xff"])
def test_sums_that_cannot_be_read_are_made_again(server, tmp_path, caplog, content):
    (user_cache() / KNOWN_NAME).write_text(content, encoding="latin-1")
    serve_oxford(server, b"1")
    download_oxford(tmp_path / "a", server.url, IMPATIENT)
    assert "no sums are known" in caplog.text
    serve_oxford(server, b"2")
    with pytest.raises(UserError, match="has changed"):
        download_oxford(tmp_path / "b", server.url, IMPATIENT)
