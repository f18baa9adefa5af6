"""Compiled networks of OpenVINO, kept in the user's cache folder: the weights need not be read.

OpenVINO has a cache of its own (`CACHE_DIR`), which wants the weights read and the graph made all
the same, and believes what it finds: a file in which zeros stand for weights is run. Here the name
of a file says what it was made of, and a sum in front of it whether it is what was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openvino as ov

from src.common.atomic_files import atomic_path
from src.common.user_cache import user_cache

LOG = logging.getLogger(__name__)

#: Networks that are kept; of more, those that have not been used for the longest time go.
KEPT = 8
_HEAD = b"delf openvino 1\n"
_SUM_BYTES = 4


def open_network(
    core: ov.Core, fingerprint: str, settings: Mapping[str, str], make: Callable[[], ov.Model]
) -> ov.CompiledModel:
    """Return a compiled network: the one that is kept, or else one that is made now and kept.

    A file that is damaged is made again. Where nothing can be kept, that costs the time only.

    Args:
        core: the runtime.
        fingerprint: of the weights.
        settings: of the compilation.
        make: reads the weights and returns their graph.

    Raises:
        RuntimeError: the runtime refuses the graph.
    """
    path = _path(core, fingerprint, settings)
    kept = _read(core, path, settings) if path is not None else None
    if kept is not None:
        return kept
    compiled = core.compile_model(make(), "CPU", dict(settings))
    if path is not None:
        _keep(path, compiled)
    return compiled


def remembered(core: ov.Core, question: str, answers: Sequence[str], ask: Callable[[], str]) -> str:
    """Return what the runtime answered to a question about this processor, which is asked once.

    Args:
        core: the runtime.
        question: a word that names it.
        answers: those that there are; a file that holds none of them is made again.
        ask: returns the answer.
    """
    path = _path(core, question, {})
    with contextlib.suppress(OSError, ValueError):
        answer = path.read_text(encoding="ascii") if path is not None else ""
        if answer in answers:
            return answer
    answer = ask()
    if path is not None:
        with contextlib.suppress(OSError), atomic_path(path, durable=False) as temporary:
            temporary.write_text(answer, encoding="ascii")
    return answer


def _path(core: ov.Core, what: str, settings: Mapping[str, str]) -> Path | None:
    """Return where something is kept: a name for all that it depends on, the processor too."""
    folder = user_cache()
    if folder is None:
        return None
    processor = [
        str(core.get_property("CPU", name))
        for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    ]
    isa = [os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")]
    key = json.dumps([ov.get_version(), processor, isa, dict(settings), _graph_sum()])
    return folder / "openvino" / f"{what}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _graph_sum() -> int:
    """Return a sum of the source that makes the graph: another graph has another file."""
    source = Path(__file__).with_name("openvino_graph.py")
    return zlib.crc32(source.read_bytes()) if source.is_file() else 0


def _read(core: ov.Core, path: Path, settings: Mapping[str, str]) -> ov.CompiledModel | None:
    """Return the network in a file; None where there is none that can be used."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    start = len(_HEAD) + _SUM_BYTES
    network = memoryview(content)[start:]
    written = content[len(_HEAD) : start]
    if content[: len(_HEAD)] == _HEAD and written == _sum(network):
        with contextlib.suppress(RuntimeError):
            compiled = core.import_model(io.BytesIO(network), "CPU", dict(settings))
            with contextlib.suppress(OSError):
                os.utime(path)  # it is in use
            return compiled
    LOG.warning("the compiled network %s is damaged and is made again", path)
    return None


def _keep(path: Path, compiled: ov.CompiledModel) -> None:
    """Write a network, and remove those that are not used any more."""
    network = compiled.export_model().getbuffer()
    try:
        with atomic_path(path, durable=False) as temporary:
            temporary.write_bytes(b"".join((_HEAD, _sum(network), network)))
        files = [file for file in path.parent.iterdir() if not file.name.startswith(".")]
        for old in sorted(files, key=lambda file: file.stat().st_mtime_ns)[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        LOG.debug("the compiled network is not kept: %s", error)


def _sum(content: Any) -> bytes:
    return zlib.crc32(content).to_bytes(_SUM_BYTES, "big")
