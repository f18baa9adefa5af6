"""From photos to their features, one after the other on one device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from src.common.atomic_files import PathLike
from src.delf_config import DelfConfig
from src.describe.engines.interface import Engine
from src.describe.pca import Pca
from src.describe.stopwatch import Stopwatch
from src.describe.tasks import PhotoTask
from src.postprocess import Described, choose_features


def described(
    engine: Engine,
    images_path: PathLike,
    tasks: Sequence[PhotoTask],
    config: DelfConfig,
    pca: Pca | None = None,
    device_id: int = 0,
    stopwatch: Stopwatch | None = None,
) -> Iterator[Described]:
    """Yield the features of photos, in order, the next ones being under way.

    Args:
        engine: runs the network.
        images_path: folder of the photos.
        tasks: the photos.
        config: the settings.
        pca: the projection, where `config.use_pca` is set.
        device_id: which device.
        stopwatch: counts the parts.
    """
    stopwatch = stopwatch or Stopwatch()
    photos = engine.outputs(images_path, tasks, config, device_id, stopwatch)
    with contextlib.closing(photos):
        for outputs, task in zip(photos, tasks):
            with stopwatch.part("selection"):
                photo = choose_features(outputs, config, pca, task.turn)
            yield photo
