"""PyTorch's files (`.pth`, `.pt`) and `.safetensors`, read without running what is in them.

A `.pth` file is a pickle, which is a program; here everything it asks for is replaced by things
that do nothing but remember, so that only names, shapes and places of tensors come out of it. Since
PyTorch 1.6 the file is a zip archive of the pickle and of one member for each storage; before, a
row of pickles with the storages behind them.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.common.errors import UserError, one_line, raise_if_of_system
from src.common.regular_files import open_regular, read_regular
from src.common.restricted_pickle import check_memo

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_HEAD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # that number, pickled
_LEGACY_VERSION = 1001
#: Class of a storage → type of its numbers; bfloat16 is the upper half of a float32.
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFE_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def read_torch(path: str | Path) -> Any:
    """Return what a PyTorch file holds: dicts, lists and numbers as they are, tensors as arrays.

    Anything else in it, an optimiser's class say, is an object without content.

    Raises:
        UserError: it is missing, damaged, or no such file.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            is_zip = zipfile.is_zipfile(file)
        if is_zip:
            return _read_zip(path)
        return _read_legacy(read_regular(path))
    except OSError as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read {path}: {error.strerror or one_line(error)}") from None
    except Exception as error:  # a broken or hostile pickle makes the unpickler raise anything
        reason = one_line(error)[:200]
        raise UserError(f"{path} is damaged or no PyTorch file ({reason}); get it again") from None


def is_torch(path: str | Path) -> bool:
    """Tell whether a file looks like one of PyTorch's."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            return any(_is_program(name) for name in file.namelist())
    with open(path, "rb") as file:
        return file.read(len(_LEGACY_HEAD)) == _LEGACY_HEAD


def is_safetensors(path: str | Path) -> bool:
    """Tell whether a file looks like one of safetensors."""
    with open(path, "rb") as file:
        head = file.read(9)
        return len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 1e8


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Return the tensors of a `.safetensors` file: a length, JSON that says what is where, bytes.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        data = read_regular(path)
        start = 8 + int.from_bytes(data[:8], "little")
        tensors = {}
        for name, about in json.loads(data[8:start]).items():
            if name == "__metadata__":
                continue
            first, last = about["data_offsets"]
            content = data[start + first : start + last]
            tensors[name] = _array(content, _SAFE_TYPES[about["dtype"]], tuple(about["shape"]))
        return tensors
    except OSError as error:
        raise_if_of_system(error, path)
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = one_line(error)[:200]
        raise UserError(f"{path} is damaged or no safetensors file ({reason})") from None


def _numbers(content: bytes, kind: str) -> np.ndarray:
    """Return the numbers that some bytes are."""
    if kind == "bfloat16":
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(content, kind)


def _array(content: bytes, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array that some bytes are; `ValueError` where they do not fit the shape."""
    numbers = _numbers(content, kind)
    if numbers.size != math.prod(shape):
        raise ValueError(f"{numbers.size} numbers do not fill the shape {shape}")
    return numbers.reshape(shape)


class _Storage(NamedTuple):
    kind: str
    key: str


class _Tensor(NamedTuple):
    """A tensor of which the numbers have not been read."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Inert:
    """Stands for whatever a pickle asks for. It takes everything and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return self

    def __setstate__(self, state: Any) -> None:
        """Take a state, and forget it."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take an item, and forget it."""

    def append(self, item: Any) -> None:
        """Take an item, and forget it."""

    def extend(self, items: Any) -> None:
        """Take items, and forget them."""

    add = append


class _Dict(dict):
    """Stands for `OrderedDict`, whose state (`_metadata`) is forgotten."""

    def __setstate__(self, state: Any) -> None:
        """Take a state, and forget it."""


