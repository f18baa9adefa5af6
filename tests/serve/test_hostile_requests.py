"""What is sent by those who want something else than to search."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from src.common.errors import UserError
from src.serve.decoding import Decoders, RefusedError, TooLongError
from src.serve.desk import key_of
from src.serve.settings import Reach, UploadSettings
from tests.helpers.page_server import HOST, PageServer
from tests.helpers.search import photo

TOKEN = "a token of the tests, long enough"


def raw(page, request):
    """Send bytes as they are, and return what comes back until the server closes."""
    with socket.create_connection((HOST, page.port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%252e%252e%252fetc%252fpasswd",
        "/..%5c..%5cetc%5cpasswd",
        "/%c0%ae%c0%ae/etc/passwd",
        "//etc/passwd",
        "/etc/passwd%00.png",
        "/app.py",
        "/page/index.html",
        "/index.html",
        "/secret.txt",
        "/api/photos/secret.txt/picture",
        "/api/photos/c.png/picture",
        "/api/photos/..%2fsecret.png.txt/picture",
        "/api/photos/../secret.png.txt/picture",
        "/api/photos/%2e%2e%2fquery.png/picture",
        "/api/photos/%2fetc%2fpasswd/picture",
        "/api/photos/0/picture",
        "/api/searches/..%2f..%2fquery/query",
    ],
)
def test_only_what_is_called_by_its_key_is_served(page, path):
    status, _, content = page.call("GET", path)
    assert status in (400, 404), content[:200]
    assert b"root:" not in content and b"secret" not in content.replace(path.encode(), b"")


def test_a_link_that_leads_out_is_followed_only_where_it_was_listed(tmp_path):
    folder = tmp_path / "photos"
    photo(folder / "a.png", 1)
    photo(folder / "b.png", 2)
    private = photo(tmp_path / "private.png", 3)
    other = photo(tmp_path / "other.png", 4)
    (folder / "listed.png").symlink_to(other)
    with PageServer(folder) as page:
        assert page.call("GET", f"/api/photos/{key_of('listed.png')}/picture")[0] == 200
        for name in ("a.png", "listed.png"):
            (folder / name).unlink()
            (folder / name).symlink_to(private)
            told = page.json("GET", f"/api/photos/{key_of(name)}/picture?side=640", status=404)
            assert told["error"].endswith("leads out of the folder")
            page.json("POST", f"/api/photos/{key_of(name)}/search", status=404)
        (folder / "b.png").unlink()
        assert page.json("GET", f"/api/photos/{key_of('b.png')}/picture", status=404)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("LOCALHOST:1", 200),
        ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("localhost.evil.example", 403),
        ("evil.example:8000", 403), ("192.168.1.7", 403), ("", 403), ("[::1", 403), ("a@b", 403),
    ],
)  # fmt: skip
def test_a_name_of_somebody_else_is_not_heard(page, name, status):
    got, _, content = page.call("GET", "/api/state", headers={"Host": name})
    assert got == status or (name in ("", "[::1", "a@b") and got == 400)
    assert (b"searchable" in content) == (status == 200)


def test_other_sites_cannot_ask(page):
    ours = page.address
    cases = [
        ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403), ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": ours, "Sec-Fetch-Site": "same-origin"}, 202), ({"Sec-Fetch-Site": "none"}, 202),
    ]  # fmt: skip
    for headers, status in cases:
        assert page.call("POST", "/api/update", headers=headers)[0] == status, headers
    # A link on another site may lead to the page, but its pictures and frames may not.
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert page.call("GET", "/", headers={**link, "Sec-Fetch-Dest": "document"})[0] == 200
    assert page.call("GET", "/", headers={**link, "Sec-Fetch-Dest": "iframe"})[0] == 403
    assert page.call("GET", "/api/photos", headers={**link, "Sec-Fetch-Dest": "document"})[0] == 403
    # A form of another site needs no leave to be sent: what forms can send is no photo.
    for kind in (
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ):
        assert page.call("POST", "/api/search", b"x", {"Content-Type": kind})[0] == 415
    for path in ("/api/update", "/api/search", "/api/describe"):
        assert page.call("GET", path)[0] == 405


def test_every_answer_forbids_what_the_page_does_not_need(page):
    for path in ("/", "/api/state", "/nothing", "/api/docs"):
        headers = page.call("GET", path)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers and "server" not in headers


def test_a_file_that_is_too_large_is_refused_before_it_has_come(page, monkeypatch):
    monkeypatch.setattr("src.serve.uploads._LINGER", 0.5)
    host = f"Host: {HOST}:{page.port}\r\nContent-Type: image/png\r\n".encode()
    said = b"POST /api/search HTTP/1.1\r\n" + host + b"Content-Length: 9999999999\r\n\r\n"
    assert raw(page, said + b"x").startswith(b"HTTP/1.1 413")
    # One that does not say how large it is: it is read up to the limit, 4 MB.
    part = b"%x\r\n" % 2**20 + bytes(2**20) + b"\r\n"
    chunked = b"POST /api/search HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n"
    assert raw(page, chunked + 5 * part).startswith(b"HTTP/1.1 413")
    assert page.call("POST", "/api/search", b"")[0] == 400


def test_who_sends_too_slowly_is_not_waited_for(page, monkeypatch):
    monkeypatch.setattr("src.serve.uploads._PATIENCE", 0.2)
    begun = (
        f"POST /api/search HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: image/png\r\n"
        "Content-Length: 1000\r\n\r\nx"
    )
    answer = raw(page, begun.encode())
    assert answer.startswith(b"HTTP/1.1 408") and b"too slowly" in answer


def bomb(side):
    """A PNG of a few kilobytes that holds side × side pixels."""

    def chunk(kind, data):
        content = kind + data
        return struct.pack(">I", len(data)) + content + struct.pack(">I", zlib.crc32(content))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_an_image_bomb_is_not_decoded(page):
    data = bomb(40_000)
    assert len(data) < 1e6
    for path in ("/api/search", "/api/describe", "/api/preview"):
        told = page.json("POST", path, data, status=422)
        assert "is larger than 4 megapixels" in told["error"]


def endless_jpeg(scans):
    """A progressive JPEG of 4 megapixels that refines itself again and again."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((1900, 1900), np.uint8)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + scans * data[last:-2] + b"\xff\xd9"


