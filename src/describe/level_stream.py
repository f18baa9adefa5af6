"""What goes to the inference program (ascend310_infer) and what comes back: two streams of frames.

Numbers are uint32, little-endian; a text is its length and UTF-8 bytes.

To the program: `DELFLV01`, then for each photo `P`, name, context, number of levels, and for each
level height, width and the pixels, uint8 [height, width, 3] RGB. `N`, name, context is a note that
the program passes on. `E` ends the stream.

From the program: `DELFMP02`, then for each photo `P`, name, context, number of levels, and for each
level channels, height, width, features float32 [channels, height, width], scores float32
[height, width], and the length of the vector that the model makes of the level (0 where it makes
none, or made one of more than the level) and that vector, float32.
Notes as they were, `E` at the end.

The context is JSON that only the two ends read. A stream without its `E` is one that broke.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from src.extract_utils_np import LevelOutput

INPUT_MAGIC = b"DELFLV01"
OUTPUT_MAGIC = b"DELFMP02"
PHOTO, NOTE, END = b"P", b"N", b"E"


class BrokenStreamError(Exception):
    """A stream that ended before its end mark, or that holds something else."""


@dataclass(frozen=True)
class ResultFrame:
    """One frame from the program.

    Attributes:
        name: of the photo.
        context: what was sent along with it.
        outputs: one for each level; None for a note.
    """

    name: str
    context: dict[str, Any]
    outputs: list[LevelOutput] | None


class LevelWriter:
    """Writes what goes to the program."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        stream.write(INPUT_MAGIC)

    def photo(self, name: str, context: dict[str, Any], levels: Iterable[np.ndarray]) -> None:
        """Write a photo; levels are uint8 [h, w, 3]."""
        levels = list(levels)
        self._stream.write(PHOTO + _text(name) + _text(json.dumps(context)) + _number(len(levels)))
        for level in levels:
            self._stream.write(_number(level.shape[0]) + _number(level.shape[1]))
            self._stream.write(np.ascontiguousarray(level, np.uint8).data)
        self._stream.flush()

    def note(self, name: str, context: dict[str, Any]) -> None:
        """Write a note about a photo of which there are no levels."""
        self._stream.write(NOTE + _text(name) + _text(json.dumps(context)))
        self._stream.flush()

    def end(self) -> None:
        """Write the end mark."""
        self._stream.write(END)
        self._stream.flush()


def read_results(stream: BinaryIO) -> Iterator[ResultFrame | None]:
    """Yield None when the program is ready, then its frames up to the end mark.

    Raises:
        BrokenStreamError: the stream is something else, or ended before its end mark.
    """
    if _read(stream, len(OUTPUT_MAGIC)) != OUTPUT_MAGIC:
        raise BrokenStreamError("what comes from the program is not a stream of results")
    yield None
    while True:
        kind = _read(stream, 1)
        if kind == END:
            return
        if kind not in (PHOTO, NOTE):
            raise BrokenStreamError(f"the program sent a frame of an unknown kind, {kind!r}")
        name = _read(stream, _read_number(stream)).decode()
        context = json.loads(_read(stream, _read_number(stream)))
        outputs = None
        if kind == PHOTO:
            outputs = [_read_output(stream) for _ in range(_read_number(stream))]
        yield ResultFrame(name, context, outputs)


def _read_output(stream: BinaryIO) -> LevelOutput:
    channels, height, width = (_read_number(stream) for _ in range(3))
    features = np.empty((channels, height, width), "<f4")
    scores = np.empty((height, width), "<f4")
    for array in (features, scores):
        _read_into(stream, array)
    pooled = np.empty(_read_number(stream), "<f4")
    _read_into(stream, pooled)
    return LevelOutput(features.transpose(1, 2, 0), scores, pooled=pooled if len(pooled) else None)


def _read_into(stream: BinaryIO, array: np.ndarray) -> None:
    target = memoryview(array.reshape(-1).view(np.uint8))
    while target:
        count = stream.readinto(target)
        if not count:
            raise BrokenStreamError("the stream of results ended before its end mark")
        target = target[count:]


def _read(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise BrokenStreamError("the stream of results ended before its end mark")
    return content


def _read_number(stream: BinaryIO) -> int:
    return int.from_bytes(_read(stream, 4), "little")


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _text(text: str) -> bytes:
    content = text.encode()
    return _number(len(content)) + content