def _rebuilt(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    """Stand for `torch._utils._rebuild_tensor_v2`."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise pickle.UnpicklingError("it holds a tensor without a storage")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise pickle.UnpicklingError("it holds a tensor of an impossible shape")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: Any, *_: Any) -> Any:
    """Stand for `torch._utils._rebuild_parameter`."""
    return tensor


class _Unpickler(pickle.Unpickler):
    kinds: dict[str, str]  # of the storages that it has met, by key

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; nothing is ever imported."""
        if (module, name) == ("collections", "OrderedDict"):
            return _Dict
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _rebuilt
        if module == "torch._utils" and name.startswith("_rebuild_parameter"):
            return _parameter
        if module in ("torch", "torch.cuda") and name in _STORAGES:
            return name
        return _Inert

    def persistent_load(self, pid: Any) -> _Storage:
        """Return a storage by what the pickle says of it."""
        if not isinstance(pid, tuple) or len(pid) < 4 or pid[0] != "storage":
            raise pickle.UnpicklingError("it refers to something that is no storage")
        kind = _STORAGES.get(pid[1]) if isinstance(pid[1], str) else None
        if kind is None:
            raise pickle.UnpicklingError("it holds numbers of an unknown type")
        key = str(pid[2])
        if self.kinds.setdefault(key, kind) != kind:
            raise pickle.UnpicklingError("it holds a storage of two types")
        return _Storage(kind, key)


def _load(file: io.BytesIO, kinds: dict[str, str] | None = None) -> Any:
    """Read the pickle that a file stands at; `kinds` receives the types of its storages."""
    start = file.tell()
    check_memo(file)
    file.seek(start)
    unpickler = _Unpickler(file, encoding="latin1")
    unpickler.kinds = {} if kinds is None else kinds
    return unpickler.load()


def _is_program(name: str) -> bool:
    return name == "data.pkl" or name.endswith("/data.pkl")


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as file:
        programs = [name for name in file.namelist() if _is_program(name)]
        if len(programs) != 1:
            raise ValueError(f"a zip archive with {len(programs)} data.pkl")
        root = programs[0][: -len("data.pkl")]
        order = f"{root}byteorder"
        if order in file.namelist() and file.read(order) != b"little":
            raise ValueError("written by a machine of the other byte order")
        kinds: dict[str, str] = {}
        content = _load(io.BytesIO(file.read(programs[0])), kinds)
        storages = {
            key: _numbers(file.read(f"{root}data/{key}"), kind) for key, kind in kinds.items()
        }
    return _filled(content, storages)


def _read_legacy(data: bytes) -> Any:
    """Read a file of PyTorch before 1.6.

    Pickles of a number, of the version, of the machine, of the content and of the storages' keys;
    behind them each storage's length, int64, and bytes.
    """
    if not data.startswith(_LEGACY_HEAD):
        raise ValueError("it begins as none")
    file = io.BytesIO(data)
    if _load(file) != _LEGACY_MAGIC or _load(file) != _LEGACY_VERSION:
        raise ValueError("of an unknown version")
    machine = _load(file)
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        raise ValueError("written by a machine of the other byte order")
    kinds: dict[str, str] = {}
    content = _load(file, kinds)
    storages = {}
    for key in _load(file):
        kind = kinds[str(key)]
        count = int.from_bytes(file.read(8), "little")
        size = 2 if kind == "bfloat16" else np.dtype(kind).itemsize
        if count * size > len(data) - file.tell():
            raise ValueError("it is cut short")
        storages[str(key)] = _numbers(file.read(count * size), kind)
    return _filled(content, storages)


def _filled(content: Any, storages: dict[str, np.ndarray]) -> Any:
    """Return what a pickle holds with the numbers of its tensors."""
    if isinstance(content, _Tensor):
        return _strided(content, storages[content.storage.key])
    if isinstance(content, dict):
        return {key: _filled(value, storages) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_filled(value, storages) for value in content]
    return content


def _strided(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    """Return a tensor out of its storage; `ValueError` where it is not in there."""
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, numbers.dtype)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides))
    if last >= numbers.size:
        raise ValueError("a tensor reaches out of its storage")
    strides = [step * numbers.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
    return view.copy()