@pytest.fixture(scope="module")
def slow():
    data = endless_jpeg(20_000)
    assert len(data) < 4e6
    return data


def test_decoding_that_does_not_end_is_given_up(slow):
    decoders = Decoders(UploadSettings(4, 4, 1), 1)
    good = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 100, 50)).save(good, "PNG")
    try:
        assert decoders.decode(good.getvalue()).size == (20, 30)
        begun = time.monotonic()
        with pytest.raises(TooLongError, match="takes more than 1 s; send a smaller"):
            decoders.decode(slow)
        assert time.monotonic() - begun < 20
        # The next one is decoded by another process; one that was killed is replaced as well.
        assert decoders.decode(good.getvalue()).pixels[0, 0].tolist() == [200, 100, 50]
        os.kill(decoders._all[0]._process.pid, signal.SIGKILL)
        decoders._all[0]._process.join()
        assert decoders.decode(good.getvalue()).size == (20, 30)
        with pytest.raises(RefusedError, match="is not an image of a known format"):
            decoders.decode(b"")
    finally:
        decoders.close()


def test_strangers_learn_nothing_from_errors(page, photos):
    cases = [
        ("POST", "/api/search", b"no photo"), ("POST", "/api/search?top=x", b"x"),
        ("POST", "/api/search?top=100000", b"x"), ("GET", "/api/photos/x/picture?side=-1", None),
        ("GET", "/api/photos?first=-1", None), ("POST", "/api/search?box=%00", b"x"),
    ]  # fmt: skip
    for method, path, body in cases:
        status, _, content = page.call(method, path, body)
        assert 400 <= status < 500, path
        told = json.loads(content)
        assert told.keys() == {"error"}
        assert "Traceback" not in told["error"] and str(photos.parent) not in told["error"]


def test_elsewhere_only_with_a_token(photos):
    with pytest.raises(UserError, match=r"0\.0\.0\.0 can be reached by others, who need a token"):
        Reach("0.0.0.0")
    with pytest.raises(UserError, match="at least 16"):
        Reach("0.0.0.0", "short")
    assert Reach("127.8.9.1").token == Reach("localhost").token == Reach("::1").token == ""
    with PageServer(photos, reach=Reach("0.0.0.0", TOKEN), describe=False) as page:
        wrong = [
            {}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN},
            {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN[:-1]}"},
            {"Cookie": f"delf_token={TOKEN}"}, {"Cookie": "delf_token="}, {"Cookie": '"\\;=;'},
        ]  # fmt: skip
        for headers in wrong:
            for path in ("/", "/api/state", "/app.js", "/api/openapi.json", "/nothing"):
                status, got, content = page.call("GET", path, headers=headers)
                assert status == 401 and got["www-authenticate"] == "Bearer", (headers, path)
                assert b"photos" not in content
        assert page.call("GET", "/?token=wrong")[0] == 401
        assert page.call("POST", f"/api/update?token={TOKEN}".replace(" ", "%20"))[0] == 401
        known = {"Authorization": f"Bearer {TOKEN}"}
        assert page.call("GET", "/api/state", headers=known)[0] == 200
        # Other names may point here, addresses may not be somebody else's.
        for host, status in (("192.168.1.7:8000", 200), ("evil.example", 403)):
            assert page.call("GET", "/api/state", headers={**known, "Host": host})[0] == status
        quoted = TOKEN.replace(" ", "%20")
        status, headers, _ = page.call("GET", f"/?token={quoted}")
        assert (status, headers["location"]) == (303, "/")
        assert "HttpOnly" in headers["set-cookie"] and TOKEN not in headers["set-cookie"]
        cookie = headers["set-cookie"].split(";")[0]
        assert page.call("GET", "/", headers={"Cookie": cookie})[0] == 200
        for path in ("//evil.example/", "/%0d%0aX-Evil:%201", "/\\evil.example"):
            status, headers, _ = page.call("GET", f"{path}?token={quoted}")
            assert status in (303, 400) and "x-evil" not in headers
            assert headers.get("location", "/").startswith("/")
            assert not headers.get("location", "/").startswith(("//", "/\\"))
