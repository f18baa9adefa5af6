"""What the features of a folder depend on, all of it, as its manifest says it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from src.delf_config import DelfConfig
from src.describe.engines.interface import Engine
from src.describe.pca import Pca
from src.describe.tasks import PhotoTask


def feature_settings(
    engine: Engine, config: DelfConfig, pca: Pca | None, tasks: Sequence[PhotoTask]
) -> dict[str, Any]:
    """Return all that the features depend on, as it stands in the manifest."""
    settings = {
        **config.settings(),
        "checkpoint": engine.fingerprint,
        "pca": pca.fingerprint if config.use_pca and pca else None,
        "crop_boxes": _boxes_fingerprint(tasks),
    }
    runtime = engine.settings()
    if "global" in runtime:  # no matter of the runtime: others make the same
        settings["global"] = runtime.pop("global")
    return {**settings, "engine": runtime} if runtime else settings


def _boxes_fingerprint(tasks: Sequence[PhotoTask]) -> str | None:
    parts = [
        [task.name, *map(float, task.box or ()), *([f"turn {task.turn}"] if task.turn else [])]
        for task in tasks
        if task.box is not None or task.turn
    ]
    if not parts:
        return None
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
