"""Writing MindRecord shards of landmark photos, each by one process that reads its own files."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from PIL import Image

from src.common.atomic_files import PathLike, raise_why_unwritten
from src.common.durable import to_disk
from src.common.errors import UserError, one_line
from src.photos.reading import UnreadableImageError, read_image

SCHEMA = {"file_id": {"type": "string"}, "label": {"type": "int64"}, "data": {"type": "bytes"}}
# MindRecord pads a shard to a header and two pages. These sizes make that 9 MB instead of 50.
SMALLEST_HEADER = 1 << 20
LARGEST_HEADER = 1 << 27  # of MindRecord
SMALLEST_PAGE = 1 << 22
LARGEST_PHOTO = 1 << 27

_ROWS_AT_ONCE = 64  # part of the format, since it decides how rows lie in the file
_CONVERTED_QUALITY = 95
# Bytes at most: a page and a group of rows in the header, the rest of the header, a photo's frame
# in its page, a row beside its photo.
_PAGE_IN_HEADER, _GROUP_IN_HEADER, _REST_OF_HEADER = 200, 48, 2000
_PHOTO_FRAME, _ROW = 8, 256


Row = TypeVar("Row")


class ShardTask(NamedTuple):
    """All a process needs to write one shard."""

    folder: str
    name: str
    paths: list[str]
    ids: list[str]
    labels: list[int]
    convert: list[bool]
    page_bytes: int
    header_bytes: int


def page_bytes(largest: int) -> int:
    """Return the smallest power of two that holds the largest photo comfortably."""
    page = SMALLEST_PAGE
    while page < 2 * largest:
        page *= 2
    return page


def header_bytes(shards: Iterable[Sequence[int]], page: int) -> int:
    """Return how large the headers of the shards of a data set have to be, a power of two.

    MindRecord lists every page of a shard in its header, and finds out only when it writes it,
    behind all the photos, that it is too small.

    Args:
        shards: of each shard the bytes of its photos, in their order.
        page: bytes of a page.

    Raises:
        UserError: no header is large enough.
    """
    needed = max((_header_needed(sizes, page) for sizes in shards), default=0)
    header = SMALLEST_HEADER
    while header < needed:
        header *= 2
    if header > LARGEST_HEADER:
        raise UserError(
            f"a shard would need a header of {header / 1e6:.0f} MB, of which MindRecord allows "
            f"{LARGEST_HEADER / 1e6:.0f}: give a larger --num_shards"
        )
    return header


def _header_needed(sizes: Sequence[int], page: int) -> int:
    pages, filled, groups = 1, 0, 0
    for group in _groups(sizes, int, page):
        groups += 1
        for size in group:
            if filled + size + _PHOTO_FRAME > page:
                pages, filled = pages + 1, 0
            filled += size + _PHOTO_FRAME
    pages += len(sizes) * _ROW // page + 1
    return pages * _PAGE_IN_HEADER + groups * _GROUP_IN_HEADER + _REST_OF_HEADER


def _groups(rows: Iterable[Row], size: Callable[[Row], int], page: int) -> Iterator[list[Row]]:
    """Divide the rows of a shard into those that are handed over at once: they fit in a page."""
    group: list[Row] = []
    held = 0
    for row in rows:
        if group and (len(group) == _ROWS_AT_ONCE or held + size(row) > page // 2):
            yield group
            group, held = [], 0
        group.append(row)
        held += size(row)
    if group:
        yield group


def converted_jpeg(path: PathLike) -> bytes:
    """Return a photo of any format, as it is displayed, as an RGB JPEG of quality 95."""
    buffer = io.BytesIO()
    Image.fromarray(read_image(path)).save(buffer, "JPEG", quality=_CONVERTED_QUALITY)
    return buffer.getvalue()


def write_shard(task: ShardTask) -> None:
    """Write one shard and its index in a folder of its own, then move both.

    The folder keeps the shard's name, because a MindRecord file knows what it is called. The same
    task always gives the same bytes.

    Raises:
        UserError: a photo has changed since it was checked.
        OSError: the disk is full, or may not be written to.
    """
    from mindspore.mindrecord import FileWriter

    folder = Path(task.folder, f"partial-{task.name}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / task.name
    try:
        writer = FileWriter(str(path), shard_num=1)
        writer.set_header_size(task.header_bytes)
        writer.set_page_size(task.page_bytes)
        writer.add_schema(SCHEMA, "landmark photos")
        for group in _groups(_rows(task), lambda row: len(row["data"]), task.page_bytes):
            writer.write_raw_data(group)
        writer.commit()
    except UserError:
        raise
    except Exception as error:  # MindRecord raises RuntimeError whatever the cause
        if "No free disk" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise_why_unwritten(path, task.page_bytes)
        raise
    mode = 0o666 & ~_umask()
    for name in (f"{task.name}.db", task.name):
        os.chmod(folder / name, mode)
        to_disk(folder / name)
        os.replace(folder / name, Path(task.folder, name))
    folder.rmdir()


def _rows(task: ShardTask) -> Iterator[dict[str, Any]]:
    for path, photo_id, label, convert in zip(task.paths, task.ids, task.labels, task.convert):
        yield {"file_id": photo_id, "label": label, "data": _read_again(path, convert)}


def _read_again(path: str, convert: bool) -> bytes:
    try:
        return converted_jpeg(path) if convert else Path(path).read_bytes()
    except (OSError, UnreadableImageError) as error:
        raise UserError(
            f"{path} could be read a moment ago and cannot now ({one_line(error)}); "
            "leave the photos alone while the build runs, and run it again"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
