"""What it costs to describe by other settings than before: photos that are described again.

Our own folders of results lie side by side, one for each combination of photos, weights, engine and
settings. Where one of them holds features of the very photos that are to be described now, that is
said, with what differs; else nobody would know why a search takes minutes again.
"""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from src.common.atomic_files import PathLike
from src.describe.claim import claimed_settings
from src.describe.record import FileState, Noted, Record
from src.describe.tasks import PhotoTask
from src.feature_io import comparable

LOG = logging.getLogger(__name__)

# What may differ without a photo being described by the network in another way.
_BESIDE = ("pca", "crop_boxes")


class Before(NamedTuple):
    """Features that there are of photos, made with other settings.

    Attributes:
        folder: where they are.
        photos: of how many of those asked for.
        differences: what differs, such as "precision: bfloat16 before, float32 now".
    """

    folder: Path
    photos: int
    differences: list[str]


def described_before(
    images_path: PathLike,
    results: Path,
    tasks: Sequence[PhotoTask],
    settings: Mapping[str, Any],
) -> Before | None:
    """Look whether photos were described with other settings, beside the folder of these.

    Args:
        images_path: folder of the photos.
        results: the folder of results of these settings, see `recipe.Describer.folder_name`.
        tasks: the photos that are to be described.
        settings: all that their features depend on.

    Returns:
        The folder with most of them, of these the one that differs least; None where there is none.
    """
    found = []
    beginning = glob.escape(Path(images_path).resolve().name)
    states: dict[str, FileState | None] = {}
    for folder in sorted(results.parent.glob(f"{beginning}-*/features*")):
        other = claimed_settings(folder) if folder.parent != results else None
        differences = list(_differences(other, settings)) if other else []
        if not differences:
            continue
        record = Record.read(folder)
        if not states:
            states = {task.name: FileState.of(Path(images_path, task.file)) for task in tasks}
        same = sum(_is_of(record.photos.get(name), state) for name, state in states.items())
        if same:
            found.append(Before(folder.parent, same, differences))
    return max(found, key=lambda each: (each.photos, -len(each.differences)), default=None)


def tell_of_before(
    images_path: PathLike,
    results: Path,
    tasks: Sequence[PhotoTask],
    settings: Mapping[str, Any],
) -> None:
    """Say it where photos are described again by other settings; see `described_before`."""
    before = described_before(images_path, results, tasks, settings)
    if before is not None:
        LOG.info(
            "%d photos of %s are described again, by other settings than before (%s); what was "
            "made with those is kept in %s",
            *(before.photos, images_path, "; ".join(before.differences), before.folder),
        )


def _differences(other: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs between settings, in words."""
    before, now = (_flat(each) for each in (other, settings))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name):
            continue
        if name == "checkpoint":
            yield "other weights"
        else:
            yield f"{name}: {before.get(name, 'none')} before, {now.get(name, 'none')} now"


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON has them, those of the engine among them, in full."""
    flat = {name: value for name, value in settings.items() if name not in _BESIDE}
    # Features without a word about their engine were made by MindSpore's graph.
    engine = {"name": "MindSpore", **(flat.pop("engine", None) or {})}
    engine["precision"] = comparable(settings)["precision"]
    flat["engine"] = engine.pop("name")
    return json.loads(json.dumps({**flat, **engine}))


def _is_of(noted: Noted | None, state: FileState | None) -> bool:
    """Tell whether features are noted of a photo as it is now."""
    is_described = noted is not None and noted.checksum is not None
    return is_described and state is not None and noted[:2] == (state.size, state.changed)
