"""A part of a list of photos: every N-th one, described by itself, on any machine.

`part.json` in a feature folder says which part of which list it holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from src.common.atomic_files import PathLike, write_json
from src.common.errors import UserError
from src.common.feature_manifest import MANIFEST_NAME
from src.common.json_files import read_json
from src.common.settings_check import check_settings
from src.describe.tasks import PhotoTask

PART_NAME = "part.json"


class Part(NamedTuple):
    """A part of a list of photos.

    Attributes:
        number: of the part, from 1.
        of: how many parts there are.
        photos: how many photos the whole list has.
        digest: of the names and files of the whole list.
    """

    number: int
    of: int
    photos: int = 0
    digest: str = ""

    def __str__(self) -> str:
        return f"part {self.number} of {self.of}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read "2/8": the second of eight parts.

        Raises:
            UserError: it is something else.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        part = cls(*map(int, found.groups())) if found else None
        if part is None or not 1 <= part.number <= part.of:
            raise UserError(f"part is {text!r}; give i/N, such as 1/8 to 8/8: the i-th of N parts")
        return part

    def of_list(self, tasks: Sequence[PhotoTask]) -> tuple[Part, list[PhotoTask]]:
        """Return this part of a list, which it knows then, and its photos.

        Raises:
            UserError: it has none.
        """
        mine = list(tasks[self.number - 1 :: self.of])
        if not mine:
            raise UserError(f"{self} holds no photo: there are {len(tasks)}; make fewer parts")
        listed = "\n".join(f"{task.name}\0{task.file}" for task in tasks)
        digest = hashlib.sha256(listed.encode()).hexdigest()[:16]
        return self._replace(photos=len(tasks), digest=digest), mine


def read_part(folder: PathLike) -> Part | None:
    """Return which part a feature folder holds; None where it does not say that it is one.

    Raises:
        UserError: what says so is damaged.
    """
    path = Path(folder, PART_NAME)
    try:
        content = read_json(path)
        numbers = (int(content[name]) for name in ("number", "of", "photos"))
        return Part(*numbers, str(content["digest"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"cannot read {path} ({error}); delete it and extract this part again"
        ) from None


def write_part(folder: PathLike, part: Part) -> None:
    """Write down which part a feature folder holds."""
    if read_part(folder) != part:
        write_json(Path(folder, PART_NAME), part._asdict())


def check_part(folder: PathLike, part: Part | None) -> None:
    """Raise `UserError` unless a feature folder holds this part, or nothing yet."""
    there = read_part(folder)
    if there is None and not Path(folder, MANIFEST_NAME).exists():
        return
    check_settings(_shown(there), _shown(part), f"feature folder {folder}")


def _shown(part: Part | None) -> Mapping[str, str]:
    return {"part": "all photos" if part is None else f"{part.number}/{part.of}"}


def check_complete(parts: Mapping[Path, Part | None]) -> None:
    """Raise `UserError` unless folders that hold parts hold all of one list.

    Args:
        parts: which part each folder holds.
    """
    known = {folder: part for folder, part in parts.items() if part is not None}
    if not known:
        return
    first_folder, first = next(iter(known.items()))
    held: dict[int, Path] = {}
    for folder, part in known.items():
        if part.of != first.of:
            raise UserError(
                f"{folder} holds {part} and {first_folder} {first}; merge parts of one division"
            )
        if (part.photos, part.digest) != (first.photos, first.digest):
            raise UserError(
                f"{folder} holds {part} of another list of photos ({part.photos} photos) than "
                f"{first_folder} ({first.photos}); run the extraction of the older one again"
            )
        held[part.number] = folder
    missing = [number for number in range(1, first.of + 1) if number not in held]
    if missing:
        raise UserError(
            f"{_numbers(missing)} of {first.of} {'is' if len(missing) == 1 else 'are'} missing "
            f"among {', '.join(map(str, parts))}; describe it with --part {missing[0]}/{first.of}, "
            "or name its folder"
        )


def _numbers(missing: Iterable[int], most: int = 5) -> str:
    numbers = list(missing)
    more = ", …" if len(numbers) > most else ""
    what = "part" if len(numbers) == 1 else "parts"
    return f"{what} {', '.join(map(str, numbers[:most]))}{more}"
