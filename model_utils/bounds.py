"""What a number in the settings may be: the bounds that stand beside it in delf_config.yaml."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import yaml

from model_utils.environment import PROJECT_ROOT
from src.common.errors import EXIT_USER_ERROR, UserError, one_line

DEFAULT_CONFIG = PROJECT_ROOT / "delf_config.yaml"
#: libyaml's, ten times as fast, where PyYAML has been built with it.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Bounds:
    """The range of a number, or of each number of a list. None is no bound, but never infinity.

    Attributes:
        min, max: the least and the greatest value that may be. Bounds that are whole numbers are
            those of one.
        above, below: values that may not be reached.
        items: how many numbers a list has; None for one or more.
    """

    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
    items: int | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are inside."""
        bounds = (self.min, self.max, self.above, self.below)
        given = [bound for bound in bounds if bound is not None]
        return bool(given) and all(isinstance(bound, int) for bound in given)

    def check(self, name: str, value: Any) -> Any:
        """Return a number, or a list of numbers, that is inside, as int or as float.

        Raises:
            UserError: it is not inside, or no number.
        """
        if isinstance(value, (list, tuple)):
            if len(value) != (self.items or max(1, len(value))):
                raise UserError(
                    f"{name} is {list(value)}; it should be {self.items or 'one or more'} numbers"
                )
            return [self.check(name, one) for one in value]
        wanted = self._missed(value)
        if wanted:
            raise UserError(f"{name} is {value}; it should be {wanted}")
        return value if self.whole else float(value)

    def _missed(self, value: Any) -> str:
        """Return what a value should be and is not, "" where it is all right."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return "a whole number" if self.whole else "a number"
        if isinstance(value, float) and not math.isfinite(value):
            return "a finite number"
        if self.min is not None and value < self.min:
            return f"at least {self.min}"
        if self.above is not None and value <= self.above:
            return f"above {self.above:g}"
        if self.max is not None and value > self.max:
            return f"at most {self.max}"
        if self.below is not None and value >= self.below:
            return f"below {self.below:g}"
        return ""


@functools.cache
def setting_bounds() -> Mapping[str, Bounds]:
    """Return the bounds of the settings that have some, by their names in delf_config.yaml."""
    *_, choices = yaml.load_all(DEFAULT_CONFIG.read_text(encoding="utf-8"), YAML_LOADER)
    return {
        name: Bounds(**allowed) for name, allowed in choices.items() if isinstance(allowed, dict)
    }


def check_fields(settings: Any, names: Mapping[str, str] | None = None) -> None:
    """Check the numbers of a frozen dataclass of settings.

    Its defaults are those of delf_config.yaml, where they are checked: so importing a module that
    makes one reads no file.

    Args:
        settings: the dataclass.
        names: field → setting in delf_config.yaml, where it has another name there.

    Raises:
        UserError: a value is out of its bounds.
    """
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, (int, float, tuple)) and value != field.default:
            bounds = setting_bounds().get((names or {}).get(field.name, field.name))
            if bounds is not None:
                bounds.check(field.name, value)


def number(kind: type, option: str, setting: str = "", **tighter: float) -> Callable[[str], Any]:
    """Return what reads an option of a command line of its own: a number inside of its bounds.

    Where it is none it ends the program, as argparse does, but in one line.

    Args:
        kind: int or float.
        option: the option's name.
        setting: the setting of delf_config.yaml that has the same bounds, if not that of this name.
        tighter: bounds in place of those, see `Bounds`.
    """

    def read(text: str) -> Any:
        bounds = replace(setting_bounds().get(setting or option, Bounds()), **tighter)
        try:
            try:
                value = kind(text)
            except ValueError:
                value = text
            return bounds.check(option, value)
        except UserError as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            sys.exit(EXIT_USER_ERROR)

    return read
