"""A Milvus of the tests' own: Milvus Lite as a server that can be killed and started again."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from concurrent import futures

import grpc
from pymilvus import MilvusClient, MilvusException

#: Seconds in which a server of a loaded machine is there.
PATIENCE = 120


class MilvusServer:
    """Milvus Lite on a port of this host, with its data in a folder."""

    def __init__(self, folder):
        self._folder = folder
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self._port = taken.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process = None

    def start(self, wait=True):
        command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1"]
        options = ["--port", str(self._port), "--data-dir", str(self._folder)]
        with (self._folder.parent / "milvus.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE
        while wait and not self._answers():
            assert self._process.poll() is None, "Milvus Lite did not start"
            assert time.monotonic() < until, "Milvus Lite does not answer"
            time.sleep(0.1)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def _answers(self):
        own = {"dedicated": True, "grpc_options": {"grpc.use_local_subchannel_pool": 1}}
        try:
            with contextlib.closing(MilvusClient(uri=self.uri, timeout=1, **own)):
                return True
        except (MilvusException, grpc.RpcError):
            return False


class Refusing(grpc.GenericRpcHandler):
    """Answers every call as a Milvus does that does not know the token."""

    def __init__(self):
        self.tokens = []

    def service(self, handler_call_details):
        self.tokens += [
            v for k, v in handler_call_details.invocation_metadata if k == "authorization"
        ]

        def refuse(request, context):
            context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "auth check failure, please check username and password are correct",
            )

        return grpc.unary_unary_rpc_method_handler(refuse)


@contextlib.contextmanager
def refusing_server():
    """Yield the URI of a server that refuses every token, and what it was given."""
    handler = Refusing()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", handler.tokens
    finally:
        server.stop(None)
