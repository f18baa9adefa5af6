"""The rules of the house, each a function from a tree to the sentences about what breaks it.

A sentence says where, what is wrong, why, and what to do; none means that all is well.
"""

from __future__ import annotations

import ast
import sys

from tests.helpers.house import (
    DOOR_LINES,
    DOORS,
    ENTRY_POINTS,
    FILE_LINES,
    FUNCTION_LINES,
    LONG_FUNCTIONS,
    OTHER_TESTS,
    OUTSIDE_SRC,
    ROOMS,
    STRANGERS,
    TESTS_OF_THE_TREE,
    WORDS,
    House,
    door_of,
    floor,
    parts_of,
    room_of,
    word_of,
)

# -- imports ---------------------------------------------------------------------------------------


def rooms_reach_down(house: House) -> list[str]:
    """A room imports only rooms before it, and words."""
    wrong = []
    for found in house.imports:
        room, other = room_of(found.file), room_of(found.target)
        if room and other and floor(other) > floor(room):
            wrong.append(
                f"{found.where} imports {found.target}: {room} stands before {other}, and a room "
                "imports only rooms before it, so that nothing is read backwards. Move what both "
                f"need into {room} or an earlier room, or what needs {other} into a later one."
            )
    return wrong


def words_stand_low(house: House) -> list[str]:
    """A word imports words, and rooms that stand before the first room that speaks it."""
    wrong = []
    speakers = _speakers(house)
    for found in house.imports:
        word, other = word_of(found.file), room_of(found.target)
        if not word or not other or not speakers[word]:
            continue
        first = min(speakers[word], key=floor)
        if floor(other) >= floor(first):
            wrong.append(
                f"{found.where} imports {found.target}, but {first} already speaks {word}: a word "
                "imports words, and rooms before the first room that speaks it. Move what needs "
                f"{other} out of the word into that room, or what the word needs before {first}."
            )
    return wrong


def _speakers(house: House) -> dict[str, set[str]]:
    """Return the rooms that import each word, be it by another word."""
    speakers: dict[str, set[str]] = {word: set() for word in WORDS}
    by_word: dict[str, set[str]] = {word: set() for word in WORDS}
    for found in house.imports:
        word = word_of(found.target)
        if word and room_of(found.file):
            speakers[word].add(room_of(found.file))
        if word and word_of(found.file):
            by_word[word].add(word_of(found.file))
    for _ in WORDS:  # as long as the longest chain of words may be
        for word, others in by_word.items():
            speakers[word] = speakers[word].union(*(speakers[other] for other in others))
    return speakers


def strangers_stay_apart(house: House) -> list[str]:
    """Training and description do not know each other, nor through a word."""
    wrong = []
    speakers = _speakers(house)
    for pair in STRANGERS:
        for found in house.imports:
            other = room_of(found.target)
            word = word_of(found.file)
            rooms = speakers[word] if word else {room_of(found.file)}
            if other in pair and rooms & (set(pair) - {other}):
                wrong.append(
                    f"{found.where} imports {found.target}: {pair[0]} and {pair[1]} do not know "
                    "each other, so that either can be changed alone. Move what both need into a "
                    "room before them."
                )
    return wrong


def doors_stay_shut(house: House) -> list[str]:
    """Nothing imports a door or an entry point, but the test of that door."""
    wrong = []
    for found in house.imports:
        parts = found.target.split(".")
        door = door_of(found.target) or (parts[0] if parts[0] in ENTRY_POINTS else None)
        if door and found.file.rsplit("/", 1)[-1] != f"test_{door}.py":
            wrong.append(
                f"{found.where} imports {found.target}: {door} is a door, a command line that "
                "calls a room, and nobody imports a door (but tests/.../"
                f"test_{door}.py). Import the function of the room that it calls; what others "
                "need of the door belongs in that room."
            )
    return wrong


def neighbours_keep_to_common(house: House) -> list[str]:
    """What `common`, `sample_world`, `model_utils` and `src` may import of ours."""
    wrong = []
    for found in house.imports:
        source = parts_of(found.file)[0]
        if source not in ("src", "sample_world", "model_utils"):
            continue
        allowed = _allowed(found.file)
        target = found.target
        if not any(target == name or target.startswith(f"{name}.") for name in allowed):
            wrong.append(
                f"{found.where} imports {target}: {room_of(found.file) or source} may import of "
                f"ours only {', '.join(allowed)}. Move what it needs there, or hand it over as an "
                "argument."
            )
    return wrong


def _allowed(file: str) -> tuple[str, ...]:
    """Return the packages of ours that a file of src, sample_world or model_utils may import."""
    if file.startswith("src/common/"):
        return ("src.common",)
    if file.startswith("sample_world/"):
        return ("sample_world", "src.common", "model_utils.environment")
    if file.startswith("model_utils/"):
        return ("model_utils", "src.common")
    return ("src", "sample_world", "model_utils")


# -- places and names ------------------------------------------------------------------------------


def src_holds_only_the_seed(house: House) -> list[str]:
    """The seed's sixteen files are the only modules directly in src, and its folders are rooms."""
    wrong = []
    for file in house.files:
        parts = parts_of(file)
        if parts[0] != "src" or parts[1] == "__init__":
            continue
        if len(parts) == 2 and parts[1] not in (*DOORS, *WORDS):
            wrong.append(
                f"{file} stands directly in src, where only the doors and words of the seed do: "
                "move it into the room whose question it answers."
            )
    known = [f"src/{room}" for room in ROOMS if room not in OUTSIDE_SRC]
    for folder in house.folders("src"):
        if folder.count("/") == 1 and folder not in known:
            wrong.append(
                f"{folder}/ is no room: move its files into one, or give the new room its floor in "
                "ROOMS (tests/helpers/house.py) and in docs/architecture.md."
            )
    return wrong


