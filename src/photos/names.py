"""What photos are called in lists, and which photo is meant: with or without suffix, in any form.

A list may name `Köln.jpg` where the photo is called `Köln`; and it may write the ö as one character
or, as macOS does in the names of files, as two (Unicode's normal forms NFC and NFD).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from src.common.errors import UserError
from src.photos.finding import EXTENSIONS


def without_suffix(name: str) -> str:
    """Return a name without the suffix of a photo, where it has one: "st.mary" keeps its dot."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in EXTENSIONS else name


def normal_form(name: str) -> str:
    """Return a name in the form in which equal names are equal: NFC."""
    return unicodedata.normalize("NFC", name)


class PhotoNames:
    """The names of some photos, by which lists speak of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names: Sequence[str] = tuple(names)
        self._position = {name: place for place, name in enumerate(self.names)}
        self._alike: dict[str, list[int]] = {}
        for place, name in enumerate(self.names):
            self._alike.setdefault(normal_form(name), []).append(place)

    def __len__(self) -> int:
        return len(self._position)

    def position(self, listed: str) -> int | None:
        """Return the place of the photo that a list means, None where there is none.

        A photo of exactly that name comes first, then one of the name without its suffix.

        Raises:
            UserError: two photos differ by the form of their names only, and the list has neither.
        """
        for name in (listed, without_suffix(listed)):
            if name in self._position:
                return self._position[name]
            alike = self._alike.get(normal_form(name), ())
            if len(alike) > 1:
                shown = " and ".join(ascii(self.names[place]) for place in alike)
                raise UserError(
                    f"{listed} may be either of two photos, {shown}, whose names look the same; "
                    "rename one of them"
                )
            if alike:
                return alike[0]
        return None

    def find(self, listed: str) -> str | None:
        """Return the name of the photo that a list means, None where there is none."""
        place = self.position(listed)
        return None if place is None else self.names[place]
