"""What pictures and pages share: margins, colours, letters, how numbers are written."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from PIL import ImageDraw, ImageFont

#: Pixels around the photos of a picture.
MARGIN = 16
#: Colours of the page, of the text, and of what matters less.
BACKGROUND = (250, 250, 250)
INK = (40, 40, 40)
QUIET = (95, 95, 95)

#: Verdict → mark and colour. The mark and the word say the same as the colour.
VERDICTS = {
    "right": ("✓", (27, 133, 79)),
    "wrong": ("✗", (197, 48, 36)),
    "junk": ("–", (110, 110, 110)),
    "unknown": ("", (40, 90, 160)),
    "the same": ("=", (27, 133, 79)),
    "perhaps": ("?", (156, 99, 0)),
    "not here": ("∅", (110, 110, 110)),
}


def write_line(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    size: int,
    room: int,
    colour: tuple[int, int, int] = INK,
    bold: bool = False,
) -> None:
    """Write one line, shortened in the middle where it is too long for the room."""
    letters = font(size, bold)
    text = shown = " ".join(text.encode("utf-8", "replace").decode().split())
    kept = len(text)
    while draw.textlength(shown, font=letters) > room and kept > 1:
        kept = max(1, min(kept - 1, int(kept * room / draw.textlength(shown, font=letters))))
        shown = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    draw.text(corner, shown, fill=colour, font=letters)


@functools.lru_cache(maxsize=32)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic, Arabic, signs."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    # Found without importing it, which takes longer than drawing a page.
    matplotlib = Path(importlib.util.find_spec("matplotlib").origin).parent
    return ImageFont.truetype(matplotlib / "mpl-data" / "fonts" / "ttf" / name, size)


def plain_number(value: float) -> str:
    """Return a number without places where it is whole, else with one."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def counted(value: float, what: str) -> str:
    """Return a number of things: "1 vote", "2 votes"."""
    shown = plain_number(value)
    return f"{shown} {what}{'' if shown == '1' else 's'}"
