"""Engines that run a network in this process, the next photos being read while it computes."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from src.common.ahead import ahead
from src.common.atomic_files import PathLike
from src.common.errors import one_line
from src.delf_config import DelfConfig
from src.describe.engines.static_batches import StaticBatch, StaticPhoto, StaticPlan, static_batches
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import PhotoTask, decoded_ahead
from src.extract_utils_np import LevelOutput, build_pyramid, enough_side
from src.photos.reading import UnreadableImageError
from src.postprocess import PhotoOutputs


class Network(Protocol):
    """From arrays to arrays; `mindspore_graph.FeatureNetwork` has the shapes.

    Attributes:
        plan: None, or the inputs of a network on a device with static shapes.
    """

    plan: StaticPlan | None

    def __call__(
        self, images: np.ndarray, sides: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Map images to features and scores; `sides`, of static shapes: the levels inside."""


class InProcessEngine:
    """An engine whose network is opened here, once for each device; a base class."""

    name: str
    fingerprint: str
    has_attention: bool

    def __init__(self):
        self._networks: dict[int, Network] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without the opened networks."""
        return {**self.__dict__, "_networks": {}}

    def open(self, device_id: int) -> Network:
        """Open the network on a device."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """See `Engine`."""
        return {}

    def processes(self, devices: Sequence[int]) -> tuple[int, ...]:
        """See `Engine`: a process for each device."""
        return tuple(devices)

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
        if not tasks:
            return
        if device_id not in self._networks:
            with stopwatch.part("open"):
                self._networks[device_id] = self.open(device_id)
        network = self._networks[device_id]
        if network.plan is not None:
            coming = ahead(static_batches(network.plan, images_path, tasks, config))
            with contextlib.closing(coming):
                yield from _static_outputs(network, coming, stopwatch)
            return
        for task, decoded in decoded_ahead(images_path, tasks, enough_side(config)):
            try:
                with stopwatch.part("decode"):
                    image, origin, size, whole = decoded.result()
            except UnreadableImageError as error:
                yield PhotoOutputs.unreadable(task.name, one_line(error))
                continue
            outputs = network_outputs(network, image, config, stopwatch, size)
            yield PhotoOutputs(task.name, outputs, size, origin, photo_size=whole)


def network_outputs(
    network: Network,
    image: np.ndarray,
    config: DelfConfig,
    stopwatch: Stopwatch | None = None,
    size: tuple[int, int] | None = None,
) -> list[LevelOutput]:
    """Run a network for levels of any size over the pyramid of a photo, one by one.

    Args:
        network: the network.
        image: uint8 [H, W, 3], RGB.
        config: the pyramid.
        stopwatch: counts the parts "pyramid" and "network".
        size: (height, width) of the photo, where the image is a smaller copy.

    Returns:
        One output a level, none for a photo without texture.
    """
    stopwatch = stopwatch or Stopwatch()
    levels = build_pyramid(image, config, size)
    outputs = []
    while True:
        with stopwatch.part("pyramid"):
            level = next(levels, None)
        if level is None:
            return outputs
        with stopwatch.part("network"):
            outputs.append(LevelOutput(*network(level[1])))


def _static_outputs(
    network: Network,
    coming: Iterator[tuple[list[StaticPhoto], StaticBatch | None]],
    stopwatch: Stopwatch,
) -> Iterator[PhotoOutputs]:
    """Run a network of static shapes; yield photos in order, each when its last level is done.

    What the thread ahead does (decoding, levels, batches) counts as "decode" where it is awaited.
    """
    photos: deque[StaticPhoto] = deque()
    while True:
        with stopwatch.part("decode"):
            came, batch = next(coming, ((), None))
        if not came and batch is None:
            return
        photos.extend(came)
        if batch is not None:
            with stopwatch.part("network"):
                batch.take(*network(batch.images, batch.sides))
        while photos and (result := photos[0].result()) is not None:
            photos.popleft()
            yield result
