"""What is known of weights that have been read before: they are not read again."""

from __future__ import annotations

import json
from pathlib import Path

from src.common.atomic_files import write_json
from src.describe.engines.choice import EngineSettings, KnownWeights, read_known_weights

WEIGHTS_NAME = "weights.json"


def known_weights(settings: EngineSettings, work: Path) -> KnownWeights | None:
    """Return what is to be known of the checkpoint; None for a model or an unreadable file.

    Args:
        settings: which weights.
        work: where it is noted, by path, size and time of the file.
    """
    checkpoint = Path(settings.checkpoint)
    try:
        status = checkpoint.stat()
    except OSError:
        return None
    if settings.mindir or not checkpoint.is_file():
        return None
    stamp = [status.st_size, status.st_mtime_ns]
    try:
        noted = json.loads((work / WEIGHTS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        noted = {}
    entry = noted.get(str(checkpoint), {})
    if entry.get("stamp") == stamp:
        return KnownWeights(entry["network"], entry["attention"])
    known = read_known_weights(checkpoint)
    entry = {"stamp": stamp, "network": known.fingerprint, "attention": known.has_attention}
    write_json(work / WEIGHTS_NAME, {**noted, str(checkpoint): entry})
    return known
