"""The global descriptor: conv5 on the conv4 maps that an engine has made, pooled, whitened.

Whatever the engine, its maps are what conv5 reads; so this is an engine around another one. It
computes while the engine inside is at the next photo.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import UserError
from src.delf_config import CONV4_CHANNELS, DelfConfig
from src.describe.engines.interface import Engine
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import PhotoTask
from src.describe.whitening import Whitening
from src.extract_utils_np import LevelOutput
from src.network.conv5_source import read_conv5
from src.network.weights import Weights, fingerprint, load_weights
from src.postprocess import PhotoOutputs, Whole


class GlobalHead(Protocol):
    """From a conv4 map to one vector."""

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Map features, float32 [h, w, 1024], to their pooled conv5, float32 [2048]."""


class OpenVinoHead:
    """Conv5 and the generalised mean as OpenVINO's graph, on the CPU."""

    def __init__(
        self,
        network: str,
        read: Callable[[], Weights],
        checkpoint: str,
        precision: str = "float32",
    ):
        """Open it; `read` returns the weights of the fingerprint `network`, where none is kept."""
        from src.describe.engines.openvino_graph import pooling_graph
        from src.describe.engines.openvino_runtime import compiled

        model = compiled(network, lambda: pooling_graph(read()), precision, checkpoint)
        self._request = model.create_infer_request()

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """See `GlobalHead`."""
        self._request.infer([np.ascontiguousarray(features, np.float32)[None]], share_inputs=True)
        return self._request.get_output_tensor(0).data[0].copy()


class MindSporeHead:
    """Conv5 and the generalised mean as a cell of MindSpore, on the CPU."""

    def __init__(self, weights: Weights, checkpoint: str):
        from model_utils.device import set_up_device

        set_up_device("CPU", 0)
        import mindspore as ms

        from src.delf_model import GlobalPooling

        self._tensor = ms.Tensor
        self._network = GlobalPooling()
        own = {name.removeprefix("backbone."): value for name, value in weights.items()}
        load_weights(self._network, own, checkpoint)
        self._network.set_train(False)
        self._network.set_inputs(ms.Tensor(shape=[1, CONV4_CHANNELS, None, None], dtype=ms.float32))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """See `GlobalHead`."""
        planes = np.ascontiguousarray(features.transpose(2, 0, 1)[None], np.float32)
        return self._network(self._tensor(planes)).asnumpy()[0]


@dataclass(eq=False)
class GlobalEngine:
    """An engine that describes photos as a whole too; the local part is another engine's.

    Attributes:
        inner: makes the conv4 maps.
        checkpoint: holds the weights of conv5, see `network.conv5_source`.
        whitening: fitted for these weights.
    """

    inner: Engine
    checkpoint: str
    whitening: Whitening
    _head: GlobalHead | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without the opened head."""
        return {**self.__dict__, "_head": None}

    @property
    def name(self) -> str:
        """See `Engine`."""
        return self.inner.name

    @property
    def fingerprint(self) -> str:
        """See `Engine`: of the local part; that of conv5 belongs to the whitening."""
        return self.inner.fingerprint

    @property
    def has_attention(self) -> bool:
        """See `Engine`."""
        return self.inner.has_attention

    def settings(self) -> dict[str, Any]:
        """See `Engine`; under "global" what the global descriptor depends on."""
        whitening = self.whitening
        made = {"whitening": whitening.fingerprint, "dimension": whitening.dimension}
        return {**self.inner.settings(), "global": made}

    def processes(self, devices: Sequence[int]) -> tuple[int, ...]:
        """See `Engine`."""
        return self.inner.processes(devices)

    def outputs(
        self,
        images_path: PathLike,
        tasks: Sequence[PhotoTask],
        config: DelfConfig,
        device_id: int = 0,
        stopwatch: Stopwatch | None = None,
    ) -> Iterator[PhotoOutputs]:
        """See `Engine`."""
        stopwatch = stopwatch or Stopwatch()
        photos = self.inner.outputs(images_path, tasks, config, device_id, stopwatch)
        with contextlib.closing(photos):
            for photo in photos:
                if photo.levels is not None:
                    with stopwatch.part("network"):
                        descriptor = self._described(photo, config)
                    photo = photo._replace(whole=Whole(photo.photo_size, descriptor))
                yield photo

    def _described(self, photo: PhotoOutputs, config: DelfConfig) -> np.ndarray | None:
        """Return the global descriptor of a photo, None where it has no levels."""
        if not photo.levels:
            return None
        places = self.whitening.levels(*photo.size, config)
        return self.whitening.apply(
            np.stack([self._pooled(photo.levels[place]) for place in places])
        )

    def _pooled(self, level: LevelOutput) -> np.ndarray:
        """Return the pooled conv5 of a level, which the engine inside may have made."""
        if level.pooled is not None:
            return level.pooled
        if self._head is None:
            self._head = self._opened()
        return self._head(level.features)

    def _opened(self) -> GlobalHead:
        """Return what computes conv5, by the runtime and in the precision of the engine inside.

        Raises:
            UserError: the weights cannot be read or are not those that the whitening is for, or the
                runtime refuses them.
        """
        if self.name == "mindspore" or importlib.util.find_spec("openvino") is None:
            return MindSporeHead(self._weights(), self.checkpoint)
        precision = self.inner.settings().get("precision")
        bfloat16 = self.name == "openvino" and precision == "bfloat16"
        return OpenVinoHead(
            self.whitening.conv5,
            self._weights,
            self.checkpoint,
            "bfloat16" if bfloat16 else "float32",
        )

    def _weights(self) -> Weights:
        weights = read_conv5(self.checkpoint)
        if fingerprint(weights) != self.whitening.conv5:
            raise UserError(
                f"conv5 of {self.checkpoint} is not the one that the whitening is for; give "
                "--global_descriptor=off, or --whitening_path of one that was"
            )
        return weights
