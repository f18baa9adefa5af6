"""The command: where it listens, what it prints, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from urllib.parse import urlsplit

import pytest

from src.common.errors import UserError
from src.serve.__main__ import main
from tests.helpers.other_process import OtherProcess
from tests.helpers.search import configuration, photo

PROGRAM = """
from src.common.errors import run_command
from src.describe.engines import choice
from src.serve.__main__ import main
from tests.helpers.search import CountingEngine
choice.ENGINES["mindspore"] = CountingEngine
if __name__ == "__main__":
    run_command(lambda: main(sys.argv[1:]))
"""


@pytest.fixture
def album(tmp_path):
    for seed in range(3):
        photo(tmp_path / "album" / f"{seed}.png", seed)
    configuration(tmp_path / "work")
    return tmp_path / "album"


def arguments(album):
    work = album.parent / "work"
    return [
        *(album, "--port=0", f"--work_path={work}", f"--checkpoint_path={work}/weights.ckpt"),
        *("--engine=mindspore", "--pca_dim=4", "--max_feature_num=40", "--image_scales=1.0"),
    ]


@pytest.mark.parametrize(("host", "number"), [("127.0.0.1", "SIGINT"), ("0.0.0.0", "SIGTERM")])
def test_it_answers_at_the_address_it_prints_until_it_is_stopped(album, host, number):
    with OtherProcess(PROGRAM, *arguments(album), f"--host={host}") as server:
        line = server.line()
        assert line.startswith("Search your photos at http://") and line.endswith("(Ctrl-C stops)")
        address = urlsplit(line.split()[4])
        assert ("token=" in address.query) == (host == "0.0.0.0")
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=60)
        token = address.query.partition("=")[2]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        state = {}
        while state.get("searchable") != 3:
            connection.request("GET", "/api/state", headers=headers)
            state = json.loads(connection.getresponse().read())
        if token:
            connection.request("GET", "/api/state")
            assert connection.getresponse().status == 401
        os.kill(server.pid, getattr(signal, number))
        assert server.line() == "stopped; what was described is kept"
        code, errors = server.finish()
        assert code == 0, errors


def test_mistakes_are_told_in_one_line(album, capsys, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        given = [str(each) for each in arguments(album)]
        with pytest.raises(UserError, match=f"cannot listen at 127.0.0.1, port {port} .*--port=0"):
            main([*given, f"--port={port}"])
    with pytest.raises(UserError, match="no address of this machine"):
        main([*given, "--host=no.such.name.example", "--token=long enough to be one"])
    with pytest.raises(UserError, match="at least 16"):
        main([*given, "--host=0.0.0.0", "--token=short"])
    with pytest.raises(UserError, match="upload_seconds is 0"):
        main([*given, "--upload_seconds=0"])
    with pytest.raises(UserError, match="does not exist"):
        main([str(album / "nothing"), *given[1:]])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'delf-mindspore\[serve\]'"):
        main(given)
