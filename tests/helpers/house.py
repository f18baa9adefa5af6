"""The house: its rooms, doors and words, and a tree of files read as such.

This is the only list of them; the rules that hold for them are in `house_rules`.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

# In the order of the floors: a room imports only rooms before it. `sample_world` is a package of
# its own at the top, but stands as low as a room.
ROOMS = (
    "common", "sample_world", "photos", "shards", "network", "training", "describe", "downloads",
    "index", "ranking", "exchange", "pages", "evaluation", "photo_search", "serve",
)  # fmt: skip
OUTSIDE_SRC = ("sample_world",)
STRANGERS = (("training", "describe"),)
DOORS = (
    "build_image_dataset", "extract_feature", "preprocess", "build_feature_dataset",
    "perform_retrieval", "match_images", "convert_h5_to_weight",
)  # fmt: skip
WORDS = (
    "delf_config", "delf_model", "data_augmentation_parallel", "dataset", "feature_io",
    "extract_utils_np", "box_list_np", "box_list_ops_np", "postprocess",
)  # fmt: skip
ENTRY_POINTS = ("train", "eval", "export", "mindspore_hub_conf")

FOLDERS = ("delf", "src", "model_utils", "sample_world", "scripts", "tests", "benchmarks")
# Folders of tests that mirror something else than a room.
OTHER_TESTS = (
    "delf",
    "words",
    "model_utils",
    "benchmarks",
    "scripts",
    "ascend310_infer",
    "helpers",
)
TESTS_OF_THE_TREE = ("conftest", "test_house")

FILE_LINES = 400
FUNCTION_LINES = 60
DOOR_LINES = 120
# "path::function" -> why it cannot be told in steps.
LONG_FUNCTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Import:
    """An import of something of ours: the file and line it stands in, and the dotted name."""

    file: str
    line: int
    target: str

    @property
    def where(self) -> str:
        """The place, as an editor finds it."""
        return f"{self.file}:{self.line}"


class House:
    """A tree of Python files, each read once; paths are relative to its root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """The text of every file that the rules are about."""
        found = [*self.root.glob("*.py")]
        for folder in FOLDERS:
            found += (self.root / folder).rglob("*.py")
        return {
            path.relative_to(self.root).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(found)
        }

    @functools.cached_property
    def trees(self) -> dict[str, ast.Module]:
        """The syntax tree of every file."""
        return {file: ast.parse(text, file) for file, text in self.files.items()}

    @functools.cached_property
    def imports(self) -> list[Import]:
        """All imports of ours, those inside of functions too."""
        return [
            Import(file, line, target)
            for file, tree in self.trees.items()
            for line, target in _targets(file, tree)
            if target.split(".")[0] in (*FOLDERS, *ENTRY_POINTS)
        ]

    def folders(self, package: str) -> list[str]:
        """Return the folders below a package that hold Python, the package itself too."""
        return sorted({_parent(file) for file in self.files if file.startswith(f"{package}/")})


def _parent(file: str) -> str:
    return file.rsplit("/", 1)[0]


def _targets(file: str, tree: ast.Module) -> list[tuple[int, str]]:
    """Return (line, dotted name) of what a file imports, by statement or by a literal name."""
    found = []
    package = _parent(file).split("/") if "/" in file else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # Of a whole package (from src import ranking) the names matter, else the module.
            names = [module] if "." in module else [f"{module}.{a.name}" for a in node.names]
            found += [(node.lineno, name) for name in names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.append((node.lineno, node.args[0].value))
    return found


def room_of(name: str) -> str | None:
    """Return the room that a file or a dotted name belongs to."""
    parts = parts_of(name)
    if parts[0] in OUTSIDE_SRC:
        return parts[0]
    return parts[1] if parts[0] == "src" and len(parts) > 1 and parts[1] in ROOMS else None


def _single(name: str, names: tuple[str, ...]) -> str | None:
    """Return which of the modules directly in src a file or a dotted name is."""
    parts = parts_of(name)
    return parts[1] if parts[0] == "src" and len(parts) > 1 and parts[1] in names else None


def word_of(name: str) -> str | None:
    """Return which word a file or a dotted name is."""
    return _single(name, WORDS)


def door_of(name: str) -> str | None:
    """Return which door a file or a dotted name is."""
    return _single(name, DOORS)


def parts_of(name: str) -> list[str]:
    """Return the steps of a file's path, without its ending, or of a dotted name."""
    return name[:-3].split("/") if name.endswith(".py") else name.split(".")


def floor(room: str) -> int:
    """Return how many rooms stand before this one."""
    return ROOMS.index(room)
