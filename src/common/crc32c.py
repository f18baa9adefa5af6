"""CRC-32C (Castagnoli), the sum that TensorFlow and LevelDB keep of what they write; RFC 3720.

A checkpoint's hundred megabytes take a second: the bytes are cut into many rows that go through the
usual table together, and the sums of the rows are joined afterwards. A sum of two texts in a row is
the first one's, moved on by as many zero bits as the second has, xor the second one's; moving on is
linear, so it is a product with a matrix of bits, and twice as far is the matrix times itself.
"""

from __future__ import annotations

from functools import cache

import numpy as np

_POLYNOMIAL = 0x82F63B78  # bits reversed
_MASK_DELTA = 0xA282EAD8
_ROWS = 1 << 14
_ALL = 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the sum of some bytes."""
    table = _table()
    width = len(data) // _ROWS
    state = np.uint32(_ALL)
    if width:
        columns = np.frombuffer(data, np.uint8, _ROWS * width).reshape(_ROWS, width)
        states = np.zeros(_ROWS, np.uint32)
        states[0] = _ALL
        for column in np.ascontiguousarray(columns.T):
            states = table[(states ^ column) & 0xFF] ^ (states >> 8)
        state = _joined(states, width)
    number = int(state)
    plain = table.tolist()
    for byte in data[_ROWS * width :]:
        number = plain[(number ^ byte) & 0xFF] ^ (number >> 8)
    return number ^ _ALL


def masked(crc: int) -> int:
    """Return a sum as it is stored: turned, so that a sum of sums is not a trivial one."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _ALL


def unmasked(stored: int) -> int:
    """Return the sum that is stored as a number."""
    turned = (stored - _MASK_DELTA) & _ALL
    return ((turned >> 17) | (turned << 15)) & _ALL


@cache
def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return table


def _joined(states: np.ndarray, width: int) -> np.uint32:
    """Return the state behind all rows of `width` bytes from the states behind each by itself."""
    move = _moved_by_bytes(width)
    while len(states) > 1:
        states = _apply(move, states[::2]) ^ states[1::2]
        move = _apply(move, move)
    return states[0]


def _moved_by_bytes(count: int) -> np.ndarray:
    """Return the matrix, uint32 [32] of columns, that moves a state on by so many zero bytes."""
    table = _table()
    power = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power = table[power & 0xFF] ^ (power >> 8)  # one byte
    result = np.uint32(1) << np.arange(32, dtype=np.uint32)
    while count:
        if count & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        count >>= 1
    return result


def _apply(matrix: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return the product of a matrix of bits with each state."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    columns = np.where(states[:, None] & bits, matrix, np.uint32(0))
    return np.bitwise_xor.reduce(columns, axis=1)