def names_say_what_is_inside(house: House) -> list[str]:
    """No room and no file of a room is called like a module of Python or repeats its room."""
    wrong = []
    standard = sys.stdlib_module_names
    for package in ("src", "model_utils", "sample_world"):
        folders = house.folders(package)
        wrong += [
            f"{folder}/ is called like the standard library's module {folder.rsplit('/', 1)[-1]}: "
            "whoever reads an import must not wonder which is meant. Give it the field's word."
            for folder in folders
            if folder.rsplit("/", 1)[-1] in standard
        ]
    for file in house.files:
        if room_of(file) is None and not file.startswith("model_utils/"):
            continue
        stem, folder = parts_of(file)[-1], parts_of(file)[-2]
        if stem in standard:
            wrong.append(
                f"{file} is called like the standard library's module {stem}: whoever reads an "
                "import must not wonder which is meant. Say what is inside by another word."
            )
        if _repeats(stem, folder):
            wrong.append(
                f"{file} repeats the name of its room: {folder} is said already, so say only what "
                f"this file adds (index/lists.py, not index/index_lists.py)."
            )
    return wrong


def _repeats(stem: str, folder: str) -> bool:
    """Say whether a file's name holds that of its folder, in the plural or the singular."""
    name = f"_{stem}_"
    return any(f"_{said}_" in name for said in {folder, folder.rstrip("s"), f"{folder}s"})


def rooms_say_what_they_are(house: House) -> list[str]:
    """Every room, and every folder in one, has a docstring in its `__init__.py`."""
    wrong = []
    for package in ("src", "model_utils", "sample_world"):
        for folder in house.folders(package):
            tree = house.trees.get(f"{folder}/__init__.py")
            if tree is None or not ast.get_docstring(tree):
                wrong.append(
                    f"{folder}/__init__.py has no docstring: say in a line what is found there, "
                    "for whoever looks for the right room."
                )
    return wrong


def tests_mirror_the_rooms(house: House) -> list[str]:
    """Tests lie in folders that are called as the rooms are."""
    wrong = []
    for file in house.files:
        parts = parts_of(file)
        if parts[0] != "tests" or parts[-1] == "__init__":
            continue
        if len(parts) == 2:
            if parts[1] not in TESTS_OF_THE_TREE:
                wrong.append(
                    f"{file} stands directly in tests: move it into the folder of the room it "
                    "tests, tests/words for a word, tests/helpers for what tests share."
                )
            continue
        room, inner = parts[1], parts[2:-1]
        if room not in (*ROOMS, *OTHER_TESTS):
            wrong.append(
                f"{file}: tests/{room} mirrors no room. Call the folder as the room it tests "
                f"({', '.join(ROOMS)}) or as one of {', '.join(OTHER_TESTS)}."
            )
        elif inner and room != "helpers":
            in_src = room in ROOMS and room not in OUTSIDE_SRC
            mirrored = "/".join([*(["src"] if in_src else []), room, *inner])
            if mirrored not in house.folders(mirrored.split("/")[0]):
                wrong.append(
                    f"{file}: there is no folder {mirrored} that its folder mirrors. Move the file "
                    f"up into tests/{room}."
                )
    return wrong


# -- sizes -----------------------------------------------------------------------------------------


def files_are_short(house: House) -> list[str]:
    """No file passes 400 lines, no door 120."""
    wrong = []
    for file, text in house.files.items():
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            wrong.append(
                f"{file} has {lines} lines, more than {FILE_LINES}: divide it by what a reader "
                "would look for."
            )
        elif door_of(file) and lines > DOOR_LINES:
            wrong.append(
                f"{file} has {lines} lines, more than {DOOR_LINES}: a door is a command line and "
                "the call of a room. Move the rest into that room."
            )
    return wrong


def functions_are_short(house: House) -> list[str]:
    """No function passes 60 lines, its docstring not counted."""
    wrong, long = [], set()
    for file, tree in house.trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            lines, name = function_lines(node), f"{file}::{node.name}"
            if lines <= FUNCTION_LINES:
                continue
            long.add(name)
            if name not in LONG_FUNCTIONS:
                wrong.append(
                    f"{file}:{node.lineno} {node.name} has {lines} lines, more than "
                    f"{FUNCTION_LINES}: tell it in steps, each a function with a name."
                )
    wrong += [
        f"{name} is no longer so long: take it out of LONG_FUNCTIONS (tests/helpers/house.py)."
        for name in sorted(set(LONG_FUNCTIONS) - long)
    ]
    return wrong


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines from `def` to the end, without those of the docstring."""
    lines = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is not None:
        lines -= node.body[0].end_lineno - node.body[0].lineno + 1
    return lines


RULES = (
    rooms_reach_down,
    words_stand_low,
    strangers_stay_apart,
    doors_stay_shut,
    neighbours_keep_to_common,
    src_holds_only_the_seed,
    names_say_what_is_inside,
    rooms_say_what_they_are,
    tests_mirror_the_rooms,
    files_are_short,
    functions_are_short,
)
