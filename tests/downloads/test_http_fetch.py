from __future__ import annotations

import os
import socket
import time

import pytest

from src.common.errors import UserError
from src.downloads import http_fetch
from src.downloads.http_fetch import Network, NotServed, fetch, is_reachable
from tests.helpers.download import IMPATIENT, files_below, noise
from tests.helpers.faults import files_up_to


def test_a_lost_connection_is_taken_up_where_it_broke(server, tmp_path):
    body = noise(300_000)
    server.add("/a", body, drop_after=[100_000, 50_000])
    fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert (tmp_path / "a").read_bytes() == body
    ranges = [request.range for request in server.asked("/a")]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert sum(request.sent for request in server.asked("/a")) == len(body)
    assert files_below(tmp_path).keys() == {"a"}  # no .part, no .version


def test_a_server_without_ranges_is_read_from_the_start(server, tmp_path):
    body = noise(200_000)
    server.add("/a", body, drop_after=[150_000], ranges=False)
    fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert (tmp_path / "a").read_bytes() == body
    assert [request.sent for request in server.asked("/a")] == [150_000, 200_000]


def test_a_range_that_was_not_asked_for_is_not_appended(server, tmp_path):
    body = noise(200_000)
    server.add("/a", body, drop_after=[50_000], range_shift=-100)
    fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert (tmp_path / "a").read_bytes() == body


def test_a_file_that_changed_on_the_server_is_not_pieced_together(server, tmp_path):
    old, new = noise(200_000, 1), noise(200_000, 2)
    resource = server.add("/a", old, drop_after=[120_000])
    with pytest.raises(UserError):
        fetch(server.url + "/a", tmp_path / "a", Network(timeout=5, retries=0))
    assert (tmp_path / "a.part").stat().st_size == 120_000
    resource.bodies, resource.etag = [new], '"2"'
    fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert (tmp_path / "a").read_bytes() == new


@pytest.mark.parametrize("kind", ["symlink", "hard link", "pipe", "nowhere"])
def test_nothing_is_written_through_a_link_that_was_laid_for_the_part(server, tmp_path, kind):
    theirs, part = tmp_path / "theirs", tmp_path / "a.part"
    theirs.write_bytes(b"precious")
    if kind == "symlink":
        part.symlink_to(theirs)
    elif kind == "nowhere":
        part.symlink_to(tmp_path / "new")
    elif kind == "hard link":
        part.hardlink_to(theirs)
    else:
        os.mkfifo(part)
    server.add("/a", noise(1000))
    with pytest.raises(UserError, match=r"a\.part is a link or no file.*remove it"):
        fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert theirs.read_bytes() == b"precious" and not (tmp_path / "new").exists()
    assert not server.requests


@pytest.mark.parametrize("with_part", [False, True])
def test_nothing_is_written_through_a_link_that_was_laid_for_the_version(
    server, tmp_path, with_part
):
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"precious")
    (tmp_path / "a.part.version").symlink_to(theirs)
    if with_part:
        (tmp_path / "a.part").write_bytes(b"x")
    server.add("/a", noise(1000))
    if with_part:  # what it holds would be told to the server
        with pytest.raises(UserError, match=r"a\.part\.version is a link"):
            fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    else:
        fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert theirs.read_bytes() == b"precious"


def test_an_empty_file_is_a_file_too(server, tmp_path):
    server.add("/a", b"")
    fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert files_below(tmp_path) == {"a": b""}


def test_a_disk_that_does_not_hold_it_is_told_with_the_file(server, tmp_path):
    server.add("/a", noise(100_000))
    with files_up_to(30_000), pytest.raises(OSError, match=r"too large.*a\.part"):
        fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory") as caught:
        fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert caught.value.filename2 == str(tmp_path / "a")


def test_a_complete_partial_file_costs_no_second_download(server, tmp_path):
    body = noise(10_000)
    server.add("/a", body)
    (tmp_path / "a.part").write_bytes(body)
    fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert (tmp_path / "a").read_bytes() == body
    assert sum(request.sent for request in server.asked("/a")) == 0


