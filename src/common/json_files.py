"""JSON files of known shape: described once, as a dataclass, and read against it.

A field's type says what stands there: `int`, `float`, `str`, `bool`, `Any`, `X | None`,
`tuple[X, ...]`, `tuple[X, Y]`, `dict[str, X]`, another dataclass; `Count` is a number of things.
What differs is a `ValueError` that says where: "search.probes is -1, not a count". Members that a
shape does not name are left to newer versions, unless they are refused.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from typing import Annotated, Any, TypeVar

from src.common.atomic_files import PathLike
from src.common.regular_files import open_regular

Shape = TypeVar("Shape")
#: Lists of a million photos stay below a third of this.
MAX_BYTES = 512 * 2**20
#: What sizes, times in nanoseconds and ids fit in; NumPy takes no larger ones.
_LARGEST = 2**63 - 1
#: A whole number that is not negative.
Count = Annotated[int, "a count"]


def read_json(path: PathLike) -> Any:
    """Return what a JSON file (UTF-8) holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or too large, too deep, or with numbers nobody writes.
    """
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 1)
    return parse_json(content)


def parse_json(content: bytes | str) -> Any:
    """Return what a JSON text holds.

    Raises:
        ValueError: it is no JSON, or too large, too deep, or with numbers nobody writes.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MB")
    if isinstance(content, bytes):
        content = content.decode("utf-8")
    try:
        return json.loads(content, parse_int=_integer)
    except RecursionError:
        raise ValueError("its lists are nested too deep") from None


def read_shape(path: PathLike, shape: type[Shape]) -> Shape:
    """Return what a JSON file holds as the dataclass that describes it.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds something else.
    """
    return shaped(read_json(path), shape)


def shaped(value: Any, shape: Any, where: str = "", strict: bool = False) -> Any:
    """Return a JSON value as what a type says it is.

    Args:
        value: as JSON gives it.
        shape: a type, see the module.
        where: its place in the file, for the message; "": the whole file.
        strict: refuse members that a dataclass does not name.

    Raises:
        ValueError: it is something else.
    """
    if shape is Any:
        return value
    if dataclasses.is_dataclass(shape):
        return _object(value, shape, where, strict)
    if shape is Count:
        number = shaped(value, int, where)
        return number if number >= 0 else _refuse(value, where, "a count")
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return shaped(value, kind, where, strict)
    if origin is tuple:
        return _items(value, arguments, where, strict)
    if origin is dict:
        if not isinstance(value, dict):
            _refuse(value, where, "an object")
        kind = arguments[1]
        return {k: shaped(v, kind, _member(where, k), strict) for k, v in value.items()}
    return _plain(value, shape, where)


def _plain(value: Any, shape: type, where: str) -> Any:
    if shape is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if type(value) is not shape or (shape is float and not math.isfinite(value)):
        words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        _refuse(value, where, words.get(shape, shape.__name__))
    return value


def _items(value: Any, kinds: tuple[Any, ...], where: str, strict: bool) -> tuple[Any, ...]:
    if not isinstance(value, list):
        _refuse(value, where, "a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        _refuse(value, where, f"a list of {len(kinds)}")
    return tuple(
        shaped(item, kind, f"{where}[{number}]", strict)
        for number, (item, kind) in enumerate(zip(value, kinds))
    )


def _object(value: Any, shape: type, where: str, strict: bool) -> Any:
    if not isinstance(value, dict):
        _refuse(value, where, "an object")
    members, needed = _members(shape)
    missing = sorted(needed - value.keys())
    if missing:
        raise ValueError(f"{where or 'it'} lacks {', '.join(missing)}")
    unknown = sorted(value.keys() - members.keys())
    if strict and unknown:
        raise ValueError(f"{where or 'it'} holds an unknown {unknown[0][:40]!r}")
    return shape(
        **{
            name: shaped(value[name], kind, _member(where, name), strict)
            for name, kind in members.items()
            if name in value
        }
    )


@functools.cache
def _members(shape: type) -> tuple[dict[str, Any], set[str]]:
    """Return the types of a dataclass's fields by name, and the names of those without default."""
    kinds = typing.get_type_hints(shape, include_extras=True)
    fields = [one for one in dataclasses.fields(shape) if one.init]
    needed = {
        one.name
        for one in fields
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    }
    return {one.name: kinds[one.name] for one in fields}, needed


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > _LARGEST:
        raise ValueError(f"the number {text[:12]}… is too large")
    return int(text)


def _member(where: str, name: str) -> str:
    name = name[:40]
    return f"{where}.{name}" if where else name


def _refuse(value: Any, where: str, wanted: str) -> typing.NoReturn:
    shown = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else ""
    shown = shown or json.dumps(value, ensure_ascii=False)[:40]
    raise ValueError(f"{where or 'it'} is {shown}, not {wanted}")
