"""What a small file may grow to: held against its length before any memory is asked for."""

from __future__ import annotations

#: So much is unpacked of a file of any length; of a longer one this many times its length.
_ALWAYS, _FACTOR = 256 * 2**20, 32


def check_unpacked(length: int, unpacked: int) -> None:
    """Refuse a file that says of itself that it holds far more than its bytes can be.

    Args:
        length: bytes of the file.
        unpacked: bytes of what it says that it holds.

    Raises:
        ValueError: it does.
    """
    if not 0 <= unpacked <= max(_ALWAYS, _FACTOR * length):
        raise ValueError(f"its {length} bytes would become {unpacked}")
