"""Reading pickles from outside: plain data only, nothing in the file is ever called.

A pickle is a program, and `pickle.load` runs it. Here it may build dicts, lists, tuples, strings
and numbers, and NumPy arrays and numbers of those. NumPy's own code is not called for these
either, since an array's state can name memory that is not its own: arrays come out as lists.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError, one_line
from src.common.regular_files import read_regular

#: Kind and size of the numbers and strings an array may hold.
_DTYPE = re.compile(r"[biu?][1248]?|f[248]|U\d{1,5}")
#: Ground truths of a million images stay far below this.
MAX_BYTES = 512 * 2**20


def load_plain_pickle(path: PathLike) -> Any:
    """Read a pickle that holds plain data and nothing else.

    Returns:
        dict, list, tuple, set, str, bytes, int, float, bool and None as they are; one-dimensional
        NumPy arrays as lists, NumPy numbers as Python's.

    Raises:
        UserError: the file is missing, is no pickle, is cut short, or asks for anything else.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise pickle.UnpicklingError(f"it is larger than {MAX_BYTES >> 20} MB")
        content = read_regular(path)
        check_memo(content)
        # Latin-1 keeps the bytes of strings that Python 2 wrote.
        return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except Exception as error:  # a broken or hostile pickle makes the unpickler raise anything
        reason = one_line(error)[:200]
        raise UserError(f"{path} is not a pickle of plain data ({reason}); get it again") from None


def check_memo(content: bytes | BinaryIO) -> None:
    """Refuse a pickle that numbers its objects beyond their count: each number costs memory.

    Args:
        content: the pickle, or a file that stands at its beginning.

    Raises:
        pickle.UnpicklingError or ValueError: it does, or is no pickle.
    """
    number, stop = 0, False
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > number:
            raise pickle.UnpicklingError(f"it numbers an object {argument}")
        stop = opcode.name == "STOP"
    if not stop:
        raise pickle.UnpicklingError(f"it ends after {number} steps")


class _Dtype:
    """Stands for a `numpy.dtype`; only its kind, size and byte order are taken."""

    __slots__ = ("order", "text")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or (text != "O8" and not _DTYPE.fullmatch(text)):
            raise pickle.UnpicklingError("it holds an array that is not of numbers or strings")
        self.text, self.order = text, "="

    def __setstate__(self, state: tuple) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError("the byte order of an array is unknown")
        self.order = state[1]

    def values(self, data: bytes | str | list, count: int) -> list:
        """Return `count` values out of the bytes of an array."""
        if self.text == "O8":
            if type(data) is not list or len(data) != count:
                raise pickle.UnpicklingError("an array does not hold what it says")
            return data
        if isinstance(data, str):  # from Python 2
            data = data.encode("latin1")
        dtype = np.dtype(self.text).newbyteorder(self.order)
        if len(data) != count * dtype.itemsize:
            raise pickle.UnpicklingError("an array does not hold what it says")
        return np.ndarray((count,), dtype, buffer=bytes(data)).tolist()


class _Array(list):
    """Stands for a one-dimensional `numpy.ndarray`."""

    __slots__ = ()

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, _, data = state
        self[:] = dtype.values(data, _count(shape))


def _count(shape: tuple) -> int:
    if len(shape) != 1 or type(shape[0]) is not int or shape[0] < 0:
        raise pickle.UnpicklingError("only one-dimensional arrays are read")
    return shape[0]


class _Stub:
    """What a pickle gets for a permitted name. Without attributes, so that it can change none."""

    __slots__ = ()


class _ArrayType(_Stub):
    __slots__ = ()


class _DtypeType(_Stub):
    __slots__ = ()

    def __call__(self, text: str, *_: Any) -> _Dtype:
        return _Dtype(text)


class _Reconstruct(_Stub):
    __slots__ = ()

    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _FromBuffer(_Stub):
    __slots__ = ()

    def __call__(self, data: bytes, dtype: _Dtype, shape: tuple, _: str) -> list:
        return dtype.values(data, _count(shape))


class _Scalar(_Stub):
    __slots__ = ()

    def __call__(self, dtype: _Dtype, data: bytes) -> Any:
        return dtype.values(data, 1)[0]


class _Encode(_Stub):
    """`_codecs.encode`, by which protocol 2 writes bytes."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("it asks for an encoding")
        return text.encode("latin1")


class _Bytes(_Stub):
    """`bytes()`, by which protocol 2 writes empty ones."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


_PERMITTED = {
    ("numpy", "ndarray"): _ArrayType(),
    ("numpy", "dtype"): _DtypeType(),
    ("_codecs", "encode"): _Encode(),
    ("__builtin__", "bytes"): _Bytes(),
    **{
        (f"numpy.{core}.{module}", name): stub
        for core in ("core", "_core")
        for module, name, stub in (
            ("multiarray", "_reconstruct", _Reconstruct()),
            ("multiarray", "scalar", _Scalar()),
            ("numeric", "_frombuffer", _FromBuffer()),
        )
    },
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> _Stub:
        """Return what stands for a permitted name.

        Raises:
            pickle.UnpicklingError: for every other name.
        """
        try:
            return _PERMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to objects elsewhere."""
        raise pickle.UnpicklingError("it refers to objects elsewhere")
