"""Writing MindRecord shards of landmark photos, each by one process that reads its own files."""

from __future__ import annotations

import errno
import io
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from src.common.atomic_files import PathLike
from src.common.durable import to_disk
from src.common.errors import UserError, one_line
from src.photos.reading import UnreadableImageError, read_image

SCHEMA = {"file_id": {"type": "string"}, "label": {"type": "int64"}, "data": {"type": "bytes"}}
# MindRecord pads a shard to a header and two pages. These sizes make that 9 MB instead of 50.
HEADER_BYTES = 1 << 20
SMALLEST_PAGE = 1 << 22
LARGEST_PHOTO = 1 << 27

_ROWS_AT_ONCE = 64  # part of the format, since it decides how rows lie in the file
_CONVERTED_QUALITY = 95


class ShardTask(NamedTuple):
    """All a process needs to write one shard."""

    folder: str
    name: str
    paths: list[str]
    ids: list[str]
    labels: list[int]
    convert: list[bool]
    page_bytes: int


def page_bytes(largest: int) -> int:
    """Return the smallest power of two that holds the largest photo comfortably."""
    page = SMALLEST_PAGE
    while page < 2 * largest:
        page *= 2
    return page


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
        OSError: the disk is full.
    """
    from mindspore.mindrecord import FileWriter

    folder = Path(task.folder, f"partial-{task.name}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / task.name
    try:
        writer = FileWriter(str(path), shard_num=1)
        writer.set_header_size(HEADER_BYTES)
        writer.set_page_size(task.page_bytes)
        writer.add_schema(SCHEMA, "landmark photos")
        rows: list[dict[str, Any]] = []
        held = 0
        for photo, photo_id, label, convert in zip(task.paths, task.ids, task.labels, task.convert):
            data = _read_again(photo, convert)
            # Rows are handed over in groups that fit in a page.
            if rows and (len(rows) == _ROWS_AT_ONCE or held + len(data) > task.page_bytes // 2):
                writer.write_raw_data(rows)
                rows, held = [], 0
            rows.append({"file_id": photo_id, "label": label, "data": data})
            held += len(data)
        writer.write_raw_data(rows)
        writer.commit()
    except UserError:
        raise
    except Exception as error:  # MindRecord raises RuntimeError whatever the cause
        no_space = "No free disk" in str(error)
        if no_space or shutil.disk_usage(task.folder).free < task.page_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    mode = 0o666 & ~_umask()
    for name in (f"{task.name}.db", task.name):
        os.chmod(folder / name, mode)
        to_disk(folder / name)
        os.replace(folder / name, Path(task.folder, name))
    folder.rmdir()


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
