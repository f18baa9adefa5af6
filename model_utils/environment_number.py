"""Numbers that launchers give by the environment."""

from __future__ import annotations

from collections.abc import Mapping

from src.common.errors import UserError


def environment_number(
    environment: Mapping[str, str], name: str, default: int, least: int = 0, most: int = 1 << 20
) -> int:
    """Return a whole number of the environment, `default` where it is not set or empty.

    Raises `UserError` for anything else than a number from `least` to `most`.
    """
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UserError(f"{name} is {text!r}; give a whole number from {least} to {most}")
    return int(text)
