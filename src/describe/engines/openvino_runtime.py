"""Describing by OpenVINO: photos are read and scaled ahead, and the network never waits for Python.

Three threads hand over: one reads photos and makes their levels, one runs the network, and whoever
asked chooses the features. None is more than a photo ahead, so that memory is bounded.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from model_utils.device import ISA_VARIABLE, is_isa_ours
from src.common.ahead import ahead
from src.common.atomic_files import PathLike
from src.common.cpus import cpu_count
from src.common.errors import UserError, first_line
from src.delf_config import CELL_STRIDE, CONV4_CHANNELS, DelfConfig
from src.describe.levels import PhotoLevels, photo_levels
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import PhotoTask
from src.extract_utils_np import LevelOutput
from src.network.feature_weights import read_feature_weights
from src.network.weights import fingerprint
from src.postprocess import PhotoOutputs

#: The setting `precision` → what OpenVINO calls it.
PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


@cache
def native_precision() -> str:
    """Return the fastest precision that is exact enough on this processor.

    bfloat16 where the runtime computes convolutions in it natively (AMX, AVX-512 BF16, Arm's), else
    float32. The runtime is asked twice: what the processor is able to, and with what it would run a
    convolution, which a limit on its instruction set (ONEDNN_MAX_CPU_ISA) changes.
    """
    from src.describe.engines.openvino_cache import remembered
    from src.describe.engines.openvino_graph import core

    with _own_instruction_set():
        if "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return "float32"
        return remembered(core(), "precision", tuple(PRECISIONS), _fastest_convolution)


def _fastest_convolution() -> str:
    """Return the precision in which this processor runs convolutions by itself."""
    from src.describe.engines.openvino_graph import convolution_primitive

    primitive = convolution_primitive(PRECISIONS["bfloat16"])
    emulated = primitive is None or primitive.startswith("jit_avx512")
    return "float32" if emulated else "bfloat16"


@contextlib.contextmanager
def _own_instruction_set() -> Iterator[None]:
    """Take away the limit that MindSpore's convolutions need: OpenVINO's oneDNN is another one."""
    limit = os.environ.pop(ISA_VARIABLE, None) if is_isa_ours() else None
    try:
        yield
    finally:
        if limit is not None:
            os.environ[ISA_VARIABLE] = limit


class OpenVinoEngine:
    """OpenVINO's graph of the network, on the CPU."""

    name = "openvino"

    def __init__(
        self,
        checkpoint: str | Path,
        fingerprint: str,
        has_attention: bool,
        precision: str = "auto",
    ):
        """Remember what to open.

        Args:
            checkpoint: the weights (.ckpt, or Keras .h5).
            fingerprint: of them.
            has_attention: whether they hold an attention.
            precision: "float32", "bfloat16", or "auto" for what suits the processor.
        """
        self.checkpoint = str(checkpoint)
        self.fingerprint = fingerprint
        self.has_attention = has_attention
        self.precision = native_precision() if precision == "auto" else precision
        self._request: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without the compiled network."""
        return {**self.__dict__, "_request": None}

    def settings(self) -> dict[str, Any]:
        """See `Engine`."""
        return {"name": "OpenVINO", "precision": self.precision}

    def processes(self, devices: Sequence[int]) -> tuple[int, ...]:
        """See `Engine`: the network uses all cores by itself."""
        return tuple(devices[:1])

    def outputs(
        self,
        images_path: PathLike,
        tasks: Sequence[PhotoTask],
        config: DelfConfig,
        device_id: int = 0,
        stopwatch: Stopwatch | None = None,
    ) -> Iterator[PhotoOutputs]:
        """See `Engine`. The part "network" is the time waited for it; reading goes on beside it."""
        if not tasks:
            return
        stopwatch = stopwatch or Stopwatch()
        with stopwatch.part("open"):
            request = self._opened()
        with contextlib.closing(ahead(photo_levels(images_path, tasks, config))) as prepared:
            photos = ahead(_run(request, prepared))
            with contextlib.closing(photos):
                while True:
                    with stopwatch.part("network"):
                        photo = next(photos, None)
                    if photo is None:
                        return
                    yield photo

    def _opened(self) -> Any:
        """Return an infer request of the compiled network, made at the first call.

        Raises:
            UserError: the weights cannot be read or are no longer those that were asked for, or the
                runtime refuses them.
        """
        if self._request is None:
            self._request = _compiled(self).create_infer_request()
        return self._request


def _compiled(engine: OpenVinoEngine) -> Any:
    def build() -> Any:
        from src.describe.engines.openvino_graph import feature_graph

        weights = read_feature_weights(engine.checkpoint)
        if fingerprint(weights) != engine.fingerprint:
            raise UserError(
                f"{engine.checkpoint} was replaced while it was in use; run the same command again"
            )
        return feature_graph(weights, engine.has_attention)

    return compiled(engine.fingerprint, build, engine.precision, engine.checkpoint)


def compiled(network: str, build: Callable[[], Any], precision: str, checkpoint: str) -> Any:
    """Return a graph compiled for this processor, the one that is kept of it where there is one.

    Args:
        network: fingerprint of its weights.
        build: reads the weights and returns the graph, where it is not kept.
        precision: a key of `PRECISIONS`.
        checkpoint: where its weights come from, for messages.

    Raises:
        UserError: a weight is missing, or the runtime refuses the graph.
    """
    from src.describe.engines.openvino_cache import open_network
    from src.describe.engines.openvino_graph import core

    settings = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": str(cpu_count()),
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        with _own_instruction_set():
            return open_network(core(), network, settings, build)
    except KeyError as error:
        raise UserError(f"{checkpoint} lacks the weights {error}") from None
    except RuntimeError as error:
        raise UserError(f"OpenVINO cannot run {checkpoint} ({first_line(error)})") from error


def _run(request: Any, photos: Iterator[PhotoLevels]) -> Iterator[PhotoOutputs]:
    """Run the network over the levels of photos."""
    for name, levels, size, origin, whole, reason in photos:
        outputs = None
        if levels is not None:
            outputs = [_level(request, level) for level in levels]
        yield PhotoOutputs(name, outputs, size, origin, reason, whole)


def _level(request: Any, pixels: np.ndarray) -> LevelOutput:
    """Run the network over a level; it writes into the arrays that are returned."""
    from openvino import Tensor

    cells = (1, *(-(-side // CELL_STRIDE) for side in pixels.shape[:2]))
    outputs = [np.empty(shape, np.float32) for shape in ((*cells, CONV4_CHANNELS), cells, cells)]
    for number, output in enumerate(outputs):
        request.set_output_tensor(number, Tensor(output, shared_memory=True))
    request.infer([np.ascontiguousarray(pixels)[None]], share_inputs=True, share_outputs=True)
    return LevelOutput(
        *(
            _filled(output, tuple(request.get_output_tensor(number).shape))
            for number, output in enumerate(outputs)
        )
    )


def _filled(output: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return what a network wrote into an array for one picture.

    A network that does not pad its pooling has fewer cells, which lie at the array's beginning.
    """
    if shape != output.shape:
        output = output.reshape(-1)[: math.prod(shape)].reshape(shape)
    return output[0]
