"""NumPy's files of arrays, held against their length before any memory is asked for.

A header may declare 10¹² rows, objects, or be no expression at all, and a small archive may unpack
to gigabytes. NumPy asks for the memory first.
"""

from __future__ import annotations

import ast
import math
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from src.common.atomic_files import PathLike
from src.common.regular_files import open_regular
from src.common.unpacked_size import check_unpacked

#: Truth values, whole and floating-point numbers, texts.
_KINDS = "biufUS"
_LONGEST_HEADER = 10_000
#: Bytes in front of a member of a zip archive, before its name; the last four are the lengths of
#: the name and of what follows it.
_MEMBER = 30
#: What NumPy, zipfile and zlib raise at content that is damaged or hostile.
_DAMAGED = (
    *(ArithmeticError, AssertionError, EOFError, LookupError, MemoryError, RecursionError),
    *(RuntimeError, SyntaxError, TypeError, zipfile.BadZipFile, zlib.error, struct.error),
)


def parse_npy(content: bytes) -> np.ndarray:
    """Return the array of an npy file.

    Raises:
        ValueError: it is damaged, or holds something else than numbers or texts.
    """
    try:
        return _parse(content)
    except _DAMAGED as error:
        raise ValueError(_reason(error)) from error


def read_npy(path: PathLike) -> np.ndarray:
    """Return the array of an npy file.

    Raises:
        OSError: it cannot be read.
        ValueError: as for `parse_npy`.
    """
    with open_regular(path) as file:
        return parse_npy(file.read())


def read_npz(file: PathLike | BinaryIO) -> dict[str, np.ndarray]:
    """Return the arrays of a file by `write_npz`, each compared with its sum in the archive.

    `np.load` compares it only when it has read an array to the end. It does not where one flipped
    bit in front of the numbers makes the array shorter, or its numbers other ones.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or something else.
    """
    if not hasattr(file, "read"):
        with open_regular(Path(file)) as opened:
            return read_npz(opened)
    length = file.seek(0, 2)
    try:
        with zipfile.ZipFile(file) as archive:
            total = sum(max(0, item.file_size) for item in archive.infolist())
            check_unpacked(length, total)
            content = {name: archive.read(name) for name in archive.namelist()}
        return {name.removesuffix(".npy"): _parse(array) for name, array in content.items()}
    except _DAMAGED as error:
        raise ValueError(_reason(error)) from error


def map_npz(path: PathLike) -> dict[str, np.ndarray]:
    """Return the arrays of a file by `write_npz` as `read_npz` does, but leave them on the disk.

    Each is compared with its sum in the archive. All processes that map a file share its pages.

    Raises:
        OSError, ValueError: as for `read_npz`, or it is compressed.
    """
    with open_regular(Path(path)) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
            whole = np.asarray(np.memmap(file, np.uint8, "r"))
            return {item.filename.removesuffix(".npy"): _mapped(whole, item) for item in members}
        except _DAMAGED as error:
            raise ValueError(_reason(error)) from error


def _mapped(whole: np.ndarray, item: zipfile.ZipInfo) -> np.ndarray:
    """Return the array of a member of an archive, uint8, that is mapped."""
    head = whole[item.header_offset : item.header_offset + _MEMBER].tobytes()
    start = item.header_offset + _MEMBER + sum(struct.unpack("<HH", head[-4:]))
    content = whole[start : start + item.file_size]
    if item.compress_type != zipfile.ZIP_STORED or len(content) < item.file_size:
        raise ValueError(f"{item.filename} is compressed or cut short")
    if zlib.crc32(content) != item.CRC:
        raise ValueError(f"{item.filename} is damaged")
    first, shape, in_columns, dtype = _declared(
        content[: _LONGEST_HEADER + 12].tobytes(), len(content)
    )
    return content[first:].view(dtype).reshape(shape, order="F" if in_columns else "C")


def _parse(content: bytes) -> np.ndarray:
    first, shape, in_columns, dtype = _declared(content, len(content))
    array = np.frombuffer(bytearray(memoryview(content)[first:]), dtype)
    return array.reshape(shape, order="F" if in_columns else "C")


def _declared(content: bytes, size: int) -> tuple[int, tuple[int, ...], bool, np.dtype]:
    """Return where the numbers of an array begin, its shape, whether in columns, and its type.

    Args:
        content: the array's file, or the beginning of it.
        size: bytes of the whole file.
    """
    version = content[6:8]
    if content[:6] != b"\x93NUMPY" or version not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it is no array of NumPy")
    start = 10 if version == b"\1\0" else 12
    (length,) = struct.unpack("<H" if start == 10 else "<I", content[8:start])
    header = content[start : start + length]
    if length > _LONGEST_HEADER or len(header) < length:
        raise ValueError("the header of its array is cut short")
    shape, in_columns, dtype = _header(header.decode("latin1"))
    first = start + length
    if math.prod(shape) * dtype.itemsize != size - first:
        raise ValueError(f"it declares {_shown(shape)} of {dtype}, and holds {size - first} bytes")
    return first, shape, in_columns, dtype


def _header(text: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    with warnings.catch_warnings():  # of escapes, in what is no header
        warnings.simplefilter("ignore")
        said = ast.literal_eval(text.strip())
    if not isinstance(said, dict) or said.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("the header of its array is damaged")
    shape, in_columns = said["shape"], said["fortran_order"]
    is_shape = isinstance(shape, tuple) and len(shape) <= 8
    if not is_shape or not all(type(side) is int and 0 <= side < 2**48 for side in shape):
        raise ValueError(f"it declares an array of shape {_shown(shape)}")
    if not isinstance(said["descr"], str) or type(in_columns) is not bool:
        raise ValueError("the header of its array is damaged")
    dtype = np.dtype(said["descr"])
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(f"it holds {dtype}, not numbers or texts")
    return shape, in_columns, dtype


def _shown(shape: object) -> str:
    return repr(shape)[:60] if not _is_huge(shape) else "numbers of too many digits"


def _is_huge(shape: object) -> bool:
    sides = shape if isinstance(shape, tuple) else (shape,)
    return any(isinstance(side, int) and abs(side) > 10**30 for side in sides)


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