def test_a_partial_file_that_is_too_long_is_thrown_away(server, tmp_path):
    body = noise(10_000)
    server.add("/a", body)
    (tmp_path / "a.part").write_bytes(noise(12_000, 5))
    fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert (tmp_path / "a").read_bytes() == body


def test_a_busy_server_is_asked_again_a_bounded_number_of_times(server, tmp_path):
    resource = server.add("/a", b"content", statuses=[503, 503])
    fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert (tmp_path / "a").read_bytes() == b"content"
    assert [request.status for request in server.asked("/a")] == [503, 503, 200]

    resource.statuses = [503] * 50
    server.requests.clear()
    with pytest.raises(UserError, match=r"503.*gave up after 4 tries.*run the same command again"):
        fetch(server.url + "/a", tmp_path / "b", IMPATIENT)
    assert len(server.asked("/a")) == 1 + IMPATIENT.retries
    assert files_below(tmp_path).keys() == {"a"}


def test_progress_earns_new_tries_but_a_server_that_repeats_itself_does_not(server, tmp_path):
    megabyte = 1 << 20
    body = noise(6 * megabyte)
    server.add("/a", body, drop_after=[megabyte] * 5)
    fetch(server.url + "/a", tmp_path / "a", Network(timeout=5, retries=1, backoff=0))
    assert (tmp_path / "a").read_bytes() == body

    server.add("/b", body, drop_after=[2 * megabyte] * 50, ranges=False)
    with pytest.raises(UserError, match=r"ended after 2,097,152 of 6,291,456 bytes"):
        fetch(server.url + "/b", tmp_path / "b", Network(timeout=5, retries=2, backoff=0))
    assert len(server.asked("/b")) <= 4


def test_a_missing_file_is_said_at_once(server, tmp_path):
    with pytest.raises(NotServed, match=r"/none: the server answered 404"):
        fetch(server.url + "/none", tmp_path / "a", IMPATIENT)
    assert len(server.asked("/none")) == 1
    assert not list(tmp_path.iterdir())


def test_a_silent_server_is_not_waited_for_forever(server, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        started = time.monotonic()
        with pytest.raises(UserError, match="did not answer in time"):
            fetch(url, tmp_path / "a", Network(timeout=0.3, retries=1, backoff=0))
        assert 0.6 <= time.monotonic() - started < 5
        assert not is_reachable(url, seconds=0.3)


def test_an_unknown_host_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"no way to the host nowhere\.invalid"):
        fetch("http://nowhere.invalid/a", tmp_path / "a", IMPATIENT)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "a.csv", "http://[x"])
def test_only_web_addresses_are_fetched(url, tmp_path):
    with pytest.raises(UserError):
        fetch(url, tmp_path / "a", IMPATIENT)
    assert not (tmp_path / "a").exists()


def test_redirects_are_followed_on_the_web_only(server, tmp_path):
    server.add("/a", b"content")
    server.add("/moved", b"", location=server.url + "/a")
    server.add("/outside", b"", location="file:///etc/passwd")
    fetch(server.url + "/moved", tmp_path / "a", IMPATIENT)
    assert (tmp_path / "a").read_bytes() == b"content"
    with pytest.raises(UserError, match="not allowed"):
        fetch(server.url + "/outside", tmp_path / "b", IMPATIENT)
    assert not (tmp_path / "b").exists()


def test_a_sign_in_page_is_not_taken_for_the_file(server, tmp_path):
    server.add("/a", b"<html>sign in</html>", content_type="text/html; charset=utf-8")
    with pytest.raises(NotServed, match="web page"):
        fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert not (tmp_path / "a").exists()


def test_a_file_larger_than_the_free_space_is_refused_before_it_is_fetched(
    server, tmp_path, monkeypatch
):
    server.add("/a", noise(50_000))
    usage = type("Usage", (), {"free": 40_000})
    monkeypatch.setattr(http_fetch.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="make room"):
        fetch(server.url + "/a", tmp_path / "a", IMPATIENT)
    assert not (tmp_path / "a.part").exists()


def test_settings_out_of_range_are_refused():
    for wrong in ({"timeout": 0}, {"retries": -1}, {"backoff": float("nan")}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Network(**wrong)
