"""What is known of weights that have been read before: they are not read again."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from src.common.atomic_files import write_json
from src.common.errors import raise_if_of_system
from src.common.json_files import read_json, shaped
from src.describe.engines.choice import EngineSettings, KnownWeights, read_known_weights

LOG = logging.getLogger(__name__)

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
    noted = _read_note(work / WEIGHTS_NAME)
    known = _known(noted, str(checkpoint), stamp)
    if known is not None:
        return known
    known = read_known_weights(checkpoint)
    entry = {"stamp": stamp, "network": known.fingerprint, "attention": known.has_attention}
    entry["check"] = _check(entry)
    write_json(work / WEIGHTS_NAME, {**noted, str(checkpoint): entry})
    return known


def _read_note(path: Path) -> dict[str, Any]:
    """Return what is noted of weights; nothing where the note is damaged."""
    try:
        noted = shaped(read_json(path), dict[str, Any])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise_if_of_system(error, path)
        LOG.warning("%s is damaged (%s) and is made again from the weights", path, error)
        return {}
    return noted


def _known(noted: dict[str, Any], checkpoint: str, stamp: list[int]) -> KnownWeights | None:
    """Return what is noted of a checkpoint; None where that is nothing, outdated or damaged."""
    entry = noted.get(checkpoint)
    if entry is None:
        return None
    try:
        if entry.get("check", _check(entry)) != _check(entry):
            raise ValueError("it has changed")
        known = KnownWeights(str(entry["network"]), bool(entry["attention"]))
        return known if entry["stamp"] == stamp else None
    except (KeyError, TypeError, AttributeError, ValueError):
        LOG.warning("what was noted of %s is damaged and is made again", checkpoint)
        return None


def _check(entry: dict[str, Any]) -> str:
    """Return a digest of an entry; older ones have none."""
    content = json.dumps([entry["stamp"], entry["network"], entry["attention"]])
    return hashlib.sha256(content.encode()).hexdigest()[:16]
