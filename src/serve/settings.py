"""What the page is told: limits of uploads, and where it can be reached."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from model_utils.bounds import check_fields
from src.common.errors import UserError

#: A token that can be guessed is none.
SHORTEST_TOKEN = 16
DEFAULT_HOST = "127.0.0.1"


@dataclass(frozen=True)
class UploadSettings:
    """What is taken from whoever asks.

    Attributes:
        megabytes: largest file, in MB (2**20 bytes).
        megapixels: largest photo that is decoded, in millions of pixels.
        seconds: after which decoding is given up.

    Raises:
        UserError: a number is out of its bounds.
    """

    megabytes: int = 40
    megapixels: int = 80
    seconds: int = 20

    def __post_init__(self) -> None:
        names = ("megabytes", "megapixels", "seconds")
        check_fields(self, {name: f"upload_{name}" for name in names})

    @classmethod
    def from_config(cls, config: Any) -> UploadSettings:
        """Take what concerns uploads out of the configuration."""
        return cls(config.upload_megabytes, config.upload_megapixels, config.upload_seconds)

    @property
    def bytes(self) -> int:
        """The largest file in bytes."""
        return self.megabytes * 2**20


@dataclass(frozen=True)
class Reach:
    """Where the page can be reached, and by whom.

    Attributes:
        host: address that is listened at.
        token: what a caller has to know; "" where only this machine can call.

    Raises:
        UserError: another address than this machine's own has no token, or one that is too short.
    """

    host: str = DEFAULT_HOST
    token: str = ""

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise UserError(f"{self.host} can be reached by others, who need a token; give one")
        if self.token and len(self.token) < SHORTEST_TOKEN:
            raise UserError(
                f"the token has {len(self.token)} characters; give at least {SHORTEST_TOKEN}, or "
                "none, and one is made"
            )
        if not (self.token.isascii() and self.token.isprintable()):
            raise UserError("the token holds other than ASCII characters; give another one")

    def knows(self, name: str) -> bool:
        """Tell whether a request may name this host.

        A page of somebody else can make a browser call us by a name of theirs (DNS rebinding), but
        not by an address, nor by a name of ours.
        """
        name = name.lower().rstrip(".")
        if name in ("localhost", self.host.lower()) or is_loopback(name):
            return True
        return bool(self.token) and _address(name) is not None


def is_loopback(host: str) -> bool:
    """Tell whether an address is one that only this machine can reach."""
    if host.lower() == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
