"""Engines that run a network in this process, one photo being decoded while it computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from src.common.atomic_files import PathLike
from src.common.errors import one_line
from src.delf_config import DelfConfig
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import PhotoTask, decoded_ahead
from src.extract_utils_np import (
    LevelOutput,
    build_pyramid,
    crop_static,
    pad_to_static,
    pyramid_level_sizes,
)
from src.photos.reading import UnreadableImageError
from src.postprocess import PhotoOutputs


class Network(Protocol):
    """From arrays to arrays; `mindspore_graph.FeatureNetwork` has the shapes.

    Attributes:
        static_shape: None, or the one input shape [N, 3, H, W] of a static network.
    """

    static_shape: tuple[int, int, int, int] | None

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map images to features and scores."""


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
            self._networks[device_id] = self.open(device_id)
        network = self._networks[device_id]
        for task, decoded in decoded_ahead(images_path, tasks):
            try:
                with stopwatch.part("decode"):
                    image, origin, whole = decoded.result()
            except UnreadableImageError as error:
                yield PhotoOutputs.unreadable(task.name, one_line(error))
                continue
            outputs = network_outputs(network, image, config, stopwatch)
            yield PhotoOutputs(task.name, outputs, image.shape[:2], origin, photo_size=whole)


def network_outputs(
    network: Network, image: np.ndarray, config: DelfConfig, stopwatch: Stopwatch | None = None
) -> list[LevelOutput]:
    """Run the network over the pyramid of a photo.

    Args:
        network: the network; with a static shape it gets all levels at once, else one by one.
        image: uint8 [H, W, 3], RGB.
        config: the pyramid.
        stopwatch: counts the parts "pyramid" and "network".

    Returns:
        One output a level, none for a photo without texture.
    """
    stopwatch = stopwatch or Stopwatch()
    levels = build_pyramid(image, config)
    outputs = []
    if network.static_shape is None:
        while True:
            with stopwatch.part("pyramid"):
                level = next(levels, None)
            if level is None:
                return outputs
            with stopwatch.part("network"):
                outputs.append(LevelOutput(*network(level[1])))
    with stopwatch.part("pyramid"):
        arrays = [level for _, level in levels]
        if not arrays:
            return outputs
        batch = pad_to_static(arrays, network.static_shape)
    with stopwatch.part("network"):
        features, scores = network(batch)
    sizes = pyramid_level_sizes(*image.shape[:2], config)
    return crop_static(features, scores, sizes, config.stride)
