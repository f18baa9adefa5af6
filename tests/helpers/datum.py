"""Arrays in the format of the DELF release, written out by hand."""

from __future__ import annotations

import numpy as np


def field(number: int, content: bytes) -> bytes:
    """Return a field of a protocol buffer."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def datum(array: np.ndarray) -> bytes:
    """Return a small array as a datum."""
    return field(1, field(1, bytes(array.shape))) + field(
        2, field(1, array.astype("<f4").tobytes())
    )
