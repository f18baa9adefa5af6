"""Damaged streams and models, made of whole ones: the same for the same seed."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.message import Message

# Sides, counts and indices that something may overflow, divide by, or ask memory for.
NUMBERS = (0, 1, -1, 2, 3, 7, 8, 64, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**62, -(2**63))
FLOATS = (0.0, -1.0, 1e300, float("inf"), float("nan"))


def damaged_bytes(content: bytes, seed: int) -> bytes:
    """Return content with bytes changed, left out or put in, with numbers changed, or cut short."""
    rng = random.Random(seed)
    changed = bytearray(content)
    place = rng.randrange(len(changed))
    how = rng.randrange(5)
    if how == 0:
        for _ in range(rng.choice((1, 1, 3, 10))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    elif how == 1:
        del changed[place:]
    elif how == 2:
        del changed[place : place + rng.randrange(1, 20)]
    elif how == 3:
        changed[place:place] = rng.randbytes(rng.randrange(1, 9))
    else:
        changed[place : place + 4] = (rng.choice(NUMBERS) % 2**32).to_bytes(4, "little")
    return bytes(changed)


def damage_message(message: Any, seed: int) -> None:
    """Change a protocol buffer in place where it says something: it stays one.

    A runtime refuses most bytes that are no message; what it believes is a message that lies.
    """
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 1, 2))):
        places = _places(message)
        owner, field, index = rng.choice(places)
        if index is None or isinstance(index, int):
            texts = [value for value in map(_value, places) if isinstance(value, str)]
            _set(owner, field, index, _other(_value((owner, field, index)), texts, rng))
        else:
            _change_row(getattr(owner, field.name), field.message_type is not None, rng)


_ROW = "row"  # in the place of an index: the repeated field itself


def _places(message: Any) -> list[tuple[Any, Any, Any]]:
    """Return (message, field, index) of all that is said; None for the index of a single value."""
    found = []
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        repeated = not isinstance(value, (int, float, str, bytes, Message))
        if repeated:
            found.append((message, field, _ROW))
        for index, one in enumerate(value if repeated else [value]):
            if field.message_type is not None:
                found += _places(one)
            else:
                found.append((message, field, index if repeated else None))
    return found


def _value(place: tuple[Any, Any, Any]) -> Any:
    owner, field, index = place
    value = getattr(owner, field.name)
    return value[index] if isinstance(index, int) else value


def _set(owner: Any, field: Any, index: int | None, value: Any) -> None:
    try:
        if index is None:
            setattr(owner, field.name, value)
        else:
            getattr(owner, field.name)[index] = value
    except ValueError:  # the field is too narrow for the number
        owner.ClearField(field.name)


def _other(value: Any, texts: list[str], rng: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice(NUMBERS)
    if isinstance(value, float):
        return rng.choice(FLOATS)
    if isinstance(value, str):
        return rng.choice(("", value[:-1], value + "x", rng.choice(texts), rng.choice(texts)))
    return rng.choice((b"", value[: len(value) // 2], value * 2, rng.randbytes(len(value))))


def _change_row(row: Any, of_messages: bool, rng: random.Random) -> None:
    """Leave one out, say one twice, or let two change places."""
    how, one, other = rng.randrange(3), rng.randrange(len(row)), rng.randrange(len(row))
    if how == 0:
        del row[one]
    elif how == 1 and of_messages:
        row.add().CopyFrom(row[one])
    elif how == 1:
        row.append(row[one])
    elif of_messages:
        kept = type(row[one])()
        kept.CopyFrom(row[one])
        row[one].CopyFrom(row[other])
        row[other].CopyFrom(kept)
    else:
        row[one], row[other] = row[other], row[one]
