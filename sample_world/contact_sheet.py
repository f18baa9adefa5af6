"""A sheet that shows a selection of a world's photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sample_world.jpeg import write_jpeg
from sample_world.options import WorldOptions
from sample_world.plan import DISTRACTOR, RETRIEVAL, TRAIN, Group

CONTACT_SHEET = "contact_sheet.jpg"
_TALL, _COLUMNS, _GAP, _PAPER = 200, 6, 6, 250  # in pixels; about how many photos a row; grey


def write_contact_sheet(output: Path, groups: list[Group], options: WorldOptions) -> None:
    """Write a sheet of photos: rows of one landmark each, then a row of other views."""
    long, short = max(options.width, options.height), min(options.width, options.height)
    width = _COLUMNS * round(_TALL * long / short * 0.82) + (_COLUMNS - 1) * _GAP
    rows = []
    for files in _choose_rows(groups):
        row = _read_row(output, files, width)
        if row:
            rows += [_strip(row, width), np.full((_GAP, width, 3), _PAPER, np.uint8)]
    if rows:
        write_jpeg(output / CONTACT_SHEET, np.concatenate(rows[:-1])[..., ::-1])


def _choose_rows(groups: list[Group]) -> list[list[str]]:
    """Return the files from which each row is filled."""
    shown = [g for g in groups if g.part == RETRIEVAL][:4]
    kinds = {group.kind for group in shown}
    shown += [g for g in groups if g.part == TRAIN and g.kind not in kinds][:6]
    sources = [[shot.file for shot in group.shots] for group in shown]
    return [*sources, [g.shots[0].file for g in groups if g.part == DISTRACTOR][::-1]]


def _read_row(output: Path, files: list[str], width: int) -> list[np.ndarray]:
    """Return the photos, uint8 BGR, that fit beside each other, all of the row's height."""
    row, used = [], 0
    for file in files:
        picture = cv2.imread(str(output / file), cv2.IMREAD_COLOR)
        if picture is None:
            continue
        wide = round(picture.shape[1] * _TALL / picture.shape[0])
        if used + wide > width:
            continue
        row.append(cv2.resize(picture, (wide, _TALL), interpolation=cv2.INTER_AREA))
        used += wide + _GAP
    return row


def _strip(row: list[np.ndarray], width: int) -> np.ndarray:
    """Return the photos side by side, what is left over spread between them."""
    strip = np.full((_TALL, width, 3), _PAPER, np.uint8)
    free = width - sum(p.shape[1] for p in row)
    space = min(free / max(1, len(row) - 1), 4 * _GAP)
    x = (free - space * (len(row) - 1)) / 2
    for picture in row:
        strip[:, round(x) : round(x) + picture.shape[1]] = picture
        x += picture.shape[1] + space
    return strip
