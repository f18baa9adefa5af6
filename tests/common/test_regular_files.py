"""Pipes, sockets, devices and folders are refused at once."""

from __future__ import annotations

import os
import socket

import pytest

from src.common.digests import sha256_of
from src.common.regular_files import open_regular
from src.photos.reading import UnreadableImageError, read_image


@pytest.fixture(params=["pipe", "socket", "device", "link to a pipe"])
def odd(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    path = tmp_path / "x.jpg"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("x.jpg")
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    return path


def test_what_is_no_file_is_refused(odd):
    for read in (open_regular, sha256_of):
        with pytest.raises(OSError):
            read(odd)
    with pytest.raises(UnreadableImageError, match="cannot be read: "):
        read_image(odd)


def test_a_folder_is_called_one(tmp_path):
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


def test_a_file_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"some bytes")
    (tmp_path / "b").symlink_to("a")
    for name in "ab":
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"some bytes"
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "c")
