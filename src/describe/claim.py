"""Which settings a feature folder belongs to: by manifest, by a note before it, or by its files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike, write_json
from src.common.errors import UserError, raise_if_of_system
from src.common.json_files import read_json
from src.common.packed_store import is_packed, open_store
from src.describe.record import Record
from src.feature_io import (
    MANIFEST_NAME,
    DamagedFeaturesError,
    check_settings,
    look_at_features,
    read_manifest,
    settings_digest,
)

LOG = logging.getLogger(__name__)

UNFINISHED_NAME = "unfinished.json"  # settings of a feature folder that has no manifest yet


def check_claim(
    feature_folder: PathLike, settings: Mapping[str, Any], is_cache: bool = False
) -> bool:
    """Make sure that a folder holds features of these settings only.

    Where neither manifest nor note can be read, the feature files are asked.

    Args:
        feature_folder: the folder.
        settings: all that the features depend on.
        is_cache: whether the folder is one of ours, for these settings: what is in it and tells of
            others, or of none, may be made again.

    Returns:
        Whether the folder says so already.

    Raises:
        UserError: the folder holds features of other or unknown settings.
    """
    feature_folder = Path(feature_folder)
    what = f"feature folder {feature_folder}"
    wanted = settings_digest(settings)
    for path, found in _claims(feature_folder):
        is_right = found is not None and settings_digest(found) == wanted
        # In a cache, what says other settings than the files it is about has been damaged as well.
        is_wrong = not is_right and is_cache and _a_file_says(feature_folder, wanted)
        if found is not None and not is_wrong:
            if not is_right:
                what += f", {len(Record.read(feature_folder).photos)} photos described,"
            check_settings(found, settings, what)
            return True
        LOG.warning("%s is damaged and is made again", path)
    if not is_cache:
        _check_files(feature_folder, wanted, what)
    return False


def claim_folder(feature_folder: PathLike, settings: Mapping[str, Any]) -> None:
    """Note in a folder the settings of the features that will come; several workers may do so."""
    if not any(found is not None for _, found in _claims(Path(feature_folder))):
        write_json(Path(feature_folder) / UNFINISHED_NAME, dict(settings))


def claimed_settings(feature_folder: PathLike) -> dict[str, Any] | None:
    """Return the settings that a folder says it belongs to; None where it says none."""
    claims = (found for _, found in _claims(Path(feature_folder)))
    return next((found for found in claims if found is not None), None)


def is_claimed(feature_folder: PathLike) -> bool:
    """Tell whether a folder that was claimed is still there."""
    names = (MANIFEST_NAME, UNFINISHED_NAME)
    return any(os.path.exists(Path(feature_folder, name)) for name in names)


def _claims(feature_folder: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Yield each file that tells settings and what it says; None where it is damaged."""
    path = feature_folder / MANIFEST_NAME
    if os.path.exists(path):
        try:
            yield path, read_manifest(feature_folder).settings
        except UserError:
            yield path, None
    path = feature_folder / UNFINISHED_NAME
    if os.path.exists(path):
        try:
            found = read_json(path)
        except (OSError, ValueError) as error:
            raise_if_of_system(error, path)
            found = None
        yield path, found if isinstance(found, dict) else None


def _a_file_says(feature_folder: Path, wanted: str) -> bool:
    """Tell whether a feature file of a folder was made with these settings."""
    if is_packed(feature_folder):
        return open_store(feature_folder).settings == wanted
    for path in feature_folder.rglob("*.npz"):
        try:
            return (origin := look_at_features(path).origin) is not None and (
                origin.settings == wanted
            )
        except DamagedFeaturesError:
            continue
    return False


def _check_files(feature_folder: Path, wanted: str, what: str) -> None:
    """Raise `UserError` unless the feature files of a folder tell these settings."""
    if is_packed(feature_folder) and open_store(feature_folder).settings != wanted:
        raise UserError(
            f"{what} is a packed store of other settings ({MANIFEST_NAME} and {UNFINISHED_NAME}, "
            "which said of which, are gone); delete it or use another folder"
        )
    for path in sorted(feature_folder.glob("*.npz")):
        try:
            origin = look_at_features(path).origin
        except DamagedFeaturesError:  # of no use to anybody
            continue
        if origin is None or origin.settings != wanted:
            raise UserError(
                f"{what} holds features of {'other' if origin else 'unknown'} settings (neither "
                f"{MANIFEST_NAME} nor {UNFINISHED_NAME} says which; the first: {path.name}); "
                "delete it or use another folder"
            )
