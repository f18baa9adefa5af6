"""Damage to files: seeded, so that the same number makes the same damage everywhere."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

#: What stands where a number should: too large for anything, negative, of other types.
_ODD_VALUES = (
    *(-1, 0, 1, 2**31, 2**62, 2**63, 10**18, 10**30, -(10**18), 1.5, 1e308, float("nan")),
    *(None, True, "", "x", "../x", "\ud800", [], {}, [[]], [1, 2], {"a": 1}, "9" * 5000),
)
_ODD_TEXTS = (
    *("9" * 5000, "-1", "1e999", "nan", "[" * 50_000, "{" * 50_000, '{"a":' * 50_000, "\0", ","),
    *('"', "\ufeff", "é", "\n", "\r", " ", "1" + "0" * 30, "../", "%s", "- " * 5000, "&a [*a]"),
)
_ODD_WORDS = (b"\0", b"\xff", b"\x7f\xff", b"\xff\x7f", b"\0\0\0\x80", b"\x80\0\0\0")


def damaged_bytes(random_: random.Random, content: bytes) -> bytes:
    """Return a file's bytes, one to four places of it flipped, overwritten, cut, or repeated."""
    data = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 4))):
        place = _place(random_, len(data))
        kind = random_.randrange(8)
        length = random_.choice((1, 2, 4, 8, 64, 1024))
        if kind == 0 and data:
            data[place % len(data)] ^= 1 << random_.randrange(8)
        elif kind == 1:
            data[place : place + length] = random_.randbytes(length)
        elif kind == 2:
            word = random_.choice(_ODD_WORDS) * random_.choice((1, 2, 4))
            data[place : place + len(word)] = word
        elif kind == 3:
            data[place:place] = random_.randbytes(length)
        elif kind == 4:
            del data[place : place + length]
        elif kind == 5:
            del data[place:]
        elif kind == 6:
            data[place:place] = data[place : place + length]
        else:
            other = _place(random_, len(data))
            data[place : place + length] = data[other : other + length]
    return bytes(data)


def damaged_text(random_: random.Random, content: bytes) -> bytes:
    """Return a text file's bytes, damaged, or with other numbers and signs than stood there."""
    if random_.random() < 0.4:
        return damaged_bytes(random_, content)
    odd = random_.choice(_ODD_TEXTS).encode()
    tokens = list(re.finditer(rb"[-\w.]+|[^\w\s]", content))
    if not tokens:
        return odd
    start, end = random_.choice(tokens).span()
    return content[:start] + odd + content[end if random_.random() < 0.7 else start :]


def damaged_json(random_: random.Random, content: bytes) -> bytes:
    """Return JSON, damaged as a text, or with members of other types, without them, or more."""
    if not content or random_.random() < 0.3:
        return damaged_text(random_, content)
    value = json.loads(content)
    for _ in range(random_.choice((1, 1, 2))):
        value = _changed(random_, value)
    return json.dumps(value).encode()


def _changed(random_: random.Random, value: Any) -> Any:
    holders: list[tuple[Any, Any]] = []
    _collect(value, holders)
    if not holders or random_.random() < 0.03:
        return random_.choice(_ODD_VALUES)
    holder, key = random_.choice(holders)
    if random_.random() < 0.2:
        del holder[key]
    else:
        holder[key] = random_.choice(_ODD_VALUES)
    return value


def _collect(value: Any, holders: list[tuple[Any, Any]]) -> None:
    if not isinstance(value, (dict, list)):
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        holders.append((value, key))
        _collect(value[key], holders)


def damaged_zip(random_: random.Random, content: bytes) -> bytes:
    """Return a zip archive, damaged, or whole with a damaged member, whose sum is right."""
    if random_.random() < 0.4:
        return damaged_bytes(random_, content)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        chosen = random_.choice(old.namelist())
        for name in old.namelist():
            member = old.read(name)
            new.writestr(name, damaged_npy(random_, member) if name == chosen else member)
        new.comment = damaged_json(random_, old.comment) if random_.random() < 0.2 else old.comment
    return made.getvalue()


def damaged_npy(random_: random.Random, content: bytes) -> bytes:
    """Return an npy file, damaged, most often in its header."""
    start = 10 + int.from_bytes(content[8:10], "little")
    kind = random_.random()
    if kind < 0.4:
        return damaged_bytes(random_, content)
    header = content[10:start]
    if kind < 0.6:
        changed = damaged_text(random_, header)
    else:
        shape = random_.choice(
            ("()", "(-1,)", "(10**12,)", "(1000000000000,)", "(3,)", "1", "(0,)")
        )
        header = re.sub(rb"\([\d, ]*\)", shape.encode(), header)
        kinds = (b"<f8", b"<c8", b"|O", b"<U9", b"<U0", b">f4", b"|V4", b"<M8[s]", b"<f2")
        changed = re.sub(rb"'[<>|]\w+'", b"'" + random_.choice(kinds) + b"'", header)
        changed = changed if random_.random() < 0.5 else header
    length = len(changed) if random_.random() < 0.8 else random_.randrange(2**16)
    return content[:8] + min(length, 65535).to_bytes(2, "little") + changed + content[start:]


def _place(random_: random.Random, length: int) -> int:
    """Return a place in a file; beginnings and ends, where its structure is, come more often."""
    kind = random_.random()
    if kind < 0.3:
        return min(length, random_.randrange(64))
    if kind < 0.5:
        return max(0, length - random_.randrange(1, 128))
    return random_.randrange(length + 1)


Damage = Callable[[random.Random, bytes], bytes]
