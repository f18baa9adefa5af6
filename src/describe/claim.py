"""Which settings a feature folder belongs to before its manifest says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.common.atomic_files import PathLike, write_json
from src.common.errors import UserError
from src.feature_io import MANIFEST_NAME, check_settings, read_manifest

UNFINISHED_NAME = "unfinished.json"  # settings of a feature folder that has no manifest yet


def check_claim(feature_folder: PathLike, settings: Mapping[str, Any]) -> bool:
    """Make sure that a folder holds features of these settings only.

    Returns:
        Whether the folder says so already.

    Raises:
        UserError: the folder holds features of other or unknown settings.
    """
    feature_folder = Path(feature_folder)
    unfinished = feature_folder / UNFINISHED_NAME
    what = f"feature folder {feature_folder}"
    if (feature_folder / MANIFEST_NAME).exists():
        check_settings(read_manifest(feature_folder).settings, settings, what)
    elif unfinished.exists():
        try:
            found = json.loads(unfinished.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {unfinished} ({error}); delete {what}") from None
        check_settings(found, settings, what)
    elif next(feature_folder.glob("*.npz"), None) is not None:
        raise UserError(
            f"{what} holds features of unknown settings (neither {MANIFEST_NAME} nor "
            f"{UNFINISHED_NAME}); delete it or use another folder"
        )
    else:
        return False
    return True


def claim_folder(feature_folder: PathLike, settings: Mapping[str, Any]) -> None:
    """Note in a folder the settings of the features that will come; several workers may do so.

    Raises:
        UserError: as `check_claim`.
    """
    if not check_claim(feature_folder, settings):
        write_json(Path(feature_folder) / UNFINISHED_NAME, dict(settings))
