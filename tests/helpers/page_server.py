"""The page's server in this process, on a port of its own, over a tiny network."""

from __future__ import annotations

import http.client
import json
import threading

from src.describe.engines import choice
from src.photo_search.open_folder import OpenFolder
from src.serve.app import Counter, server_of
from src.serve.decoding import Decoders
from src.serve.desk import Desk
from src.serve.settings import Reach, UploadSettings
from tests.helpers.search import CountingEngine, configuration

HOST = "127.0.0.1"


class PageServer:
    """Context in which the page can be called.

    Args:
        photos: the folder; what is kept lies beside it.
        limits: of uploads.
        reach: who may call.
        kept: folder for what is sent.
        describe: bring the photos up to date at once.
        rotations: by which queries are turned.
    """

    def __init__(self, photos, limits=None, reach=None, kept=None, describe=True, rotations="0"):
        choice.ENGINES["mindspore"] = CountingEngine
        limits = limits or UploadSettings(4, 4, 5)
        self.folder = OpenFolder(configuration(photos.parent / "work", rotations), photos)
        self._decoders = Decoders(limits, 1)
        self.counter = Counter(Desk(self.folder, self._decoders), limits, kept)
        if describe:
            self.folder.update()
        self._server = server_of(self.counter, reach or Reach(), host=HOST, port=0)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self):
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            self._thread.join(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://{HOST}:{self.port}"
        return self

    def __exit__(self, *_):
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(20)
        self.counter.close()
        self._decoders.close()

    def call(self, method, path, body=None, headers=None):
        """Return status, headers and body of an answer; the path goes out as it is."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        given = {"Host": f"{HOST}:{self.port}", **(headers or {})}
        if body is not None and "content-type" not in {name.lower() for name in given}:
            given["Content-Type"] = "image/png"
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, method, path, body=None, headers=None, status=200):
        """Return the JSON of an answer that has a status."""
        code, _, content = self.call(method, path, body, headers)
        assert code == status, (code, content[:500])
        return json.loads(content)
