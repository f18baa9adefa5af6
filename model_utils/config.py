"""Reading the configuration: delf_config.yaml, and what the command line changes of it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from model_utils.bounds import DEFAULT_CONFIG, YAML_LOADER, Bounds
from model_utils.environment import IS_INSTALLED, PROJECT_ROOT, kept_root
from src.common.errors import UserError, one_line
from src.common.regular_files import open_regular

# Of a configuration: bytes, lists within lists, and references, which multiply where they are.
_LARGEST, _DEEPEST, _MOST_ALIASES = 2**20, 10, 20
_SETTING = re.compile(r"--(\w+)=.*", re.DOTALL)


class Config(SimpleNamespace):
    """The settings by name; see delf_config.yaml for what each means."""


def divided(arguments: Sequence[str], own: Collection[str]) -> tuple[list[str], list[str]]:
    """Divide a command line: what a program takes itself, and settings (--name=value).

    Args:
        arguments: of the command line; behind "--" nothing is a setting, whatever it looks like.
        own: names of the program's own options.

    >>> divided(["a.jpg", "--output=b.jpg", "--work_path=my work", "--", "--c=.jpg"], ["output"])
    (['a.jpg', '--output=b.jpg', '--', '--c=.jpg'], ['--work_path=my work'])
    """
    given = list(arguments)
    behind = given.index("--") if "--" in given else len(given)
    taken, settings = [], []
    for argument in given[:behind]:
        found = _SETTING.fullmatch(argument)
        (taken if found is None or found[1] in own else settings).append(argument)
    return [*taken, *given[behind:]], settings


def load_config(
    arguments: Sequence[str] | None = None, description: str = "", config_path: str | None = None
) -> Config:
    """Return the settings of a program: the YAML's values, overridden by `--name=value`.

    Args:
        arguments: the command line, by default this program's.
        description: first line of the help text.
        config_path: another YAML; `--config_path` names one on the command line.

    Raises:
        UserError: the YAML is missing, is malformed or names a setting nobody knows; a value has
            the wrong type, is none of the choices or out of its bounds. argparse itself ends the
            program (exit code 2) for an unknown option.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config_path", default=config_path or str(DEFAULT_CONFIG))
    path = Path(finder.parse_known_args(arguments)[0].config_path)
    values, helps, choices, own = _read_documents(path)

    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--config_path", help="another delf_config.yaml")
    for name, value in values.items():
        text = f"{helps.get(name, '')} (default: {value!r})".replace("%", "%%")
        parser.add_argument(f"--{name}", help=text, metavar="VALUE")
    given = vars(parser.parse_args(arguments))

    settings = {}
    for name, default in values.items():
        text = given[name]
        value = default if text is None else parse_value(name, text, default)
        allowed = choices.get(name)
        if allowed == "path":
            file = path if name in own else DEFAULT_CONFIG
            base = file.resolve().parent if text is None else Path.cwd()
            if IS_INSTALLED and base.is_relative_to(PROJECT_ROOT):
                value = _outside(value)
            value = str(base / value) if value else ""
        elif isinstance(allowed, dict):
            value = Bounds(**allowed).check(name, value)
        elif allowed is not None and value not in allowed:
            raise UserError(f"{name} is {value!r}; choose from {', '.join(map(str, allowed))}")
        settings[name] = value
    return Config(**settings)


def _outside(value: str) -> str:
    """Return where a path of our own files points for an installed package, whose folder is code.

    "../" there is the project's folder, which stands for the user's cache; what is beside the file
    is where the person is.
    """
    if not value:
        return ""
    path = Path(value)
    return str(kept_root() / path.relative_to("..") if path.parts[0] == ".." else Path.cwd() / path)


def parse_value(name: str, text: str, default: Any) -> Any:
    """Read the text of an option as a value of the default's type.

    >>> parse_value("need_summary", "False", True)
    False
    >>> parse_value("export_shape", "1,3,480,640", [7])
    [1, 3, 480, 640]
    """
    if isinstance(default, str):
        return text
    if isinstance(default, list):
        items = text.strip("[]").replace(",", " ").split()
        return [parse_value(name, item, default[0]) for item in items]
    if isinstance(default, bool):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise UserError(f"{name} is {text!r}; give True or False")
        return words[text.lower()]
    try:
        return type(default)(text)
    except ValueError:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise UserError(f"{name} is {text!r}; give {kind}") from None


def _read_documents(
    path: Path,
) -> tuple[dict[str, Any], dict[str, str], dict[str, Any], set[str]]:
    """Return values, help texts, choices, and the names of the values that this file sets.

    Types and names are checked against our own file.
    """
    documents = _parse(path)
    if path.resolve() == DEFAULT_CONFIG.resolve():
        return *documents, set(documents[0])
    # A person's own copy may hold a few of the settings only: the others keep our values.
    values, helps, choices = _parse(DEFAULT_CONFIG)
    for name, value in documents[0].items():
        if name not in values:
            raise UserError(f"{path} sets {name}, which is no setting; see {DEFAULT_CONFIG.name}")
        values[name] = _checked(path, name, value, values[name])
    return values, helps, choices, set(documents[0])


def _checked(path: Path, name: str, value: Any, default: Any) -> Any:
    if isinstance(default, list):
        if not isinstance(value, list):
            raise UserError(f"{path}: {name} is {value!r}, but should look like {default!r}")
        return [_checked(path, name, item, default[0]) for item in value]
    wanted = (int, float) if isinstance(default, float) else type(default)
    is_bool_where_none_fits = isinstance(value, bool) != isinstance(default, bool)
    if not isinstance(value, wanted) or is_bool_where_none_fits:
        raise UserError(f"{path}: {name} is {value!r}, but should look like {default!r}")
    return float(value) if isinstance(default, float) else value


def _documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file.

    Raises:
        OSError: it cannot be read.
        ValueError, RecursionError or yaml.YAMLError: it is no YAML, or none that people write.
    """
    with open_regular(path) as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST >> 10} KB")
    text = content.decode("utf-8")
    depth = aliases = 0
    # libyaml builds what is nested by calling itself, and crashes where that is too deep.
    for event in yaml.parse(text, YAML_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        depth -= isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > _DEEPEST or aliases > _MOST_ALIASES:
            raise ValueError(f"line {event.start_mark.line + 1} is nested too deep")
    return list(yaml.load_all(text, YAML_LOADER))


def _parse(path: Path) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"configuration {path} does not exist")
    try:
        documents = _documents(path)
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise UserError(f"configuration {path} is not valid YAML: {one_line(error)}") from error
    documents += [{}] * (3 - len(documents))
    if len(documents) > 3 or not all(isinstance(document or {}, dict) for document in documents):
        raise UserError(f"configuration {path} should hold names with values, in three documents")
    values, helps, choices = (document or {} for document in documents)
    return values, helps, choices
