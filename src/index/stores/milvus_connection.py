"""The way to a Milvus: calls that wait for one that went away, and its errors in a line."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from src.common.errors import UserError, one_line

LOG = logging.getLogger(__name__)

#: The only place the token is read from: not a command line, which others see, nor a YAML.
TOKEN_VARIABLE = "DELF_MILVUS_TOKEN"
#: Seconds that one call may take; making an index and loading it may take longer.
CALL_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
#: What pymilvus calls a server that cannot be reached.
_NO_CONNECTION = 2
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN", "INTERNAL")
_Answer = TypeVar("_Answer")


class MilvusAwayError(UserError):
    """The Milvus does not answer."""


class Connection:
    """A Milvus, connected to when it is first called.

    Args:
        uri: http://host:19530.
        patience: seconds that one that does not answer is waited for.
        token: "user:password" or an API key; None: what the environment says.

    Attributes:
        prepare: called with the client of each new connection.

    Raises:
        UserError: the URI is none, or there is no pymilvus.
    """

    def __init__(self, uri: str, patience: float, token: str | None = None):
        if "@" in uri:
            raise UserError(
                f"milvus_uri holds a name or password; put them into {TOKEN_VARIABLE} as "
                "name:password, and only http://host:port into milvus_uri"
            )
        self.uri = uri
        self._patience = patience
        self._token = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
        self.prepare: Callable[[Any], None] | None = None
        self._client: Any = None
        self._pymilvus = _pymilvus()

    @property
    def pymilvus(self) -> Any:
        """The package."""
        return self._pymilvus

    def call(self, doing: str, function: Callable[[Any], _Answer]) -> _Answer:
        """Return what a function of the client returns; call it again where the Milvus went away.

        Args:
            doing: what is being done, for the message.
            function: of a `MilvusClient`; doing it twice must be as doing it once.

        Raises:
            MilvusAwayError: it did not come back in time.
            UserError: it refuses.
        """
        until, pause, said = time.monotonic() + self._patience, _FIRST_PAUSE, False
        while True:
            try:
                return function(self._connected())
            except Exception as error:
                if not self._is_away(error):
                    raise self._refusal(doing, error) from None
                self.close()
                if time.monotonic() + pause > until:
                    raise MilvusAwayError(
                        f"the Milvus at {self.uri} does not answer ({doing}); see that it runs and "
                        "run the same command again: what it has taken is kept"
                    ) from None
                if not said:
                    LOG.warning("the Milvus at %s does not answer; waiting for it", self.uri)
                    said = True
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        client, self._client = self._client, None
        if client is not None:
            try:
                client.close()
            except Exception as error:  # of a server that is gone
                LOG.debug("closing: %s", type(error).__name__)

    def _connected(self) -> Any:
        if self._client is None:
            # A connection of its own: of one that is shared, pymilvus and gRPC remember for a while
            # that it broke, and say so without trying again.
            self._client = self._pymilvus.MilvusClient(
                uri=self.uri,
                token=self._token,
                timeout=max(1.0, min(10.0, self._patience)),
                dedicated=True,
                grpc_options={"grpc.use_local_subchannel_pool": 1},
            )
            if self.prepare is not None:
                self.prepare(self._client)
        return self._client

    def _is_away(self, error: BaseException) -> bool:
        codes = set(_codes(error))
        if codes & set(_REFUSED) or _says_refused(error):
            return False
        if codes & set(_AWAY):
            return True
        return getattr(error, "code", None) == _NO_CONNECTION

    def _refusal(self, doing: str, error: BaseException) -> Exception:
        """Return what to tell a person of an error; errors of ours are left as they are."""
        known = (self._pymilvus.MilvusException, *_grpc_errors())
        if isinstance(error, UserError) or not isinstance(error, known):
            return error  # type: ignore[return-value]
        if set(_codes(error)) & set(_REFUSED) or _says_refused(error):
            given = "refuses the token of" if self._token else "wants a token: set"
            return UserError(f"the Milvus at {self.uri} {given} {TOKEN_VARIABLE}")
        said = one_line(getattr(error, "message", "") or error)[:300]
        for secret in {self._token, self._token.partition(":")[2]} - {""}:
            said = said.replace(secret, "***")
        return UserError(f"the Milvus at {self.uri} cannot do this ({doing}): {said}")


def _pymilvus() -> Any:
    try:
        import pymilvus
    except ImportError as error:
        raise UserError(
            f"the store milvus needs pymilvus ({one_line(error)}); pip install "
            "'delf-mindspore[milvus]', or take vector_store=faiss"
        ) from None
    # It writes a traceback for each call that fails, with what was called; the line is ours to say.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return pymilvus


def _grpc_errors() -> tuple[type[BaseException], ...]:
    import grpc

    return (grpc.RpcError, grpc.FutureTimeoutError)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _codes(error: BaseException) -> Iterator[str]:
    """Yield the names of the gRPC codes in an error and what it came from."""
    for one in _chain(error):
        code = getattr(one, "code", None)
        try:
            code = code() if callable(code) else code
        except Exception:  # of an RPC that has no answer
            continue
        if hasattr(code, "name"):
            yield str(code.name)


def _says_refused(error: BaseException) -> bool:
    """Whether a Milvus that answers says that it does not know the token."""
    text = " ".join(str(one) for one in _chain(error)).lower()
    return any(
        said in text
        for said in ("auth check failure", "unauthenticated", "permission deny", "api key is corre")
    )
