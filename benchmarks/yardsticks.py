"""What yardsticks share: feature folders of other descriptors, made once, and their mAP."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.common.atomic_files import PathLike, write_json, write_text
from src.dataset import GroundTruth
from src.evaluation.metrics import evaluate
from src.evaluation.report import format_map_text
from src.feature_io import (
    MANIFEST_NAME,
    Manifest,
    check_settings,
    feature_path,
    read_manifest,
    write_manifest,
)
from src.photos.finding import list_images

LOG = logging.getLogger(__name__)

Images = Sequence[tuple[str, str]]


def make_folder(
    images_path: PathLike,
    output_path: PathLike,
    settings: Mapping[str, Any],
    what: str,
    describe: Callable[[Images], Mapping[str, str]],
) -> Manifest:
    """Make a feature folder of all photos of a folder; what is there already is kept.

    Args:
        images_path: the photos.
        output_path: the feature folder.
        settings: everything that changes the features.
        what: what the folder holds, in messages.
        describe: gets (name, file) of the photos that are missing, writes their features, and
            returns the reason for each that has none.

    Raises:
        UserError: when there are no photos or two of a name, or the folder holds features of other
            settings.
    """
    output_path = Path(output_path)
    if (output_path / MANIFEST_NAME).exists():
        manifest = read_manifest(output_path)
        check_settings(manifest.settings, settings, f"the {what} in {output_path}")
        LOG.info("%s is complete, %d images", output_path, len(manifest.images))
        return manifest
    unfinished = output_path / "unfinished.json"
    if unfinished.exists():
        found = json.loads(unfinished.read_text(encoding="utf-8"))
        check_settings(found, settings, f"the unfinished {what} in {output_path}")
    write_json(unfinished, settings)
    images = list_images(images_path)
    missing = [
        (name, file) for name, file in images if not feature_path(output_path, name).exists()
    ]
    failed = dict(describe(missing))
    for name, reason in failed.items():
        LOG.warning("%s: %s", name, reason)
    manifest = Manifest(tuple(images), dict(settings), failed)
    write_manifest(output_path, manifest)
    unfinished.unlink()
    return manifest


def report_map(path: Path, ranks: np.ndarray, ground_truth: GroundTruth) -> None:
    """Write and print the table of ranks, int32 [queries, images]."""
    text = format_map_text(evaluate(ranks, ground_truth))
    write_text(path, text)
    print(text, end="")
