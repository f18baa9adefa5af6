"""Settings that things were made with, JSON values: are they the same, and where do they differ?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from src.common.errors import UserError


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return a short text that differs where settings, JSON values, differ."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]


def check_settings(found: Mapping[str, Any], wanted: Mapping[str, Any], what: str) -> None:
    """Refuse something that was built with other settings.

    Args:
        found: the settings that `what` was built with, as read from JSON.
        wanted: the settings asked for now; tuples and lists count as equal.
        what: what was built, and where, for the message.

    Raises:
        UserError: naming each key that differs, with both values.
    """
    wanted = json.loads(json.dumps(dict(wanted)))
    found = json.loads(json.dumps(dict(found)))
    differences = [
        f"{key}: {_shown(found, key)} there, {_shown(wanted, key)} wanted"
        for key in sorted(found.keys() | wanted.keys())
        if _shown(found, key) != _shown(wanted, key)
    ]
    if differences:
        raise UserError(
            f"{what} was made with other settings ({'; '.join(differences)}); "
            "delete it, use another folder, or go back to its settings"
        )


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that features must share to be compared with each other.

    Boxes do not matter, nor which engine described, only how exactly it computes: engines of one
    precision choose the same features, and descriptors that differ by rounding.
    """
    shared = {name: value for name, value in settings.items() if name != "crop_boxes"}
    engine = shared.pop("engine", None) or {}
    on_cpu = engine.get("device", "CPU") == "CPU"
    precision = engine.get("precision") or ("float32" if on_cpu else "as the device computes")
    return {**shared, "precision": precision}


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], sort_keys=True) if key in settings else "nothing"
