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
from src.delf_config import CELL_STRIDE, CONV4_CHANNELS, DelfConfig
from src.describe.engines.interface import Engine
from src.describe.engines.static_batches import StaticPlan
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
    """Conv5 and the generalised mean as a cell of MindSpore.

    With a plan, a map lies in the smallest of the plan's inputs that holds it, and what is beside
    it is not seen; each size is compiled when it first comes.
    """

    def __init__(
        self,
        weights: Weights,
        checkpoint: str,
        device_target: str = "CPU",
        device_id: int = 0,
        plan: StaticPlan | None = None,
        jit_level: str | None = None,
    ):
        from model_utils.device import set_up_device

        set_up_device(device_target, device_id, jit_level)
        import mindspore as ms

        from src.delf_model import GlobalPooling
        from src.describe.engines.padded_networks import PaddedGlobalPooling

        self._tensor = ms.Tensor
        self._plan = plan
        self._network = PaddedGlobalPooling() if plan else GlobalPooling()
        own = {name.removeprefix("backbone."): value for name, value in weights.items()}
        load_weights(self._network, own, checkpoint)
        self._network.set_train(False)
        if not plan:
            any_size = [1, CONV4_CHANNELS, None, None]
            self._network.set_inputs(ms.Tensor(shape=any_size, dtype=ms.float32))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """See `GlobalHead`."""
        planes = np.ascontiguousarray(features.transpose(2, 0, 1)[None], np.float32)
        if self._plan is None:
            return self._network(self._tensor(planes)).asnumpy()[0]
        rows, columns = planes.shape[2:]
        size = self._plan.size_for(rows * CELL_STRIDE, columns * CELL_STRIDE)
        padded = np.zeros((1, CONV4_CHANNELS, *(side // CELL_STRIDE for side in size)), np.float32)
        padded[:, :, :rows, :columns] = planes
        sides = np.int32([[rows, columns]])
        return self._network(self._tensor(padded), self._tensor(sides)).asnumpy()[0]


@dataclass(eq=False)
class GlobalEngine:
    """An engine that describes photos as a whole too; the local part is another engine's.

    Attributes:
        inner: makes the conv4 maps.
        checkpoint: holds the weights of conv5, see `network.conv5_source`.
        whitening: fitted for these weights.
        device_target: where MindSpore computes conv5, if that is the engine inside; see
            `model_utils.device`.
        plan: the inputs there, on a device that wants static shapes.
        jit_level: how graphs run on an Ascend.
    """

    inner: Engine
    checkpoint: str
    whitening: Whitening
    device_target: str = "CPU"
    plan: StaticPlan | None = None
    jit_level: str | None = None
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
                        descriptor = self._described(photo, config, device_id)
                    photo = photo._replace(whole=Whole(photo.photo_size, descriptor))
                yield photo

    def _described(
        self, photo: PhotoOutputs, config: DelfConfig, device_id: int
    ) -> np.ndarray | None:
        """Return the global descriptor of a photo, None where it has no levels."""
        if not photo.levels:
            return None
        places = self.whitening.levels(*photo.size, config)
        levels = [photo.levels[place] for place in places]
        return self.whitening.apply(np.stack([self._pooled(level, device_id) for level in levels]))

    def _pooled(self, level: LevelOutput, device_id: int) -> np.ndarray:
        """Return the pooled conv5 of a level, which the engine inside may have made."""
        if level.pooled is not None:
            return level.pooled
        if self._head is None:
            self._head = self._opened(device_id)
        return self._head(level.features)

    def _opened(self, device_id: int) -> GlobalHead:
        """Return what computes conv5, by the runtime and in the precision of the engine inside.

        The C++ program's is computed on the CPU, whatever that program runs on.

        Raises:
            UserError: the weights cannot be read or are not those that the whitening is for, or the
                runtime refuses them.
        """
        if self.name == "mindspore":
            return MindSporeHead(
                self._weights(),
                self.checkpoint,
                self.device_target,
                device_id,
                self.plan,
                self.jit_level,
            )
        if importlib.util.find_spec("openvino") is None:
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
